"""The three comparisons as whole commands, with tiny networks and hardly any steps; and started again."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from mr2ct.datasets.splits import Split
from mr2ct.errors import DataSetError
from mr2ct.training.recipe import read_recipe

TINY = ["--shrink", "32", "--set", "data.size=[32, 32]", "--set", "data.batch_size=1", "--set", "data.off_middle=0"]


def arguments(phantom_set: SimpleNamespace, out: Path, minutes: str = "0.005") -> list[str]:
    words = ["--data", phantom_set.data, "--store", phantom_set.store, "--split", phantom_set.split]
    return [*map(str, words), "--minutes", minutes, "--device", "cpu", "--out", str(out), *TINY]


def written(out: Path) -> tuple[dict, str]:
    return json.loads((out / "results.json").read_text()), (out / "table.md").read_text()


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch):
    """Make training and converting an error: nothing is left to do."""

    def forbid(*modules: str) -> None:
        for module in modules:
            for name in ("run", "train", "write_volume"):
                if hasattr(importlib.import_module(module), name):
                    monkeypatch.setattr(f"{module}.{name}", lambda *_, **__: pytest.fail("done already"))

    return forbid


def test_side_by_side_compares_each_family_with_its_rival(benchmarks, phantom_set, tmp_path, untouched):
    side_by_side = importlib.import_module("side_by_side")
    words = arguments(phantom_set, tmp_path / "out")
    side_by_side.main(words)
    results, table = written(tmp_path / "out")
    assert set(results["figures"]) == {*side_by_side.RIVALS, *side_by_side.RIVALS.values()}
    assert all(own["mae_hu"]["mean"] > 0 for own in results["figures"].values())
    assert results["differences"]["pix2pix - plain-pix2pix"]["mae_hu"]["n_patients"] == 3
    assert all(own["steps"] >= 1 and own["parameters"] > 100 for own in results["training"].values())
    assert "| attention-unet − monai-attention-unet |" in table
    assert (tmp_path / "out" / "report-validation" / "report.html").exists()
    untouched("timed_training", "side_by_side", "held_out")
    side_by_side.main(words)
    assert written(tmp_path / "out")[0]["figures"] == results["figures"]


def test_a_left_out_centre_and_fine_tuning_to_it(benchmarks, phantom_set, tmp_path, untouched):
    left_out = importlib.import_module("left_one_centre_out")
    words = arguments(phantom_set, tmp_path / "out")
    left_out.main([*words, "--families", "attention-unet"])
    results, table = written(tmp_path / "out")
    assert set(results["loss_mae_hu"]["attention-unet"]) == {"A", "B", "C", "all"}
    assert results["loss_mae_hu"]["attention-unet"]["all"]["n_patients"] == 3
    assert "centre A | centre B | centre C | all" in table
    split = json.loads((tmp_path / "out" / "attention-unet-without-B" / "split.json").read_text())
    assert not [patient for patient in split["train"] + split["validation"] if patient[2] == "B"]

    fine_tuning = importlib.import_module("fine_tuning")
    tuned = arguments(phantom_set, tmp_path / "tuned")
    few = ["--base", str(tmp_path / "out"), "--pairs", "1", "2", "--steps", "2", "--batch-size", "1"]
    fine_tuning.main([*tuned, *few, "--centres", "A", "B"])
    results, table = written(tmp_path / "tuned")
    assert set(results["mae_hu_by_centre"]) == {"A", "B"}
    assert set(results["mae_hu_by_centre"]["A"]) == {"before", "1-pairs-1", "2-pairs-1"}
    assert [line.split(" |")[0] for line in table.splitlines()[5:]] == ["| 0 (before)", "| 1", "| 2"]
    split = json.loads((tmp_path / "tuned" / "attention-unet-A-1-pairs-1" / "split.json").read_text())
    assert len(split["train"]) == 1
    assert split["train"][0][2] == "A"
    untouched("timed_training", "held_out")
    fine_tuning.main([*tuned, *few, "--centres", "A", "B"])


def test_a_finished_training_of_other_length_is_not_taken(benchmarks, tmp_path):
    timed_training = importlib.import_module("timed_training")
    (tmp_path / "training.json").write_text('{"minutes_given": 60}')
    setting = timed_training.Setting(tmp_path, None, 5.0)
    with pytest.raises(DataSetError, match="of other length; got 5 minutes; expected 60 minutes"):
        timed_training.train_family("pix2pix", tmp_path, setting=setting, split=tmp_path)
    of_steps = timed_training.Setting(tmp_path, None, 60.0, steps=7)
    assert of_steps.length == "7 steps"
    with pytest.raises(DataSetError, match="of other length; got 60 minutes, 7 steps; expected 60 minutes;"):
        timed_training.train_family("pix2pix", tmp_path, setting=of_steps, split=tmp_path)


def test_few_patients_of_a_centre_are_nested_and_leave_the_held_out_alone(benchmarks):
    fine_tuning = importlib.import_module("fine_tuning")
    names = [f"{centre}{n}" for centre in "AB" for n in range(9)]
    split = Split(
        train=tuple(p for p in names if p[1] in "012345"),
        validation=tuple(p for p in names if p[1] in "67"),
        test=tuple(p for p in names if p[1] == "8"),
    )
    centres = {name: name[0] for name in names}
    draws = [fine_tuning.few_of_centre(split, centres, "A", count=n, seed=3) for n in (2, 5)]
    assert set(draws[0].train) < set(draws[1].train) <= {p for p in split.train if p[0] == "A"}
    assert draws[0].validation == ("B6", "B7")
    assert {"A6", "A7", "A8", "B8"} <= set(draws[1].test)
    assert draws[1].patients == split.patients
    with pytest.raises(DataSetError, match="too few training patients; got 6"):
        fine_tuning.few_of_centre(split, centres, "A", count=7, seed=3)


def test_everything_a_recipe_counts_in_steps_is_scaled_to_the_time(benchmarks):
    timed_training = importlib.import_module("timed_training")
    recipe = read_recipe(timed_training.FAMILIES["pix2pix"])
    half = recipe.run.max_steps // 2
    scaled = read_recipe(timed_training.FAMILIES["pix2pix"], timed_training._scaled(recipe, half))
    assert scaled.run.max_steps == half
    assert scaled.method.adversarial_from == pytest.approx(recipe.method.adversarial_from / 2, abs=1)
    assert scaled.optimiser.warmup_steps == pytest.approx(recipe.optimiser.warmup_steps / 2, abs=1)
    assert scaled.run.validate_every * 5 >= half


def test_a_difference_is_paired_by_case_and_its_interval_by_patient(benchmarks):
    held_out = importlib.import_module("held_out")

    def rows(*figures: float) -> list[dict[str, str]]:
        return [{"case": f"c{n}", "patient": f"p{n // 2}", "mae_hu": str(v)} for n, v in enumerate(figures)]

    found = held_out.difference(rows(10, 12, 20, 22, 30, 32), list(reversed(rows(8, 10, 15, 17, 22, 24))))
    assert (found.mean, found.n_patients) == (5.0, 3)
    assert 2.0 <= found.low < 5.0 < found.high <= 8.0
    assert found.words == f"+5.0 ({found.low:+.1f} to {found.high:+.1f})"
    assert held_out.difference(rows(1, 2), rows(1, 3)).words == "−0.5 (one patient)"
