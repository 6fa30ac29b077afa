"""`mr2ct evaluate`, whole: what it writes, what it says, and how it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mr2ct.cli.main import main
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.volume import Quantity, Volume

CASES = ["1BA001-x", "1BA001-y", "1BB002-x"]


def evaluate(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *map(str, arguments), "--jobs", "1"])
    return int(stopped.value.code or 0)


@pytest.fixture
def truth(tmp_path: Path, write_truth) -> Path:
    return write_truth(tmp_path / "truth", CASES)


@pytest.fixture
def converted(tmp_path: Path, write_converted) -> Path:
    return write_converted(tmp_path / "first", CASES)


def test_folders_become_a_report(truth: Path, converted: Path, tmp_path: Path, capsys):
    assert evaluate(converted, truth, "-o", tmp_path / "r", "--pictures", "1") == 0
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"report.html", "cases.csv", "summary.json"}
    output = capsys.readouterr()
    assert "Over 3 cases of 2 patients from 2 centres, the sCTs of first reach MAE" in output.out
    with (tmp_path / "r" / "cases.csv").open() as file:
        assert [row["case"] for row in csv.DictReader(file)] == CASES
    page = (tmp_path / "r" / "report.html").read_text()
    assert page.count("<img") == 2
    assert "https:" not in page


def test_two_files_and_a_mask_make_one_case(truth: Path, converted: Path, tmp_path: Path):
    folder = truth / CASES[0]
    code = evaluate(
        converted / CASES[0] / "mr_sct.nii.gz", folder / "ct.nii.gz", "--mask", folder / "mask.nii.gz",
        "--protocol", "synthrad2025-evaluation", "-o", tmp_path / "r", "--pictures", "0",
    )  # fmt: skip
    assert code == 0
    record = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert (record["protocol"], record["n_cases"]) == ("synthrad2025-evaluation", 1)
    assert "ms_ssim" in record["overall"]
    assert "ssim" not in record["overall"]


def test_models_are_compared(truth: Path, converted: Path, tmp_path: Path, write_converted):
    other = write_converted(tmp_path / "other", CASES, error_hu=60.0)
    assert (
        evaluate(converted, truth, "--name", "A", "--also", f"B={other}", "-o", tmp_path / "r", "--pictures", "0") == 0
    )
    record = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert [rank["model"] for rank in record["comparison"]["ranks"]] == ["A", "B"]
    assert (tmp_path / "r" / "cases_B.csv").exists()


def test_a_csv_is_enough(truth: Path, converted: Path, tmp_path: Path):
    rows = [f"{n},anna,Ulm,first/{case}/mr_sct.nii.gz,truth/{case}/ct.nii.gz" for n, case in enumerate(CASES)]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(["case,patient,centre,sct,ct", *rows]))
    assert evaluate(table, "-o", tmp_path / "r", "--pictures", "0") == 0
    record = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert (record["n_patients"], list(record["by_centre"])) == (1, ["Ulm"])


def test_a_split_chooses_the_test_patients(truth: Path, converted: Path, tmp_path: Path):
    from mr2ct.datasets.splits import Split, write_split

    write_split(Split(train=("1BA001",), validation=(), test=("1BB002",)), tmp_path / "split.json")
    assert evaluate(converted, truth, "--split", tmp_path / "split.json", "-o", tmp_path / "r", "--pictures", "0") == 0
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["n_cases"] == 1


def test_what_is_left_out_is_said_everywhere(truth: Path, converted: Path, tmp_path: Path, capsys):
    (converted / CASES[0] / "mr_sct.nii.gz").unlink()
    assert evaluate(converted, truth, "-o", tmp_path / "r", "--pictures", "0") == 0
    words = f"{CASES[0]}: no sCT of that name"
    assert words in capsys.readouterr().err
    assert words in (tmp_path / "r" / "report.html").read_text()
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["excluded"][0]["case"] == CASES[0]


def test_a_case_that_fails_costs_exit_code_1_and_no_other_case(truth: Path, converted: Path, tmp_path: Path, capsys):
    (converted / CASES[0] / "mr_sct.nii.gz").write_bytes(b"cut off")
    assert evaluate(converted, truth, "-o", tmp_path / "r", "--pictures", "0") == 1
    assert f"failed: {CASES[0]}: " in capsys.readouterr().err
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["n_cases"] == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("grid", "sCT and CT lie on different grids"),
        ("empty mask", "the mask is empty"),
        ("mask in air", "mask and CT do not overlap"),
    ],
)
def test_a_single_bad_pair_is_one_line_and_exit_code_2(truth, converted, tmp_path, capsys, spoil: str, words: str):
    sct, ct, mask = converted / CASES[0] / "mr_sct.nii.gz", truth / CASES[0] / "ct.nii.gz", tmp_path / "m.nii.gz"
    geometry = read_volume(ct).geometry
    marked = np.zeros(geometry.shape, np.uint8)
    marked[0, 0, 0] = spoil == "mask in air"
    if spoil == "grid":
        marked[:] = 1
        moved = Geometry(geometry.shape, geometry.affine + np.diag([0.5, 0, 0, 0]))
        write_volume(Volume(read_volume(sct).voxels, moved, Quantity.HU), sct)
    write_volume(Volume(marked, geometry, Quantity.MASK), mask)
    assert evaluate(sct, ct, "--mask", mask, "-o", tmp_path / "r") == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert "\n" not in error
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("also", "words"), [("nothing", "unusable --also"), ("first=x", "two models of one name")])
def test_a_bad_also_is_refused(truth: Path, converted: Path, tmp_path: Path, capsys, also: str, words: str):
    assert evaluate(converted, truth, "--also", also, "-o", tmp_path / "r") == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("where", ["truth", "r"])
def test_a_listing_of_patients_is_not_replaced(truth: Path, converted: Path, tmp_path: Path, capsys, where: str):
    listing = tmp_path / where / "cases.csv"
    listing.parent.mkdir(exist_ok=True)
    listing.write_text("case,patient\n1BA001-x,anna\n")
    assert evaluate(converted, truth, "-o", listing.parent, "--pictures", "0") == 2
    assert "cases.csv is not a report's, and would be replaced" in capsys.readouterr().err
    assert [path for path in listing.parent.iterdir() if path.suffix in (".html", ".json")] == []
    assert listing.read_text() == "case,patient\n1BA001-x,anna\n"


def test_a_report_replaces_a_report_but_not_among_the_images(truth: Path, converted: Path, tmp_path: Path, capsys):
    for folder, code in (("r", 0), ("first", 2)):
        assert evaluate(converted, truth, "-o", tmp_path / folder, "--pictures", "0") == 0
        assert evaluate(converted, truth, "-o", tmp_path / folder, "--pictures", "0") == code
    assert "is a folder of sCTs or CTs" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_refused_before_the_work(truth: Path, converted: Path, tmp_path, capsys):
    (tmp_path / "r").write_text("a file")
    (converted / CASES[0] / "mr_sct.nii.gz").write_bytes(b"cut off")
    assert evaluate(converted, truth, "-o", tmp_path / "r") == 2
    error = capsys.readouterr().err
    assert "cannot write to" in error
    assert "failed: " not in error


def test_a_perfect_model_costs_no_comparison(truth: Path, converted: Path, tmp_path: Path, write_converted):
    perfect = write_converted(tmp_path / "other", CASES, error_hu=0.0)
    assert evaluate(converted, truth, "--also", f"perfect={perfect}", "-o", tmp_path / "r", "--pictures", "0") == 0
    ranks = json.loads((tmp_path / "r" / "summary.json").read_text())["comparison"]["ranks"]
    assert [(rank["model"], "psnr_db" in rank["scores"]) for rank in ranks] == [("perfect", False), ("first", False)]
    assert (tmp_path / "r" / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--labels-sct", "x"], "label maps of the sCTs alone"),
        (["--labels-ct", "x"], "label maps of the CTs alone"),
        (["--target-label", "3"], "a target without a dose"),
    ],
)
def test_an_option_that_nothing_would_be_done_with_is_refused(truth, converted, tmp_path, capsys, options, words: str):
    assert evaluate(converted, truth, *options, "-o", tmp_path / "r") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
