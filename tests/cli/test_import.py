from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mr2ct.cli.main import main
from mr2ct.datasets.cases import read_csv
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.volume import Quantity, Volume

PARTS = {"mr": Quantity.MR, "ct": Quantity.HU, "mask": Quantity.MASK}


def write_case(folder: Path, parts: tuple[str, ...] = ("mr", "ct", "mask"), *, suffix: str = ".nii.gz") -> None:
    geometry = Geometry((3, 3, 2), np.eye(4))
    for part in parts:
        write_volume(Volume(np.ones((3, 3, 2), np.uint8), geometry, PARTS[part]), folder / f"{part}{suffix}")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["import", *map(str, arguments)])
    return int(stopped.value.code or 0)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Five cases of two regions and three centres, a case of another task, and one without a CT."""
    for case in ("brain/1BA001", "brain/1BA002", "brain/1BC001", "pelvis/1PA001", "pelvis/1PC007"):
        write_case(tmp_path / "Task1" / case)
    write_case(tmp_path / "Task1" / "brain" / "2BA001")
    write_case(tmp_path / "Task1" / "brain" / "1BB009", ("mr", "mask"))
    return tmp_path / "Task1"


def test_cases_are_counted_by_region_and_centre_and_listed(release: Path, tmp_path: Path, capsys):
    assert run("synthrad2023", release, "-o", tmp_path / "cases.csv") == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split() for line in said[:4]] == [
        ["region", "A", "C", "all"], ["brain", "2", "1", "3"], ["pelvis", "1", "1", "2"], ["all", "3", "2", "5"]
    ]  # fmt: skip
    assert said[4:6] == [
        "left out: 1 (no CT, as in the validation and test sets): 1BB009",
        "left out: 1 (task 2, cone-beam CT to CT): 2BA001",
    ]
    assert said[6].endswith("cases.csv: 5 cases; next: mr2ct preprocess " + str(tmp_path / "cases.csv") + " -o STORE")
    assert len(read_csv(tmp_path / "cases.csv")) == 5


def test_the_next_command_can_be_pasted(release: Path, tmp_path: Path, capsys):
    table = tmp_path / "my lists" / "cases.csv"
    assert run("synthrad2023", release, "-o", table) == 0
    assert capsys.readouterr().out.endswith(f"next: mr2ct preprocess '{table}' -o STORE\n")
    write_case(tmp_path / "my slices" / "1BA001-axial")
    assert run("synthrad2023", tmp_path / "my slices") == 2
    assert f"`mr2ct preprocess '{tmp_path / 'my slices'}' -o STORE`" in capsys.readouterr().err


def test_faulty_cases_are_named_with_exit_code_1_and_the_others_listed(release: Path, tmp_path: Path, capsys):
    (release / "brain" / "1BA001" / "mask.nii.gz").unlink()
    assert run("synthrad2023", release, "-o", tmp_path) == 1
    assert "faulty: 1 (no mask (mask.nii.gz or mask.mha)): 1BA001" in capsys.readouterr().err
    assert len(read_csv(tmp_path / "cases.csv")) == 4


def test_the_list_lies_in_this_folder_unless_told(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert run("synthrad2023", release, "--region", "brain", "--centre", "A", "--centre", "C") == 0
    assert [case.case for case in read_csv(tmp_path / "synthrad2023.csv")] == ["1BA001", "1BA002", "1BC001"]


def test_what_cannot_be_imported_is_one_line_and_exit_code_2(release: Path, tmp_path: Path, capsys):
    assert run("synthrad2025", release, "-o", tmp_path / "cases.csv") == 2
    assert "region B is of synthrad2023: 1BA001" in capsys.readouterr().err
    assert not (tmp_path / "cases.csv").exists()
    assert run("synthrad2023", release / "brain" / "1BA001") == 2
    assert "is one case" in capsys.readouterr().err
    assert run("synthrad2024", release) == 2


def test_what_is_imported_is_prepared(tmp_path: Path, capsys):
    rng = np.random.default_rng(0)
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(*[np.linspace(-1, 1, n) for n in (12, 12, 6)], indexing="ij")))
    geometry = Geometry(radius.shape, np.diag([-2.0, -2.0, 6.0, 1.0]))
    mr = np.where(radius < 0.9, 300.0, 0.0) + rng.uniform(0, 20, radius.shape)
    ct = np.select([radius < 0.7, radius < 0.9], [40, 1000], default=-1000)
    folder = tmp_path / "Task1" / "TH" / "1THB013"
    write_volume(Volume(mr.astype(np.float32), geometry, Quantity.MR), folder / "mr.mha")
    write_volume(Volume(ct.astype(np.int16), geometry, Quantity.HU), folder / "ct.mha")
    write_volume(Volume((radius < 0.9).astype(np.uint8), geometry, Quantity.MASK), folder / "mask.mha")
    assert run("synthrad2025", tmp_path / "Task1", "-o", tmp_path / "thorax.csv") == 0
    with pytest.raises(SystemExit) as stopped:
        main(["preprocess", str(tmp_path / "thorax.csv"), "-o", str(tmp_path / "store"), "--spacing-mm", "2,2,6"])
    assert not stopped.value.code
    assert "1 cases prepared, 0 already there, 0 failed" in capsys.readouterr().out
