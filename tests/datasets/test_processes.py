"""Work over processes: every item has a result, even one whose process dies."""

from __future__ import annotations

import os

import pytest

from mr2ct.datasets.processes import in_processes


def test_every_item_is_worked_on_by_another_process():
    assert sorted(in_processes(abs, [-1, -2, -3], jobs=2, died=lambda item: 0)) == [1, 2, 3]


def test_an_item_whose_process_dies_is_named_and_the_others_go_on():
    found = list(in_processes(os._exit, [7], jobs=2, died=lambda item: f"{item} died"))
    assert found == ["7 died"]


def test_what_the_work_raises_is_raised():
    with pytest.raises(TypeError):
        list(in_processes(abs, ["a"], jobs=1, died=lambda item: 0))
