from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mr2ct.datasets.cases import (
    find_folders,
    find_synthrad,
    find_unpaired,
    patients_with_centres,
    read_csv,
)
from mr2ct.errors import DataSetError
from mr2ct.volume import Quantity


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not read here")
    return folder


def test_the_real_brain_slices_are_432_cases_of_144_patients_in_three_centres(shared_data: Path):
    cases = find_synthrad(shared_data / "brain-slices")
    assert len(cases) == 432
    assert Counter(patients_with_centres(cases).values()) == {"A": 48, "B": 48, "C": 48}
    assert all(case.mask is not None and case.patient == case.case.split("-")[0] for case in cases)


def test_real_brain_slices_tell_their_patients_without_a_listing_too(shared_data: Path, tmp_path: Path):
    for case in ("1BA001-axial", "1BA001-sagittal", "1BB002-axial"):
        touch(tmp_path, f"{case}/mr.nii.gz", f"{case}/ct.nii.gz")
    assert patients_with_centres(find_synthrad(tmp_path)) == {"1BA001": "A", "1BB002": "B"}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".mhd", ".nrrd"])
def test_synthrad_in_every_format(tmp_path: Path, suffix: str):
    touch(tmp_path, f"1BA001/mr{suffix}", f"1BA001/ct{suffix}", f"1BA001/mask{suffix}", "overview/1BA001_train.png")
    (case,) = find_synthrad(tmp_path)
    assert (case.case, case.patient, case.centre, case.source) == ("1BA001", "1BA001", "A", "real")
    assert (case.mr.name, case.ct.name, case.mask.name) == (f"mr{suffix}", f"ct{suffix}", f"mask{suffix}")


def test_a_synthrad_mask_is_optional_and_the_listing_names_the_source(tmp_path: Path):
    touch(tmp_path, "a/mr.mha", "a/ct.mha")
    (tmp_path / "cases.csv").write_text("case,patient,centre,source\na,head 1,P,phantom\n")
    (case,) = find_synthrad(tmp_path)
    assert (case.mask, case.patient, case.centre, case.source) == (None, "head 1", "P", "phantom")


def test_a_csv_s_own_column_of_sources_takes_no_case_out_of_the_split(tmp_path: Path):
    touch(tmp_path, "a/mr.mha", "a/ct.mha")
    table = tmp_path / "pairs.csv"
    table.write_text("case,mr,ct,source\na,a/mr.mha,a/ct.mha,Real\n")
    assert [case.source for case in read_csv(table)] == ["real"]
    table.write_text("case,mr,ct,source\na,a/mr.mha,a/ct.mha,scanner 2\n")
    with pytest.raises(DataSetError, match="unknown source of case a.*'scanner 2'"):
        read_csv(table)


def test_all_missing_partners_are_named(tmp_path: Path):
    touch(tmp_path, "a/mr.mha", "b/ct.mha", "b/mask.mha", "c/mr.mha", "c/ct.mha")
    with pytest.raises(
        DataSetError, match="2 missing partner.*a has only mr; b has only ct, mask.*`mr2ct import` lists"
    ):
        find_synthrad(tmp_path)


def test_two_files_for_one_image_are_refused(tmp_path: Path):
    touch(tmp_path, "a/mr.mha", "a/mr.nii.gz", "a/ct.mha")
    with pytest.raises(DataSetError, match="two files for the mr of case a"):
        find_synthrad(tmp_path)


def test_a_folder_without_cases_is_refused(tmp_path: Path):
    touch(tmp_path, "notes/readme.txt")
    with pytest.raises(DataSetError, match="no case in"):
        find_synthrad(tmp_path)
    with pytest.raises(DataSetError, match="no folder"):
        find_synthrad(tmp_path / "nowhere")


@pytest.mark.parametrize("given", [".", "Task1"])
def test_a_folder_too_high_says_where_the_cases_lie(tmp_path: Path, given: str):
    touch(tmp_path, "Task1/brain/1BA001/mr.mha", "Task1/brain/1BA001/ct.mha", "Task1/brain/overview/1BA001.png")
    right = tmp_path / "Task1" / "brain"
    with pytest.raises(DataSetError, match=f"is too high: its cases lie deeper; got {right}; .*; give {right}$"):
        find_synthrad(tmp_path / given)


def test_a_folder_too_low_says_which_is_right(tmp_path: Path):
    touch(tmp_path, "1BA001/mr.mha", "1BA001/ct.mha", "overview/1BA001.png")
    with pytest.raises(DataSetError, match=f"1BA001 is one case; give the folder of all cases, {tmp_path}$"):
        find_synthrad(tmp_path / "1BA001")
    with pytest.raises(DataSetError, match=f"no case in .*; give the folder above it, {tmp_path}$"):
        find_synthrad(tmp_path / "overview")


