from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.processing import resample_from_to
from scipy import ndimage

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry, voxel_to_world, with_spacing_mm
from mr2ct.preprocessing.resampling import (
    ToSpacing,
    resample_to,
    smoothing_sigma_mm,
    spaced_geometry,
    to_spacing,
)
from mr2ct.preprocessing.step import Images
from mr2ct.volume import Quantity, Volume

SHAPE = (12, 10, 9)


def _texture(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def _other_grid(affine, *, shift=0.37, factor=1.1):
    """A turned, shifted grid that reaches beyond the first on some sides."""
    other = affine.copy()
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    other[:3, :3] = turn @ affine[:3, :3] * factor
    other[:3, 3] = voxel_to_world(affine, [shift, -1.3, 0.81])
    return Geometry((11, 12, 8), other)


def _coordinates(volume, grid):
    index = np.indices(grid.shape).reshape(3, -1).T
    voxels = voxel_to_world(np.linalg.inv(volume.geometry.affine), voxel_to_world(grid.affine, index))
    return voxels.T.reshape(3, *grid.shape)


def _within(where, shape, margin=0.5):
    limits = np.array(shape).reshape(3, 1, 1, 1)
    return ((where > -margin + 1e-6) & (where < limits - 1 + margin - 1e-6)).all(axis=0)


def test_linear_agrees_with_scipy(awkward_affine):
    volume = Volume(_texture(), Geometry(SHAPE, awkward_affine), Quantity.MR)
    grid = _other_grid(awkward_affine)
    where = _coordinates(volume, grid)
    expected = ndimage.map_coordinates(volume.voxels.astype(np.float64), where, order=1, mode="nearest")
    within = _within(where, SHAPE)
    expected[~within] = -7
    ours = resample_to(volume, grid, outside=-7)
    assert within.any()
    assert not within.all()
    np.testing.assert_allclose(ours.voxels, expected, atol=1e-3)
    assert ours.voxels.dtype == np.float32
    assert ours.geometry == grid


def test_linear_agrees_with_nibabel_inside(awkward_affine):
    volume = Volume(_texture(), Geometry(SHAPE, awkward_affine), Quantity.MR)
    grid = _other_grid(awkward_affine)
    theirs = resample_from_to(nib.Nifti1Image(volume.voxels, awkward_affine), (grid.shape, grid.affine), order=1)
    within = _within(_coordinates(volume, grid), SHAPE, margin=0.0)
    np.testing.assert_allclose(resample_to(volume, grid).voxels[within], theirs.get_fdata()[within], atol=1e-3)


def test_bspline_agrees_with_scipy_inside(awkward_affine):
    volume = Volume(_texture(), Geometry(SHAPE, awkward_affine), Quantity.MR)
    grid = _other_grid(awkward_affine)
    where = _coordinates(volume, grid)
    expected = ndimage.map_coordinates(volume.voxels.astype(np.float64), where, order=3, mode="mirror")
    within = _within(where, SHAPE, margin=0.0)
    ours = resample_to(volume, grid, interpolation="bspline").voxels
    np.testing.assert_allclose(ours[within], expected[within], atol=0.05)


def test_nearest_agrees_with_scipy(awkward_affine):
    labels = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)
    volume = Volume(labels, Geometry(SHAPE, awkward_affine), Quantity.MASK)
    grid = _other_grid(awkward_affine)
    where = _coordinates(volume, grid)
    expected = ndimage.map_coordinates(labels, where, order=0, mode="nearest")
    # a point half-way between two voxels may go either way
    clear = (np.abs(where - np.floor(where) - 0.5) > 1e-6).all(axis=0) & _within(where, SHAPE)
    ours = resample_to(volume, grid, interpolation="linear")
    assert ours.voxels.dtype == np.uint8
    np.testing.assert_array_equal(ours.voxels[clear], expected[clear])


@pytest.mark.parametrize("interpolation", ["linear", "bspline", "nearest"])
@pytest.mark.parametrize("quantity", list(Quantity))
def test_the_same_grid_gives_the_same_voxels(small_mr, interpolation, quantity):
    volume = small_mr.with_voxels(small_mr.voxels.astype(np.uint8 if quantity is Quantity.MASK else np.int16))
    volume = Volume(volume.voxels, volume.geometry, quantity)
    again = resample_to(volume, volume.geometry, interpolation=interpolation)
    assert np.array_equal(again.voxels, volume.voxels)
    assert again.voxels.dtype == volume.voxels.dtype


@given(
    shift=st.tuples(*[st.integers(-6, 6)] * 3),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    seed=st.integers(0, 9),
)
def test_a_shift_by_whole_voxels_copies_them(shift, shape, seed):
    affine = np.array([[0, -1.5, 0.1, 20.0], [0.05, 0, 0.8, -31.5], [1.2, 0, 0, 4.25], [0, 0, 0, 1]])
    volume = Volume(_texture((4, 5, 3), seed), Geometry((4, 5, 3), affine), Quantity.MR)
    moved = affine.copy()
    moved[:3, 3] = voxel_to_world(affine, shift)
    ours = resample_to(volume, Geometry(shape, moved), outside=-1).voxels
    for index, value in np.ndenumerate(ours):
        source = tuple(np.array(index) + shift)
        inside = all(0 <= s < n for s, n in zip(source, (4, 5, 3), strict=True))
        assert value == (volume.voxels[source] if inside else -1)


