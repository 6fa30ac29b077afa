"""Who gives MR and who gives CT: nobody gives both, and those who were drawn once stay where they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import DataSetError
from mr2ct.training.sides import Sides, draw_sides, read_sides, write_sides

PATIENTS = st.sets(st.sampled_from("abcdefghijkl"))


@given(with_mr=PATIENTS, with_ct=PATIENTS, later_mr=PATIENTS, later_ct=PATIENTS, seed=st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_nobody_gives_both_and_nobody_changes_sides(with_mr, with_ct, later_mr, later_ct, seed):
    first = draw_sides(with_mr, with_ct, seed=seed)
    assert {*first.mr, *first.ct} == with_mr | with_ct
    assert set(first.mr) <= with_mr
    assert set(first.ct) <= with_ct
    of_both = [len(with_mr & with_ct & set(side)) for side in (first.mr, first.ct)]
    assert 0 <= of_both[0] - of_both[1] <= 1
    second = draw_sides(later_mr, later_ct, seed=seed, kept=first)
    assert set(first.mr) <= set(second.mr)
    assert set(first.ct) <= set(second.ct)
    assert not set(second.mr) & set(second.ct)
    assert {*second.mr, *second.ct} == with_mr | with_ct | later_mr | later_ct


def test_what_was_written_is_read(tmp_path):
    sides = Sides(mr=("a", "c"), ct=("b",))
    write_sides(sides, tmp_path / "unpaired.json")
    assert read_sides(tmp_path / "unpaired.json") == sides


@pytest.mark.parametrize(
    "text", [None, "[1", "[]", '{"mr": ["a"]}', '{"mr": "a", "ct": ["b"]}', '{"mr": [1], "ct": []}']
)
def test_a_file_that_is_none_is_named(tmp_path, text):
    path = tmp_path / "unpaired.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataSetError, match="unpaired.json does not say which patients gave MR and which CT; got "):
        read_sides(path)


def test_a_patient_on_both_sides_is_named(tmp_path):
    (tmp_path / "unpaired.json").write_text(json.dumps({"mr": ["a", "b"], "ct": ["c", "b"]}))
    with pytest.raises(DataSetError, match="unpaired.json has patients on both sides; got b"):
        read_sides(tmp_path / "unpaired.json")