def test_two_folders_match_by_name_without_modality(tmp_path: Path):
    touch(tmp_path, "mr/1BA001_MR.nii.gz", "mr/p2.mha", "ct/1BA001_ct.nrrd", "ct/p2/ct.nii.gz", "mask/p2_mask.nii")
    first, second = find_folders(tmp_path / "mr", tmp_path / "ct", mask_dir=tmp_path / "mask")
    assert (first.case, first.centre, first.mask) == ("1BA001", "A", None)
    assert (second.case, second.ct.name, second.mask.name) == ("p2", "ct.nii.gz", "p2_mask.nii")


def test_mismatched_names_are_all_listed(tmp_path: Path):
    touch(tmp_path, "mr/a.mha", "mr/b.mha", "ct/b.mha", "ct/c.mha", "mask/z.mha")
    with pytest.raises(
        DataSetError, match="3 missing.*a has no CT; c has no MR; mask z has neither.*--layout unpaired"
    ):
        find_folders(tmp_path / "mr", tmp_path / "ct", mask_dir=tmp_path / "mask")


def test_two_entries_of_one_name_are_refused(tmp_path: Path):
    touch(tmp_path, "mr/a.mha", "mr/a_mr.nii.gz", "ct/a.mha")
    with pytest.raises(DataSetError, match="duplicate case a"):
        find_folders(tmp_path / "mr", tmp_path / "ct")


def test_an_empty_folder_is_refused(tmp_path: Path):
    touch(tmp_path, "mr/a.mha", "ct/.hidden.mha", "ct/notes/readme.txt")
    with pytest.raises(DataSetError, match="no volume in"):
        find_folders(tmp_path / "mr", tmp_path / "ct")


def test_several_volumes_in_a_patient_s_folder_need_a_telling_name(tmp_path: Path):
    touch(tmp_path, "mr/a/t1.mha", "mr/a/t2.mha", "ct/a/ct.mha", "ct/a/plan.mha")
    with pytest.raises(DataSetError, match="several volumes in .*t1.mha, t2.mha"):
        find_folders(tmp_path / "mr", tmp_path / "ct")
    (tmp_path / "mr/a/t1.mha").rename(tmp_path / "mr/a/mr.mha")
    assert find_folders(tmp_path / "mr", tmp_path / "ct")[0].mr.name == "mr.mha"


def test_a_dicom_series_folder_is_an_entry(shared_data: Path, tmp_path: Path):
    source = shared_data / "phantom-mr-ct" / "t2-dicom"
    (tmp_path / "mr" / "pig").mkdir(parents=True)
    for file in sorted(source.iterdir())[:2]:
        shutil.copy(file, tmp_path / "mr" / "pig")
    touch(tmp_path, "ct/pig.nii.gz")
    assert find_folders(tmp_path / "mr", tmp_path / "ct")[0].mr == tmp_path / "mr" / "pig"


def test_a_csv_names_files_beside_it(tmp_path: Path):
    touch(tmp_path, "x/mr.mha", "x/ct.mha", "x/mask.mha", "1BA002.nii", "ct2.nii")
    (tmp_path / "list.csv").write_text(
        "case,patient,centre,mr,ct,mask\nb,p1,X,x/mr.mha,x/ct.mha,x/mask.mha\n1BA002,,,1BA002.nii,ct2.nii,\n"
    )
    second, first = read_csv(tmp_path / "list.csv")
    assert (first.case, first.patient, first.centre, first.mask) == ("b", "p1", "X", tmp_path / "x/mask.mha")
    assert (second.patient, second.centre, second.mask) == ("1BA002", "A", None)


def test_a_csv_without_files_is_refused_and_all_are_named(tmp_path: Path):
    touch(tmp_path, "mr.mha")
    (tmp_path / "list.csv").write_text("case,mr,ct\na,mr.mha,\nb,mr.mha,gone.mha\n")
    with pytest.raises(DataSetError, match=r"2 missing.*a has no ct; b: no file .*gone.mha.*rows in .*list.csv$"):
        read_csv(tmp_path / "list.csv")


def test_unpaired_folders_keep_patients_apart_by_name_and_listing(tmp_path: Path):
    touch(tmp_path, "mr/a.mha", "mr/b_mr.mha", "ct/b_ct.mha", "ct/scan9.mha")
    (tmp_path / "ct/cases.csv").write_text("case,patient,centre\nscan9,a,X\nb_ct,b,\n")
    cases = {case.case: case for case in find_unpaired(tmp_path / "mr", tmp_path / "ct")}
    assert sorted(cases) == ["a-mr", "b-ct", "b-mr", "scan9-ct"]
    assert cases["b-ct"].patient == cases["b-mr"].patient == "b"
    assert cases["scan9-ct"].patient == cases["a-mr"].patient == "a"
    assert (cases["a-mr"].quantity, cases["b-ct"].quantity) == (Quantity.MR, Quantity.HU)


def test_a_patient_of_two_centres_is_refused(tmp_path: Path):
    touch(tmp_path, "a/mr.mha", "a/ct.mha", "b/mr.mha", "b/ct.mha")
    (tmp_path / "cases.csv").write_text("case,patient,centre\na,p,X\nb,p,Y\n")
    with pytest.raises(DataSetError, match="patient p has two centres"):
        patients_with_centres(find_synthrad(tmp_path))
