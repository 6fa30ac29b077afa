from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mr2ct.cli.main import main
from mr2ct.datasets.splits import Split, write_split
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.volume import Quantity, Volume


def audit(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["audit", *map(str, arguments), "--jobs", "1"])
    return int(stopped.value.code or 0)


def write_pair(folder: Path, seed: int, *, shift: int = 0, suffix: str = ".nii.gz") -> None:
    """One slice of an ellipse with a bony shell and folds of its own; the CT may lie some pixels off."""
    rng = np.random.default_rng(seed)
    i, j = np.meshgrid(np.linspace(-1.2, 1.2, 120), np.linspace(-1.2, 1.2, 140), indexing="ij")
    radius = np.hypot(i, j) * (1 + 0.1 * np.sin(3 * np.arctan2(i, j) + seed))
    folds = 40 * np.sign(np.sin(rng.uniform(8, 16) * i + rng.uniform(8, 16) * j * rng.choice([-1, 1])))
    layers = [radius < 0.8, radius < 0.92, radius < 1.0]
    mr = np.select(layers, [150 + folds, 10, 220], default=2) + rng.uniform(0, 4, radius.shape)
    ct = np.select(layers, [40, 1000 + 9 * folds / 40, -80], default=-1000) + rng.normal(0, 5, radius.shape)
    ct = np.roll(ct, shift, axis=0)
    grid = Geometry((120, 140, 1), np.diag([1.0, 1.0, 1.0, 1.0]))
    write_volume(Volume(mr[..., None].astype(np.float32), grid, Quantity.MR), folder / f"mr{suffix}")
    write_volume(Volume(ct[..., None].astype(np.float32), grid, Quantity.HU), folder / f"ct{suffix}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_pair(tmp_path / "data" / "good", 0)
    write_pair(tmp_path / "data" / "shifted", 1, shift=6)
    write_pair(tmp_path / "data" / "twin", 0, suffix=".mha")
    return tmp_path / "data"


def test_an_audit_writes_its_findings_and_says_them(data: Path, tmp_path: Path, capsys):
    split = write_split(Split(train=("good", "shifted"), validation=(), test=("twin",)), tmp_path / "split.json")
    assert audit(data, "-o", tmp_path / "out", "--split", split) == 0
    said = capsys.readouterr().out
    assert "3 pairs: 3 to exclude" in said
    assert "leak: " not in said
    assert "exclude: good: train case of the same head as twin (patient twin, test)" in said
    assert "exclude: shifted: the CT lies 6." in said
    rows = {row["case"]: row for row in csv.DictReader((tmp_path / "out" / "audit.csv").open())}
    assert {case: row["findings"] for case, row in rows.items()} == {
        "good": "leak", "shifted": "displaced", "twin": "leak"
    }  # fmt: skip
    assert {case: float(row["weight"]) for case, row in rows.items()} == {"good": 0, "shifted": 0, "twin": 1}
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["options"]["split"] == str(split)
    assert (tmp_path / "out" / "contact_sheet.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "weights.csv").read_text().startswith("case,weight\ngood,0\n")


def test_the_sheet_can_be_left_out_and_layouts_chosen(data: Path, tmp_path: Path):
    table = tmp_path / "pairs.csv"
    table.write_text("case,mr,ct\na,data/good/mr.nii.gz,data/good/ct.nii.gz\n")
    assert audit(table, "-o", tmp_path / "out", "--sheet", "0") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audit.csv", "audit.json", "weights.csv"]
    assert (tmp_path / "out" / "weights.csv").read_text() == "case,weight\na,1\n"


def test_names_may_look_like_markup(data: Path, tmp_path: Path, capsys, monkeypatch):
    table = tmp_path / "pairs.csv"
    table.write_text("case,mr,ct\np1[/x],data/good/mr.nii.gz,data/good/ct.nii.gz\n")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert audit(table, "-o", tmp_path / "out", "--sheet", "0") == 0
    assert "p1[/x]" in capsys.readouterr().err


def test_unpaired_data_and_missing_splits_are_refused(data: Path, tmp_path: Path, capsys):
    assert audit("--layout", "unpaired", "--mr", data / "good", "--ct", data / "twin", "-o", tmp_path / "out") == 2
    assert audit(data, "-o", tmp_path / "out", "--split", tmp_path / "none.json") == 2
    assert "no split file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(data: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("mr2ct.trust.pair_audit.audit", lambda *_, **__: pytest.fail("the pairs were audited"))
    (tmp_path / "out").write_text("a file")
    assert audit(data, "-o", tmp_path / "out") == 2
    assert "cannot write to" in capsys.readouterr().err
