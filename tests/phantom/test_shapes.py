"""Signed distances: exact where they claim to be, right in sign elsewhere; noise of the stated spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from mr2ct.phantom.noise import smooth_noise, stretch
from mr2ct.phantom.shapes import bump, capsule, ellipsoid, ramp, smooth_intersection, smooth_union, superellipsoid

metres = st.floats(-50, 50)


def at(x: float, y: float, z: float):
    return tuple(np.float32([v]) for v in (x, y, z))


@given(metres, metres, metres)
def test_a_ball_is_exact(x: float, y: float, z: float):
    expected = np.sqrt(x * x + y * y + z * z) - 7
    assert ellipsoid(at(x, y, z), (0, 0, 0), (7, 7, 7))[0] == pytest.approx(expected, abs=1e-3)


@given(metres, metres, metres)
def test_a_capsule_is_exact(x: float, y: float, z: float):
    expected = np.sqrt(x * x + y * y + max(abs(z) - 10, 0) ** 2) - 3
    assert capsule(at(x, y, z), (0, 0, -10), (0, 0, 10), (3, 3))[0] == pytest.approx(expected, abs=1e-3)


@given(metres, metres, metres, st.floats(2, 6))
def test_a_superellipsoid_has_the_sign_of_its_inequality(x: float, y: float, z: float, exponent: float):
    level = abs(x / 20) ** exponent + abs(y / 10) ** exponent + abs(z / 30) ** exponent
    if abs(level - 1) > 1e-3:
        assert (superellipsoid(at(x, y, z), (0, 0, 0), (20, 10, 30), exponent)[0] < 0) == (level < 1)


@given(st.floats(-9, 9), st.floats(-9, 9))
def test_smooth_union_and_intersection_differ_from_the_sharp_ones_only_near_the_seam(one: float, other: float):
    a, b = np.float32([one]), np.float32([other])
    sharp, blend = min(one, other), 4.0
    assert sharp - blend / 4 - 1e-4 <= smooth_union(a, b, blend)[0] <= sharp + 1e-4
    assert smooth_intersection(a, b, blend)[0] == pytest.approx(-smooth_union(-a, -b, blend)[0])
    if abs(one - other) >= blend:
        assert smooth_union(a, b, blend)[0] == pytest.approx(sharp, abs=1e-5)


def test_bump_and_ramp_have_their_stated_values():
    assert bump(at(3, 0, 0), (0, 0, 0), (3, 3, 3))[0] == pytest.approx(np.exp(-0.5))
    assert ramp(np.float32([-1, 0, 0.5, 1, 2]), 0, 1).tolist() == [0, 0, 0.5, 1, 1]
    assert ramp(np.float32([0, 2]), 2, 0).tolist() == [1, 0]


def test_stretch_agrees_with_linear_interpolation():
    field = np.random.default_rng(0).standard_normal((5, 4, 6)).astype(np.float32)
    places = np.meshgrid(np.arange(9) / 2, np.arange(7) / 2, np.arange(11) / 2, indexing="ij")
    expected = map_coordinates(field, places, order=1)
    assert stretch(field, (9, 7, 11), (0.5, 0.5, 0.5)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("feature_mm", [6, 20, 60])
def test_noise_has_unit_spread_and_the_stated_smoothness(feature_mm: float):
    rng = np.random.default_rng(3)
    field = smooth_noise((60, 60, 60), 2.0, feature_mm=feature_mm, generator=rng)
    assert 0.5 < field.std() < 1.5
    step = np.abs(np.diff(field, axis=0)).mean() / 2.0
    assert step < 6 / feature_mm
