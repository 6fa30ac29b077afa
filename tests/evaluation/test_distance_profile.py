"""MAE by distance from the middle slice: against a loop over slices, and what standardising must do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import GeometryError, InputError
from mr2ct.evaluation.distance_profile import distance_profile, flatness, middle_slice


def head(seed: int = 0, shape=(12, 14, 31)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.8
    mask[:, :, :3] = False
    return rng.gamma(2, 50, shape), rng.integers(0, 3, shape), mask


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_bins_agree_with_a_loop_over_slices(axis):
    apart, tissue, mask = head()
    profile = distance_profile(apart, tissue, mask, axis=axis, spacing_mm=1.5, bin_mm=6)
    slices = np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis)))
    middle = (slices[0] + slices[-1]) / 2
    values: dict[float, list[float]] = {}
    for s in slices:
        nearest = 6 * np.floor((s - middle) * 1.5 / 6 + 0.5)
        values.setdefault(float(nearest), []).extend(np.take(apart, s, axis)[np.take(mask, s, axis)])
    assert profile.middle_mm.tolist() == sorted(values)
    assert profile.mae_hu == pytest.approx([np.mean(values[mm]) for mm in sorted(values)])
    assert profile.voxels.tolist() == [len(values[mm]) for mm in sorted(values)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), bin_mm=st.floats(2, 40))
def test_bins_weighted_by_their_voxels_give_the_whole(seed, bin_mm):
    apart, tissue, mask = head(seed)
    profile = distance_profile(apart, tissue, mask, axis=2, spacing_mm=1.0, bin_mm=bin_mm)
    known = profile.voxels > 0
    assert profile.voxels.sum() == mask.sum()
    assert np.average(profile.mae_hu[known], weights=profile.voxels[known]) == pytest.approx(apart[mask].mean())


def test_an_error_that_depends_on_the_tissue_alone_is_flat_once_standardised():
    _, tissue, mask = head()
    tissue[:, :, 20:] = np.where(tissue[:, :, 20:] == 0, 2, tissue[:, :, 20:])
    tissue[:, ::5, 20:] = 0
    error = np.array([10.0, 40.0, 300.0])[tissue]
    profile = distance_profile(error, tissue, mask, axis=2, spacing_mm=1.0, bin_mm=7)
    assert flatness(profile.standardised_hu, profile.middle_mm) == pytest.approx((1.0, 1.0))
    assert flatness(profile.mae_hu, profile.middle_mm)[1] > 1.3


def test_a_tissue_that_a_bin_lacks_leaves_the_others_their_shares():
    tissue = np.zeros((10, 10, 30), dtype=int)
    tissue[:, :, :10] = 1
    error = np.where(tissue == 1, 200.0, 20.0)
    profile = distance_profile(error, tissue, np.ones(tissue.shape), axis=2, spacing_mm=1.0, bin_mm=10)
    assert profile.standardised_hu[-1] == pytest.approx(20.0)


def test_the_middle_of_a_mask():
    mask = np.zeros((4, 9, 2))
    mask[:, 2:8] = 1
    assert middle_slice(mask, 1) == 4.5
    with pytest.raises(InputError, match="empty mask"):
        middle_slice(np.zeros((2, 2, 2)), 0)


def test_other_shapes_are_refused():
    apart, tissue, mask = head()
    with pytest.raises(GeometryError, match="different shapes"):
        distance_profile(apart, tissue[:5], mask, axis=0, spacing_mm=1.0)
