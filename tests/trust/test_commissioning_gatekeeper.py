"""Broken copies: every kind is made, cases take turns, the same seed makes the same copies."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mr2ct.datasets.case_images import Reading
from mr2ct.datasets.cases import PairedCase
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.trust import commissioning_gatekeeper
from mr2ct.trust.commissioning_gatekeeper import BREAKINGS, check_broken_copies
from mr2ct.trust.faults import FAULTS
from mr2ct.trust.verdict import Finding, InputVerdict, Verdict
from mr2ct.volume import Quantity, Volume


def write_case(folder, shape):
    """A bright ball in an MR that lies as LPS, and its CT."""
    grids = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    ball = sum(grid**2 for grid in grids) < 0.5
    grid = Geometry(shape, np.diag([-4.0, -4.0, 4.0, 1.0]))
    folder.mkdir(parents=True)
    write_volume(
        Volume(np.where(ball, 200 + 90 * grids[0], 3).astype(np.float32), grid, Quantity.MR), folder / "mr.nii.gz"
    )
    write_volume(Volume(np.where(ball, 40, -1000).astype(np.int16), grid, Quantity.HU), folder / "ct.nii.gz")
    return PairedCase(folder.name, folder.name, "", folder / "mr.nii.gz", folder / "ct.nii.gz")


@pytest.fixture
def checked(monkeypatch):
    """What the check was given; it lets images with negative voxels pass, and refuses the others."""
    seen = []

    def check(volume, description):
        seen.append(volume)
        if volume.voxels.min() < 0:
            return InputVerdict.of([])
        return InputVerdict.of([Finding(Verdict.REFUSE, "wrong", "It is wrong.")])

    monkeypatch.setattr(commissioning_gatekeeper, "check_input", check)
    return seen


@pytest.fixture
def cases(tmp_path):
    return [write_case(tmp_path / name, (20, 22, 18)) for name in ("a", "b", "c")]


def test_every_kind_is_made_and_cases_take_turns(cases, checked):
    reported = []
    found = check_broken_copies(cases, None, reading=Reading(), per_kind=2, report=reported.append)
    assert Counter(copy.kind for copy in found) == dict.fromkeys(BREAKINGS, 2) == Counter(reported)
    assert set(Counter(copy.case for copy in found).values()) <= {len(found) // 3, len(found) // 3 + 1}
    missed = [copy for copy in found if not copy.caught]
    assert {copy.kind for copy in missed} == {"a CT"}
    assert {copy.sentence for copy in found if copy.caught} == {"It is wrong."}
    assert FAULTS.keys() < BREAKINGS.keys()


def test_copies_are_the_same_each_time(cases, checked):
    for _ in range(2):
        check_broken_copies(cases[:1], None, reading=Reading(), per_kind=1)
    half = len(checked) // 2
    for first, again in zip(checked[:half], checked[half:], strict=True):
        np.testing.assert_array_equal(first.voxels, again.voxels)


def test_a_slice_is_not_turned_along_its_thickness(tmp_path, checked):
    axial = write_case(tmp_path / "axial", (24, 26, 1))
    found = check_broken_copies([axial], None, reading=Reading(), per_kind=1)
    assert {copy.kind for copy in found} == BREAKINGS.keys() - {"upside-down"}
    coronal = write_case(tmp_path / "coronal", (24, 1, 26))
    found = check_broken_copies([axial, coronal], None, reading=Reading(), per_kind=1)
    turned = {copy.kind: copy.case for copy in found}
    assert (turned["upside-down"], turned["front to back"]) == ("coronal", "axial")


def test_nothing_to_break(checked):
    assert check_broken_copies([], None, reading=Reading()) == ()
    assert checked == []
