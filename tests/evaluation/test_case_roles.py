"""What of a folder may have the role that the folder was given for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.evaluation.case_folders import UNNAMED, Entry, entries_of
from mr2ct.evaluation.case_roles import candidates, of_roles


def entries(root: Path, *names: str) -> tuple[Entry, ...]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return entries_of(root)


def test_an_unnamed_volume_counts_only_where_its_folder_names_none(tmp_path: Path):
    found = of_roles(entries(tmp_path, "p1/ct.mha", "p1/t2.mha", "p2/scan.mha"), ("ct", UNNAMED))
    assert {entry.path.name for entry in found} == {"ct.mha", "scan.mha"}


@pytest.mark.parametrize(
    ("names", "usual", "whole", "unsure"),
    [
        # a word of a role that no other file needs is part of the name
        (["MR_001.mha", "002_mri.mha", "P2.mha"], {"P2"}, {"MR_001", "002_mri", "P2"}, {"MR_001", "002_mri"}),
        # one that lies beside a CT tells a role, and so do all of that role
        (["p1.mha", "p1_mr.mha", "p2_mr.mha"], {"p1"}, {"p1"}, set()),
        (["p1_ct.mha", "p2_mr.mha"], {"p1"}, {"p1"}, set()),
        # a name that says nothing beside names that do
        (["a_ct.mha", "b.mha"], {"a"}, {"a"}, {"b"}),
        (["p1/ct.mha", "p1/t2.mha", "p2/head_ct.mha", "p2/t2.mha"], {"p1", "head"}, {"p1", "head"}, set()),
        # not even the folder says whose MR this is
        (["p1/scan.mha", "p1/t1_mr.mha"], {"scan"}, {"scan"}, {"t1_mr"}),
        (["p1/scan.mha", "p2/mr.mha"], {"scan"}, {"scan"}, set()),
    ],
)
def test_what_may_be_a_ct(tmp_path: Path, names: list[str], usual: set[str], whole: set[str], unsure: set[str]):
    found = candidates(entries(tmp_path, *names), "ct")
    assert [{e.name for e in own} for own in (found.usual, found.whole, found.unsure)] == [usual, whole, unsure]


def test_a_ct_among_scts_counts_where_no_sct_has_its_name(tmp_path: Path):
    assert [e.name for e in candidates(entries(tmp_path / "a", "p1_ct.mha", "p2_ct.mha"), "sct").usual] == ["p1", "p2"]
    beside = candidates(entries(tmp_path / "b", "CT_001.mha", "P2.mha"), "sct")
    assert ([e.name for e in beside.usual], [e.name for e in beside.whole]) == (["P2"], ["P2", "001"])
    assert [e.name for e in candidates(entries(tmp_path / "c", "p1.mha", "p1_ct.mha"), "sct").whole] == ["p1"]