@given(
    slope=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.5, 3)] * 3),
)
def test_a_plane_stays_a_plane(slope, spacing):
    geometry = Geometry((8, 7, 9), np.diag([1.0, -1.3, 2.0, 1.0]))
    points = voxel_to_world(geometry.affine, np.moveaxis(np.indices(geometry.shape), 0, -1))
    volume = Volume(points @ np.array(slope), geometry, Quantity.MR)
    finer = with_spacing_mm(geometry, tuple(min(s, o * 1.4) for s, o in zip(spacing, geometry.spacing_mm, strict=True)))
    where = _coordinates(volume, finer)
    within = _within(where, geometry.shape, margin=0.0)
    expected = voxel_to_world(finer.affine, np.moveaxis(np.indices(finer.shape), 0, -1)) @ np.array(slope)
    np.testing.assert_allclose(resample_to(volume, finer).voxels[within], expected[within], atol=1e-3)


@given(
    value=st.floats(-1000, 3000, width=32),
    spacing=st.tuples(*[st.floats(0.4, 7)] * 3),
    interpolation=st.sampled_from(["linear", "bspline", "nearest"]),
)
def test_a_constant_stays_constant_to_the_border(value, spacing, interpolation):
    geometry = Geometry((9, 8, 6), np.diag([-1.0, 1.3, 2.0, 1.0]))
    volume = Volume(np.full(geometry.shape, value), geometry, Quantity.MR)
    ours = to_spacing(volume, spacing, interpolation=interpolation).voxels
    np.testing.assert_allclose(ours, value, rtol=1e-4, atol=1e-3)


def test_much_coarser_voxels_average_and_do_not_alias():
    # stripes of one voxel's width vanish at a quarter of the resolution; sampling alone would keep one colour
    geometry = Geometry((64, 8, 8), np.eye(4))
    stripes = Volume(np.broadcast_to(np.arange(64)[:, None, None] % 2 * 100.0, (64, 8, 8)), geometry, Quantity.MR)
    coarse = to_spacing(stripes, (4.0, 1.0, 1.0)).voxels
    np.testing.assert_allclose(coarse[2:-2], 50, atol=5)
    nearest = to_spacing(stripes, (4.0, 1.0, 1.0), interpolation="nearest").voxels
    assert set(np.unique(nearest)) <= {0.0, 100.0}


def test_the_smoothing_makes_up_the_difference_of_voxel_sizes():
    source = Geometry((32, 32, 32), np.diag([1.0, 1.0, 3.0, 1.0]))
    sigma = smoothing_sigma_mm(source, Geometry((8, 8, 8), np.diag([4.0, 1.4, 4.0, 1.0])), np.eye(4))
    np.testing.assert_allclose(sigma, [np.sqrt(15) / 2.354820045, 0, 0], rtol=1e-6)
    thin = Geometry((1, 32, 32), np.eye(4))
    assert smoothing_sigma_mm(thin, Geometry((1, 8, 8), np.diag([4.0, 4, 4, 1])), np.eye(4))[0] == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_stays_one_slice(axis):
    shape = [10, 12, 14]
    shape[axis] = 1
    spacing = [0.5, 0.5, 0.5]
    spacing[axis] = 6.0
    grid = Geometry(tuple(shape), np.diag([*spacing, 1]))
    ramp = voxel_to_world(grid.affine, np.moveaxis(np.indices(shape), 0, -1)) @ np.array([3.0, 5.0, 7.0])
    ours = to_spacing(Volume(ramp, grid, Quantity.MR), 1.0)
    assert ours.geometry.shape[axis] == 1
    assert ours.geometry.spacing_mm[axis] == 6.0
    back = resample_to(ours, grid, outside="edge").voxels
    inner = tuple(slice(None) if other == axis else slice(3, -3) for other in range(3))
    # the Gaussian bends a plane near its ends only
    np.testing.assert_allclose(back[inner], ramp[inner], atol=1.5)


def test_hu_stay_integers_and_air_lies_outside():
    geometry = Geometry((4, 4, 4), np.eye(4))
    ct = Volume(np.full((4, 4, 4), 41, dtype=np.int16), geometry, Quantity.HU)
    affine = np.eye(4)
    affine[:3, 3] = 0.3
    wide = resample_to(ct, Geometry((8, 4, 4), affine))
    assert wide.voxels.dtype == np.int16
    assert wide.voxels[0, 0, 0] == 41
    assert wide.voxels[7, 0, 0] == -1024
    mixed = Volume(np.array([0, 3], dtype=np.int16).reshape(2, 1, 1), Geometry((2, 1, 1), np.eye(4)), Quantity.HU)
    affine = np.eye(4)
    affine[0, 3] = 0.6
    assert resample_to(mixed, Geometry((1, 1, 1), affine)).voxels.item() == 2


