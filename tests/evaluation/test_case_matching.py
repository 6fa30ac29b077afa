"""Who finds whom, and who must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.evaluation.case_folders import Entry
from mr2ct.evaluation.case_matching import closest, matched, names_of, why_alone
from mr2ct.evaluation.case_roles import Candidates


def entry(name: str) -> Entry:
    """`p1/head` for a bare name in a folder, `p1/` for none."""
    folder, _, stem = name.rpartition("/")
    return Entry(Path(folder) / f"{stem}_ct.mha", "ct", folder, stem)


def pairs(ones: list[str], others: list[str]) -> set[tuple[str, str]]:
    names = {entry(name).path: name for name in (*ones, *others)}
    found = matched(Candidates(tuple(map(entry, ones))), Candidates(tuple(map(entry, others))))
    return {(names[one.path], names[other.path]) for one, other in found}


@pytest.mark.parametrize(
    ("one", "other"),
    [("p1", "p1/"), ("p1/head", "p1/"), ("p1/head", "p1"), ("p1/head", "head"), ("deep/p1", "p1/"),
     ("site1/p1/head", "p1/head"), ("p1/p1", "p1/"), ("site1/p1/", "p1"), ("", "")],
)  # fmt: skip
def test_a_shorter_name_is_enough_where_nothing_contradicts_it(one: str, other: str):
    assert pairs([one], [other]) == {(one, other)}
    assert pairs([other], [one]) == {(other, one)}


@pytest.mark.parametrize(
    ("one", "other"),
    [("p1/head", "p2/head"), ("site1/p1", "site1/p3"), ("site1/p1/", "site2/p1/"), ("deep/p1", "flat/p1"),
     ("site1/p1", "p1/head"), ("p1", ""), ("p1", "p12")],
)  # fmt: skip
def test_names_that_contradict_each_other_never_match(one: str, other: str):
    assert pairs([one], [other]) == pairs([other], [one]) == set()


def test_a_shorter_name_has_to_be_the_only_one_on_both_sides():
    assert pairs(["head"], ["p1/head", "p2/head"]) == set()
    assert pairs(["p1/head", "p2/head"], ["head"]) == set()
    assert pairs(["p1/a", "p1/b"], ["p1/"]) == set()


def test_a_full_name_goes_before_shorter_ones():
    assert pairs(["p1/head", "head"], ["p1/head"]) == {("p1/head", "p1/head")}
    assert pairs(["b/p1/"], ["a/p1/", "b/p1/"]) == {("b/p1/", "b/p1/")}


def test_a_partner_s_absence_makes_no_name_unique():
    assert pairs(["p1/head", "p2/head"], ["p1/head"]) == {("p1/head", "p1/head")}


def test_the_words_for_mr_are_part_of_the_name_where_nothing_else_is_found():
    whole = Entry(Path("CT/MR_001.mha"), "", "", "MR_001")
    sct = Entry(Path("SCT/MR_001_sct.mha"), "sct", "", "001", "MR_001")
    as_whole = Candidates((sct,), (Entry(sct.path, "", "", "MR_001"),))
    assert [(one.path, other.path) for one, other in matched(as_whole, Candidates((), (whole,)))] == [
        (sct.path, whole.path)
    ]
    # an MR in a patient's folder is not the patient's CT
    mr = Candidates((), (Entry(Path("DATA/p2/t1_mr.mha"), "", "p2", "t1_mr"),))
    assert matched(Candidates((entry("p2/"),), (entry("p2/"),)), mr) == ()


def test_the_reason_tells_what_stands_in_the_way():
    root = Path("CT")
    assert why_alone(entry("p1"), names_of([]), "CT", root) == "no CT of that name in CT"
    several = why_alone(entry("head"), names_of([entry("p1/head"), entry("p2/head")]), "CT", root)
    assert several == "several CTs of that name: p1/head_ct.mha, p2/head_ct.mha"
    names = names_of([entry("head")])
    assert closest(entry("p1/head"), names) == (entry("head"),)
    assert why_alone(entry("p1/head"), names, "mask", root) == "head_ct.mha goes by the name of another case, too"
