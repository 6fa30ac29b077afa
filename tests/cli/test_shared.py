"""What commands share: voxel sizes in words, processes, a bar of cases."""

from __future__ import annotations

import pytest
from rich.errors import MarkupError

from mr2ct.cli.shared import case_bar, millimetres, processes
from mr2ct.errors import InputError


@pytest.mark.parametrize(
    ("words", "sizes"), [(None, None), ("1", (1.0, 1.0, 1.0)), ("0.5, 0.5,3", (0.5, 0.5, 3.0)), ("1e-1", (0.1,) * 3)]
)
def test_sizes_are_one_number_or_three(words, sizes):
    assert millimetres(words) == sizes


@pytest.mark.parametrize("words", ["", "1,2", "1,1,1,1", "0", "-1", "1,0,1", "nan", "1,nan,1", "inf", "1,1,inf", "a"])
def test_other_words_are_refused(words):
    with pytest.raises(InputError, match="unusable --spacing-mm.*one size in mm above 0, or three") as refused:
        millimetres(words)
    assert repr(words) in str(refused.value)


def test_processes_are_as_many_as_asked_or_one_a_core_up_to_four(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert (processes(0), processes(7)) == (4, 7)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert processes(0) == 2


def test_a_bar_shows_names_that_look_like_markup_and_names_failures(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    try:
        with case_bar("scoring [/x]", 2) as report:
            report("p1[/x]")
            report("p2[/y]", "no CT")
    except MarkupError:
        pytest.fail("names were read as markup")
    shown = capsys.readouterr().err
    assert "scoring [/x]: p2[/y]" in shown
    assert "failed: p2[/y]" in shown


def test_where_nobody_looks_there_is_no_bar_but_failures_are_named(monkeypatch, capsys):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with case_bar("scoring", 1) as report:
        report("p1", "no CT")
    assert capsys.readouterr().err == "failed: p1\n"
