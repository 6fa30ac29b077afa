"""The picture of a training is drawn from what the run wrote, also where a run was cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.errors import DataSetError
from mr2ct.evaluation.training_curve import read_curves, write_training_curve

ROWS = "step,minutes,kind,name,value\n50,0.1,train,l1,0.3\n50,0.1,train,learning_rate,0.001\n100,0.2,train,l1,0.2\n"
SCORES = "100,0.3,validation,mae_hu,120.5\n100,0.3,validation,mae_hu_axial,110\n"


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_text(ROWS + SCORES + "150,0.4,train,l1,")
    return path


def test_curves_are_read_and_a_row_cut_short_is_left(metrics: Path):
    curves = read_curves(metrics)
    assert curves["train"]["l1"] == [(50, 0.3), (100, 0.2)]
    assert curves["validation"]["mae_hu"] == [(100, 120.5)]


def test_a_picture_of_one_stage_and_of_two(metrics: Path, tmp_path: Path):
    from PIL import Image

    for number in (1, 2):
        path = write_training_curve(tmp_path / "training.png", [metrics] * number, title="tiny")
        assert Image.open(path).width == 800
        assert path.stat().st_size < 150_000


def test_stages_go_on_from_each_other(metrics: Path):
    from mr2ct.evaluation.training_curve import _joined

    joined, borders = _joined([read_curves(metrics)] * 2)
    assert joined["train"]["l1"] == [(50, 0.3), (100, 0.2), (150, 0.3), (200, 0.2)]
    assert borders == [100]


def test_a_picture_of_stages_without_a_table_stays_above(metrics: Path, tmp_path: Path):
    from PIL import Image

    first = write_training_curve(tmp_path / "first.png", [metrics], title="first")
    both = Image.open(write_training_curve(tmp_path / "both.png", [metrics], title="second", below=[first]))
    one = Image.open(first).convert("RGB")
    assert both.size == (one.width, 2 * one.height)
    assert both.crop((0, 0, *one.size)).tobytes() == one.tobytes()


def test_terms_below_nought_can_be_drawn(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,minutes,kind,name,value\n50,0.1,train,correlation,-0.3\n100,0.2,train,correlation,-0.5\n")
    assert write_training_curve(tmp_path / "training.png", [path]).stat().st_size > 1000


@pytest.mark.parametrize("text", [None, "", "step,minutes,kind,name,value\n", "step,kind\n1,train\n", "a,value\n1,2\n"])
def test_what_is_no_table_of_a_run_is_an_error(tmp_path: Path, text: str | None):
    path = tmp_path / "metrics.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataSetError, match=r"metrics\.csv"):
        write_training_curve(tmp_path / "training.png", [path])
