"""Closed skull: shells with holes of known size, against a ray walked point by point."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.evaluation.skull_closure import Rays, brain_centre, largest_hole_rays, skull_closure, vault_rays

SPACING_MM = (2.0, 1.5, 2.5)
SHAPE = (90, 120, 72)
CENTRE = tuple((n - 1) / 2 for n in SHAPE)


def places_mm() -> np.ndarray:
    return np.stack(
        np.meshgrid(*((np.arange(n) - c) * s for n, c, s in zip(SHAPE, CENTRE, SPACING_MM, strict=True)), indexing="ij")
    )


@cache
def shell(hole_degrees: float = 0.0, towards=(0.0, 0.0, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """HU of a skull 66 to 74 mm from the centre with a round hole, and the head, 80 mm in radius."""
    at = places_mm()
    radius = np.sqrt((at**2).sum(axis=0))
    cosine = np.tensordot(np.asarray(towards), at, 1) / np.maximum(radius, 1e-6)
    bone = (radius > 66) & (radius < 74) & (np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) >= hole_degrees)
    return np.where(bone, 1000, np.where(radius < 80, 40, -1000)).astype(np.int16), radius < 80


def test_a_whole_shell_is_closed():
    hu, head = shell()
    found = skull_closure(hu, head, SPACING_MM, centre=CENTRE, rays=vault_rays(500, face=True))
    assert (found.closed_share, found.largest_hole_cm2) == (1.0, 0.0)
    assert found.radius_mm == pytest.approx(66, abs=2)


@pytest.mark.parametrize("degrees", [15, 30])
def test_a_hole_has_its_solid_angle_and_its_area(degrees):
    hu, head = shell(degrees)
    found = skull_closure(hu, head, SPACING_MM, centre=CENTRE, rays=vault_rays(3000, face=True))
    share = 1 - np.cos(np.deg2rad(degrees))
    assert 1 - found.closed_share == pytest.approx(share, rel=0.15)
    assert found.largest_hole_cm2 == pytest.approx(2 * np.pi * share * 6.6**2, rel=0.2)


def test_two_holes_are_two():
    rays = vault_rays(2000, face=True)
    one, two = (rays.directions @ np.array(v) for v in ((0, 0, 1.0), (1.0, 0, 0)))
    apart = largest_hole_rays(rays, ~((one > 0.95) | (two > 0.95)))
    assert apart == (one > 0.95).sum()


def test_rays_agree_with_a_walk_point_by_point():
    rng = np.random.default_rng(0)
    hu, head = shell()
    hu = np.where(rng.random(SHAPE) < 0.8, 40, hu)
    rays = vault_rays(60)
    found = skull_closure(hu, head, SPACING_MM, centre=CENTRE, rays=rays)
    for direction, met in zip(rays.directions, found.met_bone, strict=True):
        bone = False
        for mm in np.arange(0, 150, 0.5):
            at = tuple(round(c + mm * d / s) for c, d, s in zip(CENTRE, direction, SPACING_MM, strict=True))
            if any(not 0 <= n < size for n, size in zip(at, SHAPE, strict=True)) or not head[at]:
                break
            bone = bone or hu[at] > 250
        assert bone == met


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), lower=st.floats(100, 400), more=st.floats(0, 500))
def test_a_higher_threshold_never_closes_more(seed, lower, more):
    rng = np.random.default_rng(seed)
    hu = np.where(shell()[0] == 1000, rng.integers(0, 1000, SHAPE), 0)
    rays = vault_rays(100)
    shares = [
        skull_closure(hu, shell()[1], SPACING_MM, centre=CENTRE, rays=rays, bone_above=above).closed_share
        for above in (lower, lower + more)
    ]
    assert shares[0] >= shares[1]


def test_no_bone_at_all():
    found = skull_closure(np.zeros(SHAPE), shell()[1], SPACING_MM, centre=CENTRE, rays=vault_rays(50))
    assert found.closed_share == 0
    assert np.isnan(found.radius_mm)
    assert np.isnan(found.largest_hole_cm2)


def test_rays_are_even_and_leave_the_face_out():
    every, without_face = vault_rays(2000, face=True), vault_rays(2000)
    assert np.allclose(np.linalg.norm(every.directions, axis=1), 1)
    assert every.directions.mean(axis=0) == pytest.approx([0, 0, 0.5], abs=0.01)
    assert len(without_face.directions) / 2000 == pytest.approx(1 - 0.5 / 3, abs=0.01)
    assert every.steradian_each == without_face.steradian_each


def test_bad_rays_and_centres_are_refused():
    with pytest.raises(InputError, match="no rays"):
        vault_rays(0)
    rays = Rays(np.array([[0.0, 0.0, 1.0]]), 1.0)
    for centre in ((0, 0, 0), (-5, 3, 3), (45, 60, 900)):
        with pytest.raises(InputError, match="cannot start"):
            skull_closure(np.zeros(SHAPE), shell()[1], SPACING_MM, centre=centre, rays=rays)


def test_the_brains_centre():
    head = shell()[1]
    assert brain_centre(head, SPACING_MM) == pytest.approx((*CENTRE[:2], CENTRE[2] + 4), abs=1)
    with pytest.raises(InputError, match="70 mm"):
        brain_centre(head[:, :, :20], SPACING_MM)
