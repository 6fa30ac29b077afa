"""HU scaling round trips; tissue classes cover everything once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mr2ct.errors import Mr2ctError
from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU, HuScaling, Tissue, tissue_mask

hu_arrays = hnp.arrays(np.int16, hnp.array_shapes(max_dims=3, max_side=6), elements=st.integers(-2048, 4095))
ranges = st.tuples(st.integers(-2000, 0), st.integers(1, 4000))


@given(hu_arrays, ranges)
def test_to_network_and_back_is_clipping(hu: np.ndarray, hu_range: tuple[int, int]):
    scaling = HuScaling(*hu_range)
    back = scaling.to_hu(scaling.to_network(hu))
    np.testing.assert_allclose(back, np.clip(hu, *hu_range), atol=2e-3)
    np.testing.assert_array_equal(np.rint(back), np.clip(hu, *hu_range))


@given(hu_arrays, ranges)
def test_network_units_lie_in_minus_one_to_one_and_keep_the_order(hu: np.ndarray, hu_range: tuple[int, int]):
    units = HuScaling(*hu_range).to_network(hu)
    assert units.dtype == np.float32
    assert units.shape == hu.shape
    assert units.min() >= -1
    assert units.max() <= 1
    order = np.argsort(hu, axis=None, kind="stable")
    assert (np.diff(units.ravel()[order]) >= 0).all()


def test_the_ends_of_the_range():
    scaling = HuScaling()
    assert scaling.to_network(np.array([LOWEST_HU, HIGHEST_HU])).tolist() == [-1, 1]
    assert scaling.to_hu(np.array([-1.0, 1.0, -7.0, 7.0])).tolist() == [LOWEST_HU, HIGHEST_HU, LOWEST_HU, HIGHEST_HU]
    assert scaling.hu_per_unit == 2047.5


@pytest.mark.parametrize("hu_range", [(0, 0), (10, -10), (float("nan"), 1)])
def test_an_empty_range_is_refused(hu_range: tuple[float, float]):
    with pytest.raises(Mr2ctError, match="empty HU range"):
        HuScaling(*hu_range)


@given(hu_arrays)
def test_tissues_cover_everything_once(hu: np.ndarray):
    covered = sum(tissue_mask(hu, tissue).astype(int) for tissue in Tissue)
    np.testing.assert_array_equal(covered, 1)


def test_the_limits_belong_to_soft_tissue():
    hu = np.array([-251, -250, 250, 251])
    assert tissue_mask(hu, Tissue.AIR).tolist() == [True, False, False, False]
    assert tissue_mask(hu, Tissue.SOFT_TISSUE).tolist() == [False, True, True, False]
    assert tissue_mask(hu, Tissue.BONE).tolist() == [False, False, False, True]
    assert tissue_mask(hu, Tissue.BONE, bone_above=0).tolist() == [False, False, True, True]
