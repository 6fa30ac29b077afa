"""The card says what the description says, and the warnings that every model needs."""

from __future__ import annotations

import json

import pytest

from mr2ct.bundles import write_bundle
from mr2ct.bundles.card import FAILURES_FILE, LIMITS, fill_card, input_in_words, with_section
from mr2ct.bundles.card_origin import RECIPE_FILE, TRAINING_FILE
from mr2ct.bundles.evaluation_record import EvaluationRecord, Figure, WorstCase
from mr2ct.bundles.provenance import Provenance, Step

MAE = Figure(value=82.05, low=78.92, high=85.31, cases=6, patients=2)
DICE = Figure(value=0.8391, low=0.825, high=0.853, cases=6, patients=2)
OUTLINE = Figure(value=0.61, cases=4, patients=1)


@pytest.fixture
def scored(description):
    """A description with figures, an origin and failures."""
    record = EvaluationRecord(
        protocols=("synthrad2025", "synthrad2023"),
        side="test",
        split={"train": 5, "validation": 1, "test": 2, "seed": 7},
        interval=0.95,
        resamples=2000,
        seed=0,
        caveat="These are approximate HU.",
        overall={"mae_hu": MAE, "bone_dice": DICE, "brain_outline_moved_mm": OUTLINE, "histogram_overlap": DICE},
        by_plane={"axial": {"mae_hu": MAE}},
        by_centre={"A": {"mae_hu": MAE, "bone_dice": DICE}},
        by_tissue={"bone": {"mae_hu": MAE}},
        mae_hu_by_patient={"p1": 80.0, "p2": 84.0},
        worst=(
            WorstCase(case="p1-axial", patient="p1", centre="A", plane="axial", mae_hu=101.4),
            WorstCase(case="p2-x", patient="p2", plane="coronal", mae_hu=99.0, tissues_mae_hu={"bone": 400.0}),
        ),
    )
    made = Step(command="mr2ct train recipes/a.yaml", commit="0123456789abcdef", clean=False, device="one GPU")
    origin = Provenance(training=(made,), scoring=(Step(command="ship_bundle.py run", sources_sha256="ab" * 32),))
    return description.model_copy(
        update={"evaluation": record, "provenance": origin, "licence": "CC-BY-NC-4.0", "method": "cyclegan"}
    )


def test_the_card_holds_what_a_person_should_know(description):
    card = fill_card(description, limits=["Only phantoms."])
    for words in (
        "# tiny",
        "Not a medical device",
        "supervised",
        "attention_unet(widths=[2, 4])",
        "HU from -1024 to 3071",
        "to_canonical",
        "| mae_hu | 83.25 |",
        "nothing",
        "MIT",
        "- Only phantoms.",
        "--model FOLDER_OF_THIS_CARD",
        "Not for:",
        "Attention U-Net",
        "The commands were not recorded.",
    ):
        assert words in card


def test_unmeasured_models_say_so(description):
    assert "Not measured." in fill_card(description.model_copy(update={"metrics": {}}))


@pytest.mark.parametrize(
    "words",
    [
        "6 cases of 2 patients whom training never saw (split by patient: 5 train, 1 validation, 2 test; seed 7)",
        "synthrad2025 and synthrad2023",
        "the 95% interval",
        "**These are approximate HU.**",
        "| MAE (HU) | 82.0 (78.9 to 85.3) |",
        "| bone Dice | 0.839 (0.825 to 0.853) |",
        "| brain outline moved (mm), 4 of 6 slices | 0.61 |",
        "| axial | 82.0 (78.9 to 85.3) | |",
        "| centre A | 82.0 (78.9 to 85.3) | 0.839 (0.825 to 0.853) |",
        "| bone | 82.0 (78.9 to 85.3) |",
        "## Known failures",
        "| p1-axial | axial | A | 101.4 | | | |",
        "| p2-x | coronal | | 99.0 | | | 400 |",
        "(failures.png)",
        "- Ears are left out.",
        "(training.png)",
        "(recipe.yaml)",
        "    mr2ct train recipes/a.yaml",
        "commit `0123456789ab` with changes, on one GPU",
        "sources `abababababab`",
        "no commercial use, and attribution",
        "Cycle-Consistent",
        "- The data, 2023",
    ],
)
def test_a_scored_model_s_card_has_figures_failures_and_origin(scored, words: str):
    beside = [FAILURES_FILE, TRAINING_FILE, RECIPE_FILE]
    card = fill_card(scored, citations=["The data, 2023"], failures=["Ears are left out."], beside=beside)
    assert words in card


def test_pictures_that_are_not_there_are_not_shown(scored):
    card = fill_card(scored)
    assert ".png" not in card
    assert ".yaml)" not in card
    assert "## Known failures" in card


def test_figures_of_the_validation_side_are_not_called_held_out(scored):
    record = scored.evaluation.model_copy(update={"side": "validation"})
    card = fill_card(scored.model_copy(update={"evaluation": record}))
    assert "whom training never saw" not in card
    assert "by which weights were chosen" in card


def test_every_section_is_there_once_and_the_calibration_finds_its_place(scored):
    card = with_section(fill_card(scored), "How sure it is", "Quite.", before="Use")
    titles = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert titles == [
        "The model",
        "What it is for, and what not",
        "Trained on",
        "On held-out patients",
        "Known failures",
        "How sure it is",
        "Use",
        "Limits",
        "How it was made",
        "How to cite",
    ]
    assert card == with_section(card, "How sure it is", "Quite.", before="Use")
    assert "\n\n\n" not in card
    assert all(f"- {limit}" in card for limit in LIMITS)


def test_evaluation_and_origin_come_back_from_disk(tmp_path, scored, network):
    bundle = write_bundle(tmp_path / "b", state=network.state_dict(), description=scored, card="")
    assert bundle.description.evaluation == scored.evaluation
    assert bundle.description.provenance == scored.provenance
    record = json.loads((bundle.folder / "bundle.json").read_text(encoding="utf-8"))
    assert record["format_version"] == 1
    assert record["evaluation"]["overall"]["mae_hu"]["low"] == 78.92


def test_inputs_in_words(description):
    assert input_in_words(description) == "axial, coronal or sagittal slices"
    one = description.model_copy(update={"planes": ("axial",), "context_slices": 5})
    assert input_in_words(one) == "axial slabs of 5 slices"
    patches = description.model_copy(update={"context_slices": 0, "patch_size": (64, 64, 32), "planes": ()})
    assert input_in_words(patches) == "patches of 64 x 64 x 32 voxels"
    assert patches.dimensions == 3
