"""Radiographs against sums along an axis, against a cone of rays on paper, and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from mr2ct.errors import GeometryError, InputError
from mr2ct.evaluation.radiograph import MU_WATER_PER_MM, radiograph, radiograph_report
from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume

GRID = Geometry((9, 11, 13), np.eye(4))


@pytest.fixture
def head() -> Volume:
    return Volume(np.random.default_rng(0).uniform(-1024, 1500, GRID.shape), GRID, Quantity.HU)


def test_parallel_rays_along_an_axis_are_sums(head: Volume):
    picture = radiograph(head, (0, -1, 0))
    mu = np.maximum(1 + head.voxels / 1000, 0) * MU_WATER_PER_MM
    np.testing.assert_allclose(np.sort(picture.attenuation.ravel()), np.sort(mu.sum(axis=1).ravel()), rtol=1e-5)
    # v runs up: the last row is the top of the head
    np.testing.assert_allclose(np.sort(picture.attenuation[:, -1]), np.sort(mu.sum(axis=1)[:, -1]), rtol=1e-5)
    np.testing.assert_allclose(picture.transmission, np.exp(-picture.attenuation))


def test_divergent_rays_against_rays_one_by_one(head: Volume):
    distance_mm, direction = 60.0, np.array([0.0, -1.0, 0.0])
    picture = radiograph(head, direction, source_distance_mm=distance_mm)
    mu = np.maximum(1 + head.voxels.astype(np.float64) / 1000, 0) * MU_WATER_PER_MM
    padded = np.pad(mu, 1)
    at = RegularGridInterpolator([np.arange(-1, n + 1.0) for n in GRID.shape], padded, bounds_error=False, fill_value=0)
    middle = (np.array(GRID.shape) - 1) / 2
    source = middle - distance_mm * direction
    across = np.cross([0.0, 0.0, 1.0], direction)
    for u, v in ((0, 0), (4, 6), (2, 12), (8, 3)):
        through = middle + (u - 4) * across + (v - 6) * np.array([0.0, 0.0, 1.0])
        per_plane = (through - source) / distance_mm
        points = source + (distance_mm + np.arange(-5, 6))[:, None] * per_plane
        expected = at(points).sum() * np.linalg.norm(per_plane)
        assert picture.attenuation[u, v] == pytest.approx(expected, rel=1e-4)


def test_from_far_away_rays_are_parallel(head: Volume):
    far = radiograph(head, (1, 1, 0), source_distance_mm=1e7)
    np.testing.assert_allclose(far.attenuation, radiograph(head, (1, 1, 0)).attenuation, atol=1e-4)


def test_a_denser_object_lets_less_pass(head: Volume):
    denser = head.with_voxels(head.voxels + 50)
    assert (radiograph(denser, (1, 0, 0)).transmission <= radiograph(head, (1, 0, 0)).transmission).all()


def test_outside_the_mask_nothing_attenuates(head: Volume):
    nowhere = Volume(np.zeros(GRID.shape), GRID, Quantity.MASK)
    assert not radiograph(head, (1, 0, 0), mask=nowhere).attenuation.any()


def test_the_report(head: Volume):
    mask = Volume(np.ones(GRID.shape), GRID, Quantity.MASK)
    same = radiograph_report(head, head, mask)
    assert same["radiograph_front_mae"] == same["radiograph_side_mae"] == 0
    assert same["radiograph_side_correlation"] == pytest.approx(1)
    other = radiograph_report(head.with_voxels(head.voxels[::-1]), head, mask)
    assert other["radiograph_front_correlation"] < 0.9
    air = head.with_voxels(np.full(GRID.shape, -1000.0))
    assert np.isnan(radiograph_report(air, air, mask)["radiograph_front_mae"])


def test_what_cannot_be_is_refused(head: Volume):
    with pytest.raises(InputError, match="source lies within"):
        radiograph(head, (0, 1, 0), source_distance_mm=3)
    other = Volume(np.ones((3, 3, 3)), Geometry((3, 3, 3), np.eye(4)), Quantity.MASK)
    with pytest.raises(GeometryError, match="mask and image"):
        radiograph(head, (0, 1, 0), mask=other)
