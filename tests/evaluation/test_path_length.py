"""Water-equivalent path length against a running sum, against geometry on paper, and on a real head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import cumulative_trapezoid

from mr2ct.errors import DataSetError, GeometryError, InputError
from mr2ct.evaluation.beam_frame import gantry_direction
from mr2ct.evaluation.path_length import (
    path_length_differences,
    path_length_map,
    path_length_projection,
    path_length_report,
)
from mr2ct.evaluation.stopping_power import stopping_power_ratio
from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.io import read_volume
from mr2ct.preprocessing.resampling import to_spacing
from mr2ct.volume import Quantity, Volume


def ball(affine: np.ndarray, shape=(24, 24, 24), radius_mm: float = 8.0, hu: float = 0.0) -> tuple[Volume, Volume]:
    """A ball of `hu` in air about the middle of the grid, and its mask."""
    grid = Geometry(shape, affine)
    middle = voxel_to_world(affine, (np.array(shape) - 1) / 2)
    places = voxel_to_world(affine, np.moveaxis(np.indices(shape), 0, -1))
    inside = np.linalg.norm(places - middle, axis=-1) <= radius_mm
    return Volume(np.where(inside, hu, -1000.0), grid, Quantity.HU), Volume(inside, grid, Quantity.MASK)


@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (0, -1), (1, 1), (2, -1)])
def test_along_an_axis_it_is_a_running_sum(axis: int, sign: int):
    spacing = (1.5, 2.0, 2.5)
    rng = np.random.default_rng(0)
    hu = Volume(rng.uniform(-500, 1500, (6, 7, 8)), Geometry((6, 7, 8), np.diag([*spacing, 1.0])), Quantity.HU)
    direction = np.zeros(3)
    direction[axis] = sign
    ratio = np.moveaxis(stopping_power_ratio(hu.voxels), axis, 0)[::sign].astype(np.float64)
    # the step is the spacing along the beam; across it, a ray runs through every voxel only where that is the spacing
    expected = np.moveaxis((np.cumsum(ratio, axis=0) - ratio / 2)[::sign] * spacing[axis], 0, axis)
    even = Geometry((6, 7, 8), np.diag([spacing[axis]] * 3 + [1.0]))
    found = path_length_map(Volume(hu.voxels, even, Quantity.HU), direction)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_small_steps_come_to_the_integral_of_the_interpolated_image():
    layers = np.random.default_rng(1).uniform(-200, 800, (1, 9, 1))
    grid = Geometry((5, 9, 7), np.diag([2.0, 3.0, 2.5, 1.0]))
    hu = Volume(np.broadcast_to(layers, grid.shape), grid, Quantity.HU)
    between = cumulative_trapezoid(stopping_power_ratio(layers.ravel()).astype(np.float64), dx=3.0)
    found = path_length_map(hu, (0, 1, 0), step_mm=0.25)[2, :, 3].astype(np.float64)
    np.testing.assert_allclose(found[1:] - found[0], between, rtol=0.01)


def test_through_a_ball_of_water_it_is_the_chord(awkward_affine: np.ndarray):
    water, mask = ball(awkward_affine, radius_mm=7.0)
    for direction in (gantry_direction(0), gantry_direction(57.0), (1.0, -1.0, 1.0)):
        projection = path_length_projection(water, direction, mask=mask, step_mm=0.5)
        assert projection.max() == pytest.approx(14.0, abs=2.5)
        # the sum over all rays is the volume, whatever the direction
        voxel_mm3 = abs(np.linalg.det(awkward_affine[:3, :3]))
        assert projection.sum() * 0.5**2 == pytest.approx(mask.voxels.sum() * voxel_mm3, rel=0.02)


def test_the_beam_enters_on_the_side_it_comes_from(awkward_affine: np.ndarray):
    water, mask = ball(awkward_affine)
    from_left = path_length_map(water, gantry_direction(90.0), mask=mask)
    places = voxel_to_world(awkward_affine, np.argwhere(mask.voxels))
    depth = from_left[mask.voxels != 0]
    assert np.corrcoef(depth, places[:, 0])[0, 1] > 0.9  # deeper towards the right
    assert depth[places[:, 0].argmin()] < 2


def test_bone_counts_more_than_water_and_the_couch_not_at_all():
    bone, mask = ball(np.eye(4), hu=1000.0)
    water, _ = ball(np.eye(4))
    ratio = stopping_power_ratio(np.array([1000.0]))[0]
    through = {name: path_length_projection(v, (1, 0, 0), mask=mask) for name, v in (("b", bone), ("w", water))}
    np.testing.assert_allclose(through["b"], through["w"] * ratio, rtol=1e-5)
    couch = water.voxels.copy()
    couch[:, :2] = 500
    np.testing.assert_array_equal(path_length_projection(water.with_voxels(couch), (1, 0, 0), mask=mask), through["w"])


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 360), st.integers(0, 1000))
def test_properties(angle: float, seed: int):
    """Never negative; opposite beams add up to the whole path; twice the stopping power is twice the path."""
    rng = np.random.default_rng(seed)
    hu = Volume(rng.uniform(-300, 300, (6, 6, 6)), Geometry((6, 6, 6), np.eye(4)), Quantity.HU)
    direction = gantry_direction(angle)
    there, back = path_length_map(hu, direction), path_length_map(hu, -direction)
    assert (there >= 0).all()
    mask = Volume(np.ones((6, 6, 6)), hu.geometry, Quantity.MASK)
    np.testing.assert_array_equal(there, path_length_map(hu, direction, mask=mask))
    # along a ray the two sum to the same everywhere: between rays, only interpolation
    assert (there + back).max() <= path_length_projection(hu, direction).max() + 1e-3
    each, overall = path_length_differences(hu, hu, mask, directions=np.array([direction]))
    assert overall == each[0]
    assert overall.mae_mm == overall.p95_mm == 0


def test_the_report_of_a_denser_ball():
    ct, mask = ball(np.eye(4))
    sct = ct.with_voxels(np.where(mask.voxels, 100.0, -1000.0))
    report = path_length_report(sct, ct, mask)
    assert report["path_length_relative_percent"] == pytest.approx(9.5, abs=0.05)
    assert report["path_length_mean_error_mm"] == pytest.approx(report["path_length_mae_mm"])
    assert report["path_length_mae_mm_gantry_090"] == pytest.approx(report["path_length_mae_mm_gantry_270"], rel=0.05)
    assert report["radiograph_front_mae"] > 0
    assert len([name for name in report if "_gantry_" in name]) == 8


def test_without_a_mask_the_body_is_found():
    ct, mask = ball(np.eye(4))
    sct = ct.with_voxels(np.where(mask.voxels, 100.0, -1000.0))
    assert path_length_report(sct, ct, None)["path_length_relative_percent"] == pytest.approx(9.5, abs=0.5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_have_beams_in_their_plane_and_no_radiograph(axis: int, oblique_affine: np.ndarray):
    shape = [12, 12, 12]
    shape[axis] = 1
    ct, mask = ball(oblique_affine, shape=tuple(shape), radius_mm=4.0)
    report = path_length_report(ct, ct, mask)
    assert report["path_length_mae_mm"] == 0
    assert not any(name.startswith("radiograph") for name in report)


def test_a_real_head_against_itself_with_denser_bone(shared_data: Path):
    ct = to_spacing(read_volume(shared_data / "head-ct" / "cranium.nii.gz", quantity=Quantity.HU), 6.0)
    sct = ct.with_voxels(np.where(ct.voxels > 250, ct.voxels + 100, ct.voxels))
    report = path_length_report(sct, ct, None)
    # a skull of some 6 mm a side, 5 % denser
    assert 0.1 < report["path_length_mean_error_mm"] < 2
    assert report["radiograph_side_correlation"] > 0.99


def test_what_cannot_be_compared_is_refused():
    ct, mask = ball(np.eye(4), shape=(6, 6, 6), radius_mm=2)
    other = Volume(ct.voxels, Geometry((6, 6, 6), np.diag([2.0, 1, 1, 1])), Quantity.HU)
    with pytest.raises(GeometryError, match="sCT and CT lie on different grids"):
        path_length_report(other, ct, mask)
    with pytest.raises(GeometryError, match="mask and image"):
        path_length_map(other, (1, 0, 0), mask=mask)
    with pytest.raises(DataSetError, match="empty mask"):
        path_length_report(ct, ct, mask.with_voxels(np.zeros_like(mask.voxels)))
    with pytest.raises(InputError, match="unknown stopping power curve"):
        path_length_map(ct, (1, 0, 0), curve="none")
