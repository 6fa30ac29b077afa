"""Errors by distance from bone: against SciPy's distance transform, and that the bins are a partition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mr2ct.errors import DataSetError
from mr2ct.evaluation.bone_distance import EDGES_MM, hu_error_by_bone_distance
from mr2ct.evaluation.image_metrics import hu_error
from mr2ct.evaluation.surface_distance import surface

SPACING_MM = (1.0, 1.5, 2.0)


def head(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """sCT, CT, mask (24, 20, 16): a block of bone in soft tissue, and an error that falls off with the index."""
    rng = np.random.default_rng(seed)
    ct_hu = rng.normal(40, 10, (24, 20, 16))
    ct_hu[2:11, 4:15, 3:12] += 900
    ct_hu[-1] = 900
    mask = np.ones(ct_hu.shape, np.uint8)
    mask[-3:] = 0
    return ct_hu + rng.normal(0, 100, ct_hu.shape), ct_hu, mask


def test_bins_agree_with_scipy():
    sct_hu, ct_hu, mask = head()
    bone = (ct_hu > 250) & (mask > 0)
    away_mm = ndimage.distance_transform_edt(~surface(bone), sampling=SPACING_MM)
    away_mm = np.where(bone, -away_mm, away_mm)
    bins = hu_error_by_bone_distance(sct_hu, ct_hu, mask, SPACING_MM)
    assert [(b.above_mm, b.up_to_mm) for b in bins] == list(pairwise(EDGES_MM[:-1]))
    for b in bins:
        here = (mask > 0) & (away_mm > b.above_mm + 1e-6) & (away_mm <= b.up_to_mm + 1e-6)
        assert b.error == hu_error(sct_hu, ct_hu, here)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), edge_mm=st.floats(0.5, 9))
def test_bins_add_up_to_the_mask_wherever_they_are_cut(seed, edge_mm):
    sct_hu, ct_hu, mask = head(seed)
    bins = hu_error_by_bone_distance(
        sct_hu, ct_hu, mask, SPACING_MM, edges_mm=(-np.inf, -edge_mm, 0.0, edge_mm, np.inf)
    )
    whole = hu_error(sct_hu, ct_hu, mask)
    assert sum(b.error.n_voxels for b in bins) == whole.n_voxels
    assert sum(b.error.mae_hu * b.error.n_voxels for b in bins) / whole.n_voxels == pytest.approx(whole.mae_hu)


def test_no_bone_no_bins():
    ct_hu = np.zeros((4, 4, 4))
    assert hu_error_by_bone_distance(ct_hu, ct_hu, np.ones(ct_hu.shape), SPACING_MM) == ()
    assert hu_error_by_bone_distance(ct_hu, ct_hu, np.ones(ct_hu.shape), SPACING_MM, bone_above=-1) != ()


def test_an_empty_mask_is_an_error():
    ct_hu = np.zeros((4, 4, 4))
    with pytest.raises(DataSetError, match="empty mask"):
        hu_error_by_bone_distance(ct_hu, ct_hu, ct_hu, SPACING_MM)
