"""What a name tells of a volume, and who finds whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import DataSetError
from mr2ct.evaluation.case_folders import UNNAMED, Entry, by_name, entries_of, of_roles, partner, role_and_stem


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
    found = {(entry.role, entry.names[0]) for entry in entries_of(root)}
    assert found == {("ct", "p1"), ("ct", "p3"), ("ct", "p4")}


def test_an_empty_folder_is_an_error(tmp_path: Path):
    with pytest.raises(DataSetError, match="no volume in"):
        entries_of(tmp_path)


def test_an_unnamed_volume_counts_only_where_its_folder_names_none(tmp_path: Path):
    entries = entries_of(touch(tmp_path, "p1/ct.mha", "p1/t2.mha", "p2/scan.mha"))
    assert {entry.path.name for entry in of_roles(entries, ("ct", UNNAMED))} == {"ct.mha", "scan.mha"}


def test_a_partner_is_the_only_one_of_a_name():
    here, there = Entry(Path("a/p1/ct.mha"), "ct", "a/p1", ""), Entry(Path("b/p1/ct.mha"), "ct", "b/p1", "")
    index = by_name([here, there])
    assert partner(Entry(Path("p1_sct.mha"), "sct", "", "p1"), index) is None
    assert partner(Entry(Path("b/p1/sct.mha"), "sct", "b/p1", ""), index) == there
