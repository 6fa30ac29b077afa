from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mr2ct.geometry import Geometry
from mr2ct.preprocessing.hu_clipping import ClipHu, clip_hu
from mr2ct.preprocessing.step import Images
from mr2ct.volume import Quantity, Volume

GRID = Geometry((3, 2, 2), np.eye(4))


@given(arrays(np.float32, GRID.shape, elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_whatever_goes_in_hu_of_the_range_come_out(hu):
    clipped = clip_hu(Volume(hu, GRID, Quantity.HU)).voxels
    assert clipped.dtype == np.int16
    assert clipped.min() >= -1024
    assert clipped.max() <= 3071
    assert (clipped[np.isnan(hu)] == -1024).all()
    assert (clipped[hu == np.inf] == 3071).all()


def test_hu_are_rounded():
    hu = np.array([-0.6, 0.4, 1.6, 39.6, -1000.6, -999.4], np.float32).reshape(3, 2, 1)
    clipped = clip_hu(Volume(hu, Geometry((3, 2, 1), np.eye(4)), Quantity.HU)).voxels
    assert clipped.ravel().tolist() == [-1, 0, 2, 40, -1001, -999]


@given(arrays(np.int16, GRID.shape))
def test_agrees_with_numpy_and_happens_once(hu):
    once = clip_hu(Volume(hu, GRID, Quantity.HU), lowest_hu=-1000, highest_hu=2000)
    np.testing.assert_array_equal(once.voxels, np.clip(hu, -1000, 2000))
    np.testing.assert_array_equal(clip_hu(once, lowest_hu=-1000, highest_hu=2000).voxels, once.voxels)


def test_the_step_leaves_a_case_without_ct_alone(small_mr, small_ct):
    alone = Images(small_mr)
    assert ClipHu().apply(alone) == (alone, {})
    images, fitted = ClipHu(highest_hu=1000).apply(Images(small_mr, small_ct))
    assert images.ct.voxels.max() == 1000
    assert images.mr is small_mr
    assert fitted == {}
