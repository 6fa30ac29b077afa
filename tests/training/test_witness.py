"""What a person sees of a run, from its first step and after a resume."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest

from mr2ct.training.validation import ScoredSlice
from mr2ct.training.witness import RunWitness, SilentWitness, picture_panel


def scored(shape: tuple[int, ...] = (6, 4)) -> ScoredSlice:
    mask = np.zeros(shape, bool)
    mask[1:4] = True
    ct_hu = np.where(mask, 40.0, -1000.0).astype(np.float32)
    return ScoredSlice("c1", np.where(mask, 0.6, 0).astype(np.float32), ct_hu + 250 * mask, ct_hu, mask)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def witness(folder: Path, **how) -> RunWitness:
    return RunWitness(folder, **{"total_steps": 10, "every": 2, "slices": lambda: [scored()], **how})


def test_means_of_the_terms_are_written_every_so_many_steps(tmp_path):
    with witness(tmp_path) as seen:
        seen.on_start(0)
        for step in range(1, 6):
            seen.on_step(step, {"l1": float(step)}, 0.01)
    rows = [(row["step"], row["kind"], row["name"], float(row["value"])) for row in table(tmp_path)]
    assert rows == [
        ("2", "train", "l1", 1.5),
        ("2", "train", "learning_rate", 0.01),
        ("4", "train", "l1", 3.5),
        ("4", "train", "learning_rate", 0.01),
    ]


def test_terms_that_begin_later_have_means_of_their_own(tmp_path):
    with witness(tmp_path) as seen:
        seen.on_start(0)
        seen.on_step(1, {"l1": 1.0}, 0.01)
        seen.on_step(2, {"l1": 1.0, "adversarial": 5.0}, 0.01)
    assert {row["name"]: float(row["value"]) for row in table(tmp_path)}["adversarial"] == 5.0


def test_scores_and_pictures_go_to_the_board(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with witness(tmp_path) as seen:
        seen.on_start(0)
        seen.on_validation(2, {"mae_hu": 90.0, "mae_hu_axial": 80.0}, best=True)
        seen.on_validation(4, {}, best=True)
    assert [(row["kind"], row["name"], row["value"]) for row in table(tmp_path)] == [
        ("validation", "mae_hu", "90.0"),
        ("validation", "mae_hu_axial", "80.0"),
    ]
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert board.Scalars("validation/mae_hu")[0].value == 90.0
    assert board.Images("validation/0")[0].width == 4 * 6


def test_a_resumed_run_takes_back_what_its_checkpoint_does_not_know(tmp_path):
    with witness(tmp_path) as seen:
        seen.on_start(0)
        for step in range(1, 9):
            seen.on_step(step, {"l1": float(step)}, 0.01)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("9,0.1,tr")
    with witness(tmp_path) as seen:
        seen.on_start(5)
        for step in range(6, 9):
            seen.on_step(step, {"l1": -float(step)}, 0.01)
    steps = [(row["step"], float(row["value"])) for row in table(tmp_path) if row["name"] == "l1"]
    assert steps == [("2", 1.5), ("4", 3.5), ("6", -6.0), ("8", -7.5)]


def test_minutes_go_on_after_a_resume(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for started_after, step in ((0, 2), (2, 4)):
        with witness(tmp_path) as seen:
            seen.on_start(started_after)
            now[0] += 120
            seen.on_step(step, {"l1": 0.0}, 0.01)
    assert [float(row["minutes"]) for row in table(tmp_path) if row["name"] == "l1"] == [2.0, 4.0]


def test_the_bar_begins_where_the_run_does(tmp_path):
    with witness(tmp_path) as seen:
        seen.on_start(7)
        (task,) = seen._progress.tasks
        assert (task.completed, task.total) == (7, 10)
        assert task.speed is None
        seen.on_step(8, {"l1": 1.0}, 0.01)
        assert task.completed == 8


def test_a_picture_is_upright_and_shows_the_error_in_colour():
    panel = picture_panel(scored((6, 4)))
    # a slice of 6 by 4 voxels is shown 4 high and 6 wide, four times
    assert panel.shape == (4, 24, 3)
    assert panel.dtype == np.uint8
    mr, error = panel[:, :6], panel[:, 18:]
    assert (mr[:, 1:4] > 0).all()
    assert (mr[:, 0] == 0).all()
    # too many HU is red, and white beyond the mask
    assert (error[:, 1:4, 0] == 255).all()
    assert (error[:, 1:4, 1] < 255).all()
    assert (error[:, 0] == 255).all()


def test_a_volume_is_pictured_by_its_middle_slice():
    assert picture_panel(scored((6, 4, 5))).shape == (4, 24, 3)


def test_the_second_axis_points_up():
    marked = scored((6, 4))
    marked.mr[0, 3] = 1.2
    assert picture_panel(marked)[0, 0].tolist() == [255, 255, 255]


def test_the_silent_one_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    silent = SilentWitness()
    silent.on_start(0)
    silent.on_step(1, {}, 0.1)
    silent.on_validation(1, {}, best=True)
    assert list(tmp_path.iterdir()) == []
