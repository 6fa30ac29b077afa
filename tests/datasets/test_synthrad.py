"""SynthRAD releases as people have them on disk: whole, in part, too high, too low, mixed up."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mr2ct.datasets.cases import read_csv
from mr2ct.datasets.synthrad import case_folders, import_synthrad, write_cases
from mr2ct.datasets.synthrad_releases import RELEASES
from mr2ct.errors import DataSetError
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.volume import Quantity, Volume

RELEASE_2023, RELEASE_2025 = RELEASES["synthrad2023"], RELEASES["synthrad2025"]
QUANTITIES = {"mr": Quantity.MR, "ct": Quantity.HU, "mask": Quantity.MASK, "cbct": Quantity.HU}


def write_part(path: Path, *, shape: tuple[int, int, int] = (4, 5, 3), shift_mm: float = 0.0) -> Path:
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    affine[0, 3] = shift_mm
    quantity = QUANTITIES[path.name.split(".")[0].lower()]
    return write_volume(Volume(np.ones(shape, dtype=np.uint8), Geometry(shape, affine), quantity), path)


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., Path]:
    """Write cases of the named parts into a folder and return it."""

    def write(*cases: str, at: str = "Task1/brain", parts: str = "mr ct mask", suffix: str = ".nii.gz") -> Path:
        for case in cases:
            for part in parts.split():
                write_part(tmp_path / at / case / f"{part}{suffix}")
        overview = tmp_path / at / "overview"
        overview.mkdir(parents=True, exist_ok=True)
        (overview / "1BA001_train.png").write_bytes(b"picture")
        return tmp_path / at

    return write


def names(found) -> list[str]:
    return [case.case for case in found.cases]


# --- what is there


@pytest.mark.parametrize("level", ["Task1/brain", "Task1", "."])
def test_a_region_a_task_and_an_archive_hold_the_same_cases(release, tmp_path: Path, level: str):
    release("1BA001", "1BC012")
    found = import_synthrad(tmp_path / level, RELEASE_2023)
    assert [(c.case, c.region, c.centre) for c in found.cases] == [("1BA001", "brain", "A"), ("1BC012", "brain", "C")]
    assert found.left_out == found.faulty == {}
    first = found.cases[0]
    assert [path.name for path in (first.mr, first.ct, first.mask)] == ["mr.nii.gz", "ct.nii.gz", "mask.nii.gz"]


def test_regions_and_centres_of_2025_come_from_the_names(release, tmp_path: Path):
    for region, case in {"HN": "1HNA001", "TH": "1THB013", "AB": "1ABC005"}.items():
        release(case, at=f"synthRAD2025_Task1_Train/Task1/{region}", suffix=".mha")
    release("1HND001", at="synthRAD2025_Task1_Train_D/Task1/HN", suffix=".mha")
    found = import_synthrad(tmp_path, RELEASE_2025)
    assert [(c.region, c.centre) for c in found.cases] == [
        ("abdomen", "C"), ("head-and-neck", "A"), ("head-and-neck", "D"), ("thorax", "B")
    ]  # fmt: skip


def test_regions_and_centres_can_be_chosen(release, tmp_path: Path):
    release("1BA001", "1BB001")
    release("1PA001", at="Task1/pelvis")
    root = tmp_path / "Task1"
    assert names(import_synthrad(root, RELEASE_2023, regions=["Pelvis"])) == ["1PA001"]
    assert names(import_synthrad(root, RELEASE_2023, regions=["b"], centres=["b"])) == ["1BB001"]
    assert names(import_synthrad(root, RELEASE_2023, centres=["A"])) == ["1BA001", "1PA001"]
    with pytest.raises(DataSetError, match="none left by --region and --centre"):
        import_synthrad(root, RELEASE_2023, regions=["P"], centres=["C"])
    with pytest.raises(DataSetError, match=r"synthrad2023 has no region 'liver'; expected brain \(B\), pelvis \(P\)"):
        import_synthrad(root, RELEASE_2023, regions=["liver"])
    with pytest.raises(DataSetError, match="synthrad2023 has no centre 'D'; expected A, B, C"):
        import_synthrad(root, RELEASE_2023, centres=["D"])


# --- what is left out as the release has it


def test_cases_of_cone_beam_ct_are_left_out_and_named(release, tmp_path: Path):
    release("1BA001")
    release("2BA001", at="Task2/brain", parts="cbct ct mask")
    found = import_synthrad(tmp_path, RELEASE_2023)
    assert names(found) == ["1BA001"]
    assert found.left_out == {"2BA001": "task 2, cone-beam CT to CT"}
    with pytest.raises(DataSetError, match="no case of MR to CT .*; got task 2, cone-beam CT to CT: 2BA001; expected"):
        import_synthrad(tmp_path / "Task2", RELEASE_2023)


def test_cases_without_a_ct_are_left_out_and_named(release, tmp_path: Path):
    release("1ABA005", at="Train/AB", suffix=".mha")
    release("1ABA002", "1ABA007", at="Val/AB", parts="mr mask", suffix=".mha")
    found = import_synthrad(tmp_path, RELEASE_2025)
    assert names(found) == ["1ABA005"]
    assert found.left_out == dict.fromkeys(["1ABA002", "1ABA007"], "no CT, as in the validation and test sets")
    with pytest.raises(DataSetError, match="no CT, as in the validation and test sets: 1ABA002, 1ABA007"):
        import_synthrad(tmp_path / "Val", RELEASE_2025)


# --- faulty cases


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ("mr ct", "no mask (mask.nii.gz or mask.mha)"),
        ("ct mask", "no mr (mr.nii.gz or mr.mha)"),
        ("mask", "no mr and no ct (mr.nii.gz or mr.mha)"),
        ("", "no mr and no ct and no mask (mr.nii.gz or mr.mha)"),
    ],
)
def test_what_is_missing_is_named(release, parts: str, reason: str):
    root = release("1BA001")
    release("1BA002", parts=parts)
    (root / "1BA002").mkdir(exist_ok=True)
    found = import_synthrad(root, RELEASE_2023)
    assert (names(found), found.faulty) == (["1BA001"], {"1BA002": reason})


def test_mixed_formats_and_doubled_files_are_named(release):
    root = release("1BA001", "1BA002", "1BA003")
    (root / "1BA002" / "ct.nii.gz").unlink()
    write_part(root / "1BA002" / "ct.mha")
    write_part(root / "1BA003" / "mr.mha")
    assert import_synthrad(root, RELEASE_2023).faulty == {
        "1BA002": "mixed formats: ct.mha, mask.nii.gz, mr.nii.gz",
        "1BA003": "two files for the mr: mr.mha and mr.nii.gz",
    }


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
@pytest.mark.parametrize(("part", "change"), [("ct", {"shape": (4, 5, 2)}), ("mask", {"shift_mm": 0.5})])
def test_other_grids_are_found_in_the_headers(release, part: str, change: dict, suffix: str):
    root = release("1BA001", "1BA002", suffix=suffix)
    write_part(root / "1BA002" / f"{part}{suffix}", **change)
    found = import_synthrad(root, RELEASE_2023)
    assert names(found) == ["1BA001"]
    assert found.faulty["1BA002"].startswith(f"{part} and mr lie on different grids: ")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_an_unreadable_header_is_a_faulty_case(release, suffix: str):
    root = release("1BA001", "1BA002", suffix=suffix)
    (root / "1BA002" / f"ct{suffix}").write_bytes(b"not an image")
    assert "cannot read" in import_synthrad(root, RELEASE_2023).faulty["1BA002"]


def test_names_that_are_none_of_the_release_are_named(release):
    root = release("1BA001", "1BE001", "1HNA001", "1XA001", "patient7", "1BA01", "1ba002")
    unreadable = "the name is not <task><region><centre><number>, such as 1BA001 or 1HNA001"
    assert import_synthrad(root, RELEASE_2023).faulty == {
        "1BE001": "centre E is none of A, B, C",
        "1HNA001": "region HN is of synthrad2025",
        "1XA001": "region X is none of B, P",
        "patient7": unreadable,
        "1BA01": unreadable,
        "1ba002": unreadable,
    }


def test_the_other_release_is_recognised(release):
    with pytest.raises(DataSetError, match="that synthrad2025 can have; got region B is of synthrad2023: 1BA001"):
        import_synthrad(release("1BA001"), RELEASE_2025)


# --- the wrong folder


def test_a_folder_too_high_says_where_the_cases_lie(release, tmp_path: Path):
    deep = release("1BA001", at="a/b/c/d/Task1/brain")
    with pytest.raises(DataSetError, match=r"is too high: its cases lie deeper; .*; give .*/d/Task1/brain") as raised:
        import_synthrad(tmp_path / "a", RELEASE_2023)
    assert str(deep) in str(raised.value)


def test_a_folder_too_low_says_which_is_right(release):
    root = release("1BA001")
    with pytest.raises(DataSetError, match=f"is one case; give the folder of all cases, {root}"):
        import_synthrad(root / "1BA001", RELEASE_2023)
    with pytest.raises(DataSetError, match=f"no case in .*; give the folder above it, {root}"):
        import_synthrad(root / "overview", RELEASE_2023)


def test_no_folder_and_an_empty_folder(tmp_path: Path):
    with pytest.raises(DataSetError, match=r"no folder .*Task1\.zip; unpack the archive and give what came out"):
        import_synthrad(tmp_path / "Task1.zip", RELEASE_2023)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataSetError, match="no case in .*such as 1BA001/mr.nii.gz"):
        import_synthrad(tmp_path / "empty", RELEASE_2023)


def test_one_case_in_two_folders_is_refused(release, tmp_path: Path):
    release("1BA001")
    release("1BA001", at="Task1/copy")
    with pytest.raises(DataSetError, match="duplicate case 1BA001; got .*brain/1BA001 and .*copy/1BA001"):
        import_synthrad(tmp_path, RELEASE_2023)


def test_single_slices_are_shown_the_way_to_preprocess(release):
    root = release("1BA001-axial", "1BA001-coronal", at="slices")
    with pytest.raises(DataSetError, match=f"holds single slices.*1BA001-axial.*`mr2ct preprocess {root} -o STORE`"):
        import_synthrad(root, RELEASE_2023)


def test_the_real_slices_are_shown_the_way_to_preprocess(shared_data: Path):
    with pytest.raises(DataSetError, match="holds single slices.* in all"):
        case_folders(shared_data / "brain-slices")


# --- the table


def test_the_table_is_what_preprocess_reads(release, tmp_path: Path):
    cases = import_synthrad(release("1BA001", "1BB002"), RELEASE_2023).cases
    beside, elsewhere = tmp_path / "cases.csv", tmp_path / "lists" / "brain.csv"
    for path in (beside, elsewhere, beside):
        write_cases(cases, path)
        read = read_csv(path)
        assert [(c.case, c.patient, c.centre) for c in read] == [("1BA001", "1BA001", "A"), ("1BB002", "1BB002", "B")]
        assert [c.mask.resolve() for c in read] == [c.mask.resolve() for c in cases]
    with beside.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["region"] == "brain"
    assert rows[0]["mr"] == "Task1/brain/1BA001/mr.nii.gz"


def test_a_table_of_something_else_is_kept(release, tmp_path: Path):
    cases = import_synthrad(release("1BA001", "1BB002"), RELEASE_2023).cases
    path = write_cases(cases[:1], tmp_path / "cases.csv")
    with pytest.raises(DataSetError, match="is there already and lists something else"):
        write_cases(cases, path)
    assert len(read_csv(path)) == 1
