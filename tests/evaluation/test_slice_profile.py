"""Error by axial level: against a loop over slices, on grids of every direction."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.errors import GeometryError
from mr2ct.evaluation.slice_profile import SliceProfile, profile_band, slice_profile
from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume


def volumes(affine: np.ndarray, shape=(6, 7, 8)) -> tuple[Volume, Volume, Volume]:
    rng = np.random.default_rng(0)
    geometry = Geometry(shape, affine)
    ct = Volume(rng.integers(-1000, 1000, shape).astype(np.int16), geometry, Quantity.HU)
    sct = ct.with_voxels(ct.voxels + rng.normal(0, 50, shape).astype(np.float32))
    return sct, ct, Volume((rng.uniform(size=shape) < 0.8).astype(np.uint8), geometry, Quantity.MASK)


def test_levels_agree_with_a_loop_over_slices():
    sct, ct, mask = volumes(np.diag([1.0, 1.0, 2.5, 1.0]))
    profile = slice_profile(sct, ct, mask)
    expected = [np.abs(sct.voxels - ct.voxels)[:, :, k][mask.voxels[:, :, k] != 0].mean() for k in range(8)]
    assert profile.mae_hu == pytest.approx(expected[::-1], rel=1e-6)
    assert profile.depth_mm == tuple(2.5 * n for n in range(8))


def test_the_top_comes_first_whatever_way_the_axis_runs():
    sct, ct, mask = volumes(np.diag([1.0, 1.0, 2.5, 1.0]))
    turned = [v.voxels[:, :, ::-1] for v in (sct, ct, mask)]
    geometry = Geometry(ct.geometry.shape, np.diag([1.0, 1.0, -2.5, 1.0]))
    flipped = [Volume(x, geometry, v.quantity) for x, v in zip(turned, (sct, ct, mask), strict=True)]
    assert slice_profile(*flipped) == slice_profile(sct, ct, mask)


def test_a_coronal_slice_has_a_level_for_each_row():
    profile = slice_profile(*volumes(np.eye(4), shape=(30, 1, 9)))
    assert len(profile.depth_mm) == 9


def test_thin_levels_are_left_out():
    sct, ct, mask = volumes(np.eye(4))
    few = np.zeros(mask.voxels.shape, np.uint8)
    few[:, :, :4], few[0, 0, 7] = 1, 1
    assert slice_profile(sct, ct, mask.with_voxels(few)).depth_mm == (4.0, 5.0, 6.0, 7.0)


def test_other_grids_are_refused(awkward_affine):
    sct, ct, mask = volumes(awkward_affine)
    other = Volume(mask.voxels, Geometry(mask.geometry.shape, np.diag([9.0, 9.0, 9.0, 1.0])), Quantity.MASK)
    with pytest.raises(GeometryError, match="mask and CT"):
        slice_profile(sct, ct, other)


def test_the_band_spans_the_cases():
    profiles = [SliceProfile((0.0, 10.0), (value, value)) for value in (10.0, 20.0, 30.0)]
    band = profile_band([*profiles, SliceProfile((0.0,), (999.0,))])
    assert band is not None
    assert set(band.median) == {20.0}
    assert (band.q25[0], band.q75[0]) == (15.0, 25.0)
    assert profile_band([SliceProfile((0.0,), (1.0,))]) is None


def test_the_band_ends_where_few_cases_reach():
    short, long = SliceProfile((0.0, 10.0), (1.0, 1.0)), SliceProfile((0.0, 40.0), (1.0, 1.0))
    band = profile_band([short] * 5 + [long])
    assert band is not None
    assert band.depth_mm[-1] == 10.0