def test_a_world_transform_moves_the_sampling_points():
    volume = Volume(_texture(), Geometry(SHAPE, np.eye(4)), Quantity.MR)
    transform = np.eye(4)
    transform[:3, 3] = (2, -1, 0)
    ours = resample_to(volume, volume.geometry, outside=0, world_transform=transform).voxels
    np.testing.assert_allclose(ours[:-2, 1:], volume.voxels[2:, :-1], atol=1e-4)
    assert (ours[-2:] == 0).all()


def test_an_unknown_interpolation_is_refused(small_mr):
    with pytest.raises(InputError, match="unknown interpolation.*'cubic'.*linear, bspline, nearest"):
        resample_to(small_mr, small_mr.geometry, interpolation="cubic")


def test_a_grid_that_no_machine_holds_is_refused(small_mr):
    huge = Volume(small_mr.voxels, Geometry(small_mr.voxels.shape, np.diag([400.0, 400.0, 400.0, 1.0])), Quantity.MR)
    with pytest.raises(InputError, match="too large to be resampled.*from voxels of 400 x 400 x 400 mm.*in mm"):
        ToSpacing(1.0).apply(Images(huge))


def test_met_spacing_keeps_the_grid_itself():
    geometry = Geometry((4, 4, 4), np.diag([1.00001, -1.0, 1.0, 1.0]))
    assert spaced_geometry(geometry, 1.0) is geometry
    assert spaced_geometry(geometry, 2.0).spacing_mm == pytest.approx((2.0, 2.0, 2.0))


@pytest.mark.parametrize("spacing", [(0.7, 0.9, 2.5), (1.0, 1.0, 5.0), (0.45, 0.45, 1.3)])
def test_undoing_the_spacing_covers_every_voxel(spacing):
    geometry = Geometry((23, 17, 9), np.diag([*spacing, 1.0]))
    ct = Volume(np.full(geometry.shape, 40, dtype=np.int16), geometry, Quantity.HU)
    images, _ = ToSpacing(1.0).apply(Images(None, ct))
    back = ToSpacing(1.0).undo(images.ct, geometry, interpolation="linear", outside=-1024)
    assert (back.voxels == 40).all()
    assert back.geometry == geometry


def test_voxels_may_be_thicker_along_one_axis():
    geometry = Geometry((20, 20, 24), np.diag([0.5, 0.5, 0.5, 1.0]))
    ct = Volume(np.full(geometry.shape, 40, dtype=np.int16), geometry, Quantity.HU)
    step = ToSpacing((1, 1, 3))
    images, fitted = step.apply(Images(None, ct))
    assert images.ct.geometry.spacing_mm == (1, 1, 3)
    assert images.ct.geometry.shape == tuple(fitted["after"]["shape"]) == (10, 10, 4)
    assert step.undo(images.ct, geometry, interpolation="linear", outside=None).geometry == geometry


def test_the_size_of_voxels_has_one_record():
    assert ToSpacing((2, 2.0, 2)) == ToSpacing(2) == ToSpacing([2])
    assert ToSpacing([1, 1, 3]) == ToSpacing((1.0, 1.0, 3.0))
    for size in (0, -1.0, (1, 1), (1, 1, 0), float("nan")):
        with pytest.raises(InputError, match="unusable voxel size"):
            ToSpacing(size)


def test_undoing_a_part_of_the_grid_fills_the_rest():
    geometry = Geometry((20, 20, 20), np.diag([0.5, 0.5, 0.5, 1.0]))
    ct = Volume(np.full(geometry.shape, 40, dtype=np.int16), geometry, Quantity.HU)
    whole = ToSpacing(1.0).apply(Images(None, ct))[0].ct
    part = Volume(whole.voxels[:5], Geometry((5, 10, 10), whole.geometry.affine), Quantity.HU)
    back = ToSpacing(1.0).undo(part, geometry, interpolation="linear", outside=None)
    assert (back.voxels[:9] == 40).all()
    assert (back.voxels[11:] == -1024).all()


def test_cosines_next_to_nothing_do_not_spoil_the_place():
    """ITK's singular value decomposition fails on them, says so on stderr alone, and goes on; found by Hypothesis."""
    clean = np.array([[0.694538367, 0, -0.0872723134], [0, 0.7, 0], [0.0872723134, 0, 0.694538367]])
    tiny = np.array([[0, -8.8e-307, 0], [8.7e-307, 0, -1.1e-307], [0, 0, 0]])
    voxels = np.random.default_rng(0).random((10, 10, 10))
    expected, found = (
        to_spacing(Volume(voxels, Geometry(voxels.shape, _affine(a)), Quantity.MR), 1.0) for a in (clean, clean + tiny)
    )
    np.testing.assert_array_equal(found.voxels, expected.voxels)


def _affine(axes: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes
    return affine
