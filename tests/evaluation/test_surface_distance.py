"""Surfaces and distances from them: against SciPy's erosion and distance transform."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mr2ct.evaluation.surface_distance import signed_distance_mm, surface, surface_distances_mm, surface_points_mm

SPACING_MM = (1.5, 0.7, 3.0)
SHAPES = [(12, 13, 14), (12, 13, 1), (1, 13, 12), (12, 1, 9), (9, 1, 1)]


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random(shape)
    return ndimage.gaussian_filter(noise, [0.8 if n > 1 else 0 for n in shape]) > 0.5


def face_neighbours(shape: tuple[int, ...]) -> np.ndarray:
    neighbours = np.zeros((3, 3, 3), dtype=bool)
    for axis, n in enumerate(shape):
        if n > 1:
            np.moveaxis(neighbours, axis, 0)[:, 1, 1] = True
    return neighbours


@pytest.mark.parametrize("shape", SHAPES)
def test_surface_agrees_with_an_erosion(shape):
    mask = blobs(shape)
    assert np.array_equal(surface(mask), mask & ~ndimage.binary_erosion(mask, face_neighbours(shape)))


@pytest.mark.parametrize("shape", SHAPES)
def test_signed_distance_agrees_with_scipy(shape):
    mask = blobs(shape)
    away_mm = ndimage.distance_transform_edt(~surface(mask), sampling=SPACING_MM)
    assert np.allclose(signed_distance_mm(mask, SPACING_MM), np.where(mask, -away_mm, away_mm), atol=1e-5)


def test_an_empty_mask_is_infinitely_far():
    assert np.all(signed_distance_mm(np.zeros((3, 4, 5), dtype=bool), SPACING_MM) == np.inf)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), millimetres=st.floats(0.1, 5))
def test_distances_grow_with_the_voxel_and_vanish_on_the_surface(seed, millimetres):
    one, other = blobs((6, 7, 8), seed), blobs((6, 7, 8), seed + 1)
    unit, grown = ((1.0, 1.0, 1.0), (millimetres,) * 3)
    points = [surface_points_mm(mask, unit) for mask in (one, other)]
    grown_points = [surface_points_mm(mask, grown) for mask in (one, other)]
    assert np.allclose(surface_distances_mm(*grown_points), millimetres * surface_distances_mm(*points))
    assert not surface_distances_mm(points[0], points[0]).any()
    nearest = ndimage.distance_transform_edt(~surface(other))[surface(one)]
    assert np.allclose(surface_distances_mm(*points), nearest)
