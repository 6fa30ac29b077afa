"""From a run to a shipped bundle: scored as users score, with card and pictures; then the page of all models."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from mr2ct.bundles import BundleDescription, find_model, load_bundle, shipped, write_bundle
from mr2ct.bundles.bundle import read_description
from mr2ct.bundles.ensemble_score import EnsembleScore
from mr2ct.bundles.evaluation_record import EvaluationRecord, Figure
from mr2ct.bundles.provenance import Step, record_step
from mr2ct.bundles.zoo import SHIPPED_FOLDER
from mr2ct.datasets.splits import Split, write_split
from mr2ct.errors import BundleError
from mr2ct.inference import Translator
from mr2ct.models import build_network

ROOT = Path(__file__).parents[2]
Script = Callable[[str], ModuleType]
PATIENTS = ("1BA012", "1BB017")
CURVE = "step,minutes,kind,name,value\n50,0.1,train,l1,0.3\n100,0.2,train,l1,0.2\n100,0.2,validation,mae_hu,120\n"


@pytest.fixture(scope="module")
def data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients, one slice each, and a third who is not of the test side."""
    root = tmp_path_factory.mktemp("data")
    for patient in (*PATIENTS, "1BC019"):
        shutil.copytree(shared_data / "brain-slices" / f"{patient}-axial", root / f"{patient}-axial")
    split = Split(train=("1BC019",), validation=(), test=PATIENTS, seed=4)
    write_split(split, root.parent / "split.json")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained network, the bundle of which knows nothing of itself."""
    from mr2ct.preprocessing.pipeline import default_pipeline

    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    description = BundleDescription(
        format_version=1,
        name="tiny",
        method="supervised",
        network={"name": "attention_unet", "arguments": {"widths": [4, 8]}},
        preprocessing=default_pipeline().to_record(),
        hu_range=(-1024, 3071),
        spacing_mm=(1, 1, 1),
        planes=("axial", "coronal", "sagittal"),
        context_slices=1,
        training_data="nothing",
        licence="MIT",
        metrics={},
    )
    network = build_network("attention_unet", {"widths": [4, 8]})
    write_bundle(folder / "bundle", state=network.state_dict(), description=description, card="")
    (folder / "metrics.csv").write_text(CURVE)
    (folder / "recipe.yaml").write_text("data:\n  stores:\n  - {path: /home/me/stores/brain, weight: 0.7}\n")
    record_step(folder, Step(command="mr2ct train /somewhere/tiny.yaml", commit="c" * 40, clean=True))
    return folder


@pytest.fixture(scope="module")
def shipment(data: Path, run: Path, tmp_path_factory: pytest.TempPathFactory, script: Script) -> Path:
    """What the script wrote: `bundles/tiny`, and beside it what it kept."""
    out = tmp_path_factory.mktemp("out")
    words = out / "words.yaml"
    words.write_text(
        "training_data: Two heads.\nlicence: CC-BY-NC-4.0\nmethod: cyclegan\n"
        "citations: [Somebody 2023]\ncaveat: Roughly HU.\n"
    )
    known = ["--data", data, "--split", data.parent / "split.json", "--words", words, "--keep", out / "keep"]
    script("ship_bundle").main([str(word) for word in (run, *known, "--into", out / "bundles")])
    return out


def test_the_bundle_is_whole_with_card_and_pictures(shipment: Path):
    bundle = load_bundle(shipment / "bundles" / "tiny")
    names = {path.name for path in bundle.folder.iterdir()}
    assert names == {
        "weights.safetensors",
        "bundle.json",
        "MODEL_CARD.md",
        "failures.png",
        "training.png",
        "recipe.yaml",
    }
    recipe = yaml.safe_load((bundle.folder / "recipe.yaml").read_text())
    assert recipe["data"]["stores"][0]["path"] == "brain"
    assert recipe["bundle"] == {"licence": "CC-BY-NC-4.0", "training_data": "Two heads."}
    assert (bundle.folder / "failures.png").stat().st_size < 150_000
    for words in ("Two heads.", "Somebody 2023", "**Roughly HU.**", "mr2ct train tiny.yaml", "`cccccccccccc`"):
        assert words in bundle.card
    assert "2 cases of 2 patients whom training never saw (split by patient: 1 train" in bundle.card
    described = bundle.description
    assert described.licence == "CC-BY-NC-4.0"
    assert described.method == "cyclegan"
    assert described.metrics["mae_hu"] == described.evaluation.overall["mae_hu"].value
    assert described.weights_sha256 in bundle.card


def test_the_figures_are_those_of_mr2ct_evaluate(shipment: Path, data: Path, tmp_path: Path):
    from mr2ct.cli.main import main

    words = [shipment / "keep" / "sct", data, "--split", data.parent / "split.json", "--skull", "-o", tmp_path / "r"]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in ("evaluate", *words, "--pictures", "0", "--jobs", "1")])
    assert not ended.value.code
    report = json.loads((tmp_path / "r" / "summary.json").read_text())
    record = load_bundle(shipment / "bundles" / "tiny").description.evaluation
    for key, figure in record.overall.items():
        if key != "ssim":
            expected = report["overall"][key]
            assert [figure.value, figure.low, figure.high] == pytest.approx(
                [expected["mean"], *expected["ci95"]], rel=1e-4
            ), key
    assert record.by_tissue["bone"]["mae_hu"].value == pytest.approx(
        report["by_tissue"]["bone"]["mae_hu"]["mean"], rel=1e-4
    )


def test_weights_scored_anew_without_their_run_keep_curve_and_commands(
    shipment: Path, data: Path, tmp_path: Path, script: Script
):
    shutil.copytree(shipment / "bundles", tmp_path / "bundles")
    shutil.copytree(shipment / "bundles" / "tiny", tmp_path / "alone" / "bundle")
    known = ["--data", data, "--split", data.parent / "split.json", "--into", tmp_path / "bundles"]
    script("ship_bundle").main([str(word) for word in (tmp_path / "alone", *known, "--keep", shipment / "keep")])
    before, after = (folder / "bundles" / "tiny" / "training.png" for folder in (shipment, tmp_path))
    assert after.read_bytes() == before.read_bytes()
    assert "training.png" in load_bundle(after.parent).card
    steps = [load_bundle(picture.parent).description.provenance.training for picture in (before, after)]
    assert steps[0] == steps[1] != ()


def test_other_weights_do_not_take_the_curve_of_those_they_replace(shipment: Path, script: Script):
    known, shipped = load_bundle(shipment / "bundles" / "tiny"), shipment / "bundles" / "tiny"
    is_of = script("ship_bundle").is_of
    assert is_of(known.description.weights_sha256, shipped)
    assert not is_of("0" * 64, shipped)
    assert not is_of(known.description.weights_sha256, shipment / "nowhere")


def test_weights_that_go_on_from_shipped_ones_keep_their_history(
    shipment: Path, run: Path, data: Path, tmp_path: Path, script: Script
):
    """Where the run folders of the earlier weights are gone, and their bundle alone is left."""
    (tmp_path / "further").mkdir()
    shutil.copytree(run / "bundle", tmp_path / "further" / "bundle")
    (tmp_path / "further" / "metrics.csv").write_text(CURVE)
    record_step(tmp_path / "further", Step(command="mr2ct train further.yaml"))
    before = shipment / "bundles" / "tiny"
    known = ["--data", data, "--split", data.parent / "split.json", "--into", tmp_path / "bundles"]
    words = [tmp_path / "further", *known, "--after", before, "--keep", shipment / "keep"]
    script("ship_bundle").main([str(word) for word in words])
    shipped_now = load_bundle(tmp_path / "bundles" / "tiny")
    commands = [step.command for step in shipped_now.description.provenance.training]
    assert commands == ["mr2ct train tiny.yaml", "mr2ct train further.yaml"]
    size = (shipped_now.folder / "training.png").stat().st_size
    assert size > (before / "training.png").stat().st_size


def test_what_is_scored_is_what_users_get(data: Path, run: Path, tmp_path: Path, script: Script, monkeypatch):
    """Bone is lifted in the scored sCTs as in those of the shipped model, and older sCTs are not taken for them."""
    ship_bundle, seen = script("ship_bundle"), []
    known = ["--data", data, "--split", data.parent / "split.json", "--into", tmp_path, "--keep", tmp_path / "keep"]
    words = [str(word) for word in (run, *known)]
    ship_bundle.main(words)
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "keep" / "sct").rglob("*.nii.gz")}
    ship_bundle.main(words)
    assert {path: path.stat().st_mtime_ns for path in first} == first
    described = tmp_path / "tiny" / "bundle.json"
    described.write_text(
        read_description(tmp_path / "tiny").model_copy(update={"bone_levels": (0.3, 0.4)}).model_dump_json()
    )
    monkeypatch.setattr(Translator, "bone_level", lambda self, *given: seen.append(self.description.bone_levels))
    ship_bundle.main(words)
    assert seen == [(0.3, 0.4)] * 2
    assert all(path.stat().st_mtime_ns > before for path, before in first.items())


def test_an_ensemble_is_scored_as_its_members_are(shipment: Path, data: Path, tmp_path: Path, script: Script):
    """Of one network alone, with flips: its figures differ from those of a single slice's views by nothing."""
    folder = tmp_path / "alone"
    folder.mkdir()
    described = {"format_version": 1, "name": "alone", "members": [str(shipment / "bundles" / "tiny")]}
    (folder / "ensemble.json").write_text(json.dumps(described))
    words = ["--data", data, "--split", data.parent / "split.json", "--jobs", "1", folder]
    script("ship_ensemble").main([str(word) for word in words])
    scored = find_model(folder).scored
    record = load_bundle(shipment / "bundles" / "tiny").description.evaluation
    assert scored.evaluation.overall["mae_hu"] == record.overall["mae_hu"]
    card = (folder / "MODEL_CARD.md").read_text()
    assert f"{record.overall['mae_hu'].value:.1f} (" in card
    assert "![The worst cases: MR, sCT, CT and their difference](failures.png)" in card
    assert (folder / "failures.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match="is one model"):
        script("ship_ensemble").main([*map(str, words[:-1]), str(shipment / "bundles" / "tiny")])


def test_the_same_weights_keep_their_calibration_and_others_do_not(shipment: Path, script: Script):
    ship_bundle = script("ship_bundle")
    old = read_description(shipment / "bundles" / "tiny")
    shelf = shipment / "shelf" / "tiny"
    shelf.mkdir(parents=True)
    known = old.model_copy(update={"calibration": {"models": []}, "input_reference": {"levels": 1}})
    (shelf / "bundle.json").write_text(known.model_dump_json())
    assert ship_bundle.with_kept_keys(old, shelf).calibration == {"models": []}
    other = ship_bundle.with_kept_keys(old.model_copy(update={"weights_sha256": "0" * 64}), shelf)
    assert other.calibration is None
    assert other.input_reference == {"levels": 1}
    neighbour = ship_bundle.with_kept_keys(old.model_copy(update={"name": "new"}), shelf.parent / "new")
    assert (neighbour.input_reference, neighbour.calibration) == ({"levels": 1}, None)
    dark = known.model_copy(update={"bone_levels": (0.1, 0.2)})
    (shelf / "bundle.json").write_text(dark.model_dump_json())
    assert ship_bundle.with_kept_keys(old, shelf).bone_levels == (0.1, 0.2)
    with pytest.raises(BundleError, match=r"how dark bone was.*not of these.*learn_bone_levels\.py"):
        ship_bundle.with_kept_keys(old.model_copy(update={"weights_sha256": "0" * 64}), shelf)
    taught = old.model_copy(update={"weights_sha256": "0" * 64, "bone_levels": (0.12, 0.21)})
    assert ship_bundle.with_kept_keys(taught, shelf).bone_levels == (0.12, 0.21)
    elsewise = ship_bundle.with_kept_keys(old.model_copy(update={"preprocessing": {}}), shelf)
    assert elsewise.input_reference is None


def test_the_page_holds_the_figures_of_the_bundles(shipment: Path, tmp_path: Path, script: Script):
    tables = script("write_model_tables")
    shelf = tmp_path / "shelf"
    for name in ("tiny", "twin"):
        shutil.copytree(shipment / "bundles" / "tiny", shelf / name)
        described = read_description(shelf / name).model_copy(update={"name": name})
        (shelf / name / "bundle.json").write_text(described.model_dump_json())
    page = tmp_path / "page.md"
    marks = ("who", "overall", "shape", "tissues", "groups", "tests", "pictures")
    page.write_text(
        "# Models\n" + "".join(f"\n<!-- {m}: begin -->\nold\n<!-- {m}: end -->\n" for m in marks) + "\nend\n"
    )
    where = ["--page", str(page), "--shipped", str(shelf)]
    tables.main(where)
    text = page.read_text()
    assert "\nold\n" not in text
    assert text.endswith("\nend\n")
    record = read_description(shelf / "tiny").evaluation
    assert f"| `twin` | {record.overall['mae_hu'].value:.1f} (" in text
    assert "| `tiny` | `twin` | +0.0 |" in text
    assert "(shelf/tiny/failures.png)" in text
    with pytest.raises(SystemExit) as done:
        tables.main([*where, "--check"])
    assert done.value.code == 0
    page.write_text(text.replace(f"{record.overall['mae_hu'].value:.1f} (", "1.0 ("))
    with pytest.raises(SystemExit, match="not up to date"):
        tables.main([*where, "--check"])


def test_the_page_of_the_shipped_models_is_what_the_script_writes(script: Script):
    scored = [name for name in shipped() if read_description(SHIPPED_FOLDER / name).evaluation is not None]
    if not scored:
        pytest.skip("no shipped bundle was scored by scripts/ship_bundle.py yet")
    with pytest.raises(SystemExit) as done:
        script("write_model_tables").main(["--check"])
    assert done.value.code == 0


def test_figures_of_an_ensemble_that_is_another_now_are_refused(tmp_path: Path, tiny_bundle, script: Script):
    tables = script("write_model_tables")
    figure = Figure(value=71.25, low=70.0, high=73.0, cases=6, patients=2)
    record = EvaluationRecord(
        protocols=("synthrad2025",), side="test", interval=0.95, resamples=9, seed=0, overall={"mae_hu": figure}
    )
    members = [(name, tiny_bundle(tmp_path / name).description.weights_sha256) for name in ("one", "two")]
    (tmp_path / "both").mkdir()
    described = {"format_version": 1, "name": "both", "members": ["one", "two"]}
    (tmp_path / "both" / "ensemble.json").write_text(json.dumps(described))
    score = EnsembleScore(members=members, evaluation=record)
    (tmp_path / "both" / "evaluation.json").write_text(score.model_dump_json())
    assert [model.name for model in tables.scored_models(tmp_path)] == ["both"]
    shutil.rmtree(tmp_path / "two")
    tiny_bundle(tmp_path / "two", seed=9)
    with pytest.raises(SystemExit, match=r"both/evaluation\.json is of other members.*scripts/ship_ensemble\.py"):
        tables.main(["--check", "--shipped", str(tmp_path)])


def test_cards_have_words_for_every_shipped_model(script: Script):
    for name in shipped():
        said = script("ship_bundle").words_of(name, None)
        assert {"training_data", "licence", "caveat", "citations", "limits"} <= said.keys()
        assert re.search(r"10\.5281/zenodo\.7260705", said["training_data"])
