from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.cli import preprocess as verb
from mr2ct.datasets.layouts import LAYOUTS, DataSet, Sources, find_cases, guess_layout
from mr2ct.errors import DataSetError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(found: DataSet) -> list[str]:
    return [case.case for case in found.cases]


def test_every_layout_is_guessed_or_named(tmp_path: Path):
    synthrad = touch(tmp_path / "s", "a/mr.mha", "a/ct.mha")
    folders = touch(tmp_path / "f", "mr/b.mha", "ct/b.mha", "mask/b.mha")
    pictures = touch(tmp_path / "p", "trainA/c.png", "trainB/c.png")
    table = tmp_path / "list.csv"
    table.write_text("case,mr,ct\nd,s/a/mr.mha,s/a/ct.mha\n")
    assert names(find_cases(Sources(synthrad))) == ["a"]
    assert names(find_cases(Sources(folders))) == ["b"]
    assert find_cases(Sources(folders)).cases[0].mask == folders / "mask" / "b.mha"
    assert names(find_cases(Sources(mr=folders / "mr", ct=folders / "ct"))) == ["b"]
    assert names(find_cases(Sources(pictures))) == ["train-c-ct", "train-c-mr"]
    assert names(find_cases(Sources(table))) == ["d"]
    assert names(find_cases(Sources(folders), "unpaired")) == ["b-ct", "b-mr"]
    assert names(find_cases(Sources(pictures), "paired-pictures")) == ["train-c"]


def test_the_sides_of_picture_folders_are_told(tmp_path: Path):
    touch(tmp_path, "trainA/a.png", "trainB/b.png", "testA/c.png", "testB/d.png")
    assert find_cases(Sources(tmp_path)).sides["test"] == ("c", "d")


@pytest.mark.parametrize(
    ("sources", "layout", "message"),
    [
        (Sources(), "auto", "lies in one place"),
        (Sources(), "folders", "give --mr and --ct"),
        (Sources(mr=Path("mr")), "unpaired", "give --mr and --ct"),
        (Sources(Path("x")), "wish", "unknown layout; got 'wish'; expected auto, synthrad"),
        (Sources(Path("no such folder")), "auto", "no folder"),
        (Sources(Path("x"), mask=Path("m")), "synthrad", "does not use all that was given; got --mask m"),
        (Sources(Path("x.csv"), mask=Path("m")), "auto", "got --mask m"),
        (Sources(mr=Path("a"), ct=Path("b"), mask=Path("m")), "unpaired", "got --mask m"),
        (Sources(Path("x"), mr=Path("a"), ct=Path("b")), "folders", "does not use all that was given; got x;"),
    ],
)
def test_what_cannot_be_found_is_said(sources: Sources, layout: str, message: str):
    with pytest.raises(DataSetError, match=message):
        find_cases(sources, layout)


def test_unpaired_is_never_guessed():
    assert guess_layout(Sources(mr=Path("a"), ct=Path("b"))) == "folders"


def test_the_help_names_every_layout():
    assert [layout for layout in LAYOUTS if layout not in verb._LAYOUT_HELP] == []
