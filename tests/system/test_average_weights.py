"""The mean of two runs' weights is a bundle of its own, not yet measured; runs that do not fit are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mr2ct.bundles import BundleDescription, load_bundle, load_network, write_bundle
from mr2ct.bundles.provenance import read_steps
from mr2ct.models import build_network
from mr2ct.preprocessing.pipeline import default_pipeline


@pytest.fixture(scope="module")
def average(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("average_weights")


def run(folder: Path, *, seed: int, widths: tuple[int, ...] = (4, 8), **described: Any) -> Path:
    """A run folder with an untrained network; `described` goes into its bundle.json."""
    torch.manual_seed(seed)
    known = {
        "format_version": 1,
        "name": f"tiny-{seed}",
        "method": "supervised",
        "network": {"name": "attention_unet", "arguments": {"widths": list(widths)}},
        "preprocessing": default_pipeline().to_record(),
        "hu_range": (-1024, 3071),
        "spacing_mm": (1, 1, 1),
        "planes": ("axial",),
        "context_slices": 1,
        "training_data": "nothing",
        "licence": "MIT",
        "metrics": {},
    }
    description = BundleDescription(**{**known, **described})
    state = build_network("attention_unet", {"widths": widths}).state_dict()
    write_bundle(folder / "bundle", state=state, description=description, card="# Tiny")
    return folder


def test_each_weight_is_the_mean_and_the_command_is_recorded(average: ModuleType, tmp_path: Path):
    runs = [run(tmp_path / name, seed=seed) for name, seed in (("one", 1), ("other", 2))]
    average.main([*map(str, runs), "--out", str(tmp_path / "mean")])
    mean = load_bundle(tmp_path / "mean" / "bundle")
    assert mean.description.name == "tiny-2"
    one, other, found = (load_network(load_bundle(own / "bundle")).state_dict() for own in (*runs, tmp_path / "mean"))
    differing = 0
    for name, tensor in found.items():
        expected = 0.5 * one[name] + 0.5 * other[name] if tensor.is_floating_point() else other[name]
        torch.testing.assert_close(tensor, expected)
        differing += not torch.equal(one[name], other[name])
    assert differing > 5
    assert [step.device for step in read_steps(tmp_path / "mean")] == ["CPU"]


def test_what_was_measured_of_one_run_is_not_said_of_the_mean(average: ModuleType, tmp_path: Path):
    measured = {
        "metrics": {"mae_hu": 61.25},
        "evaluation": {"protocols": ["synthrad2025"], "side": "test", "interval": 0.95, "resamples": 10, "seed": 0},
        "calibration": {"variants": []},
        "bone_levels": (0.1, 0.2),
        "provenance": {"training": [{"command": "train"}], "scoring": [{"command": "score"}]},
    }
    runs = [run(tmp_path / name, seed=seed, **measured) for name, seed in (("one", 1), ("other", 2))]
    average.main([*map(str, runs), "--out", str(tmp_path / "mean")])
    mean = load_bundle(tmp_path / "mean" / "bundle")
    described = mean.description
    assert (described.metrics, described.evaluation, described.calibration) == ({}, None, None)
    assert described.bone_levels is None
    assert [step.command for step in described.provenance.training] == ["train"]
    assert described.provenance.scoring == ()
    assert "Scored by" not in mean.card
    assert mean.card.startswith("# tiny-2")
    assert "61.2" not in mean.card


@pytest.mark.parametrize(
    "other",
    [
        {"widths": (4, 12)},
        {"hu_range": (-1000, 2000)},
        {"preprocessing": {"format_version": 1, "steps": []}},
        {"planes": ("axial", "coronal")},
        {"context_slices": 3},
        {"spacing_mm": (1, 1, 2)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_runs_that_were_for_different_things_are_refused(average: ModuleType, tmp_path: Path, other: dict[str, Any]):
    runs = [run(tmp_path / "one", seed=1), run(tmp_path / "other", seed=2, **other)]
    key = "network" if "widths" in other else next(iter(other))
    with pytest.raises(SystemExit, match=f"error: the runs do not fit together; got .*other.* has another {key} than"):
        average.main([*map(str, runs), "--out", str(tmp_path / "mean")])
    assert not (tmp_path / "mean").exists()


def test_a_single_run_and_no_bundle_are_refused_and_leave_nothing(average: ModuleType, tmp_path: Path):
    runs = [run(tmp_path / "one", seed=1)]
    with pytest.raises(SystemExit, match="two runs or more, not 1"):
        average.main([str(runs[0]), "--out", str(tmp_path / "mean")])
    with pytest.raises(SystemExit, match="no model bundle there"):
        average.main([str(runs[0]), str(tmp_path / "nothing"), "--out", str(tmp_path / "mean")])
    assert not (tmp_path / "mean").exists()
