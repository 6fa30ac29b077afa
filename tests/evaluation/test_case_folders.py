"""What a name tells of a volume, and who finds whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import DataSetError
from mr2ct.evaluation.case_folders import UNNAMED, entries_beside, entries_of, role_and_stem


@pytest.mark.parametrize(
    ("name", "role", "stem"),
    [
        ("p07_sct", "sct", "p07"),
        ("p07_mr_sct", "sct", "p07"),
        ("mr_sct", "sct", ""),
        ("SCT-p07", "sct", "p07"),
        ("ct", "ct", ""),
        ("p07.CT", "ct", "p07"),
        ("ct_mask", "mask", ""),
        ("p07_sct_labels", "labels", "p07"),
        ("p07_sct_uncertainty", "uncertainty", "p07"),
        ("p07", UNNAMED, "p07"),
        ("director", UNNAMED, "director"),
        ("1BA001-axial", UNNAMED, "1BA001-axial"),
    ],
)
def test_the_name_tells_role_and_case(name: str, role: str, stem: str):
    assert role_and_stem(name) == (role, stem)


@given(st.from_regex(r"[0-9]{1,3}[a-z]{0,2}[0-9]{1,3}", fullmatch=True), st.sampled_from(["ct", "mr", "mask", "sct"]))
def test_a_role_word_is_found_before_and_after_any_name(stem: str, role: str):
    assert role_and_stem(f"{stem}_{role}") == role_and_stem(f"{role}-{stem}") == (role, stem)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_tree_is_walked_and_what_is_no_volume_is_not_in_it(tmp_path: Path):
    root = touch(tmp_path, "p1/ct.nii.gz", "p1/notes.txt", ".p2/ct.mha", "p1/.half.nii", "ct/p3.mha", "p4_ct.nrrd")
    found = {(entry.role, entry.name) for entry in entries_of(root)}
    assert found == {("ct", "p1"), ("ct", "p3"), ("ct", "p4")}


def test_an_empty_folder_is_an_error(tmp_path: Path):
    with pytest.raises(DataSetError, match="no volume in"):
        entries_of(tmp_path)


def test_folders_that_tell_a_role_are_no_part_of_the_case(tmp_path: Path):
    found = entries_of(touch(tmp_path, "site1/ct/p1.mha", "site1/mask/p1_mask.mha"))
    assert [(entry.role, entry.parts) for entry in found] == [("ct", ("site1", "p1")), ("mask", ("site1", "p1"))]


def test_a_folder_of_pictures_is_shown_the_way_to_volumes(tmp_path: Path):
    with pytest.raises(DataSetError, match=r"no volume in .*; pictures are not evaluated .*use-pictures\.md"):
        entries_of(touch(tmp_path, "p1_000.png"))


def test_a_name_that_repeats_its_folder_s_counts_once(tmp_path: Path):
    [entry] = entries_of(touch(tmp_path, "p1/p1_ct.mha"))
    assert (entry.parts, entry.in_folder) == (("p1",), False)


def test_what_lies_beside_a_volume_is_listed_without_sub_folders(tmp_path: Path):
    root = touch(tmp_path, "p1/ct.mha", "p1/mask.mha", "p1/old/mask.mha", "p1/notes.txt", "p2/mask.mha")
    found = [(entry.path, entry.role, entry.parts) for entry in entries_beside(root / "p1" / "ct.mha")]
    assert found == [(root / "p1/ct.mha", "ct", ("p1",)), (root / "p1/mask.mha", "mask", ("p1",))]
