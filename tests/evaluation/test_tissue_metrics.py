"""Tissue classes: adjustable thresholds, and lung where there is lung and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.evaluation.image_metrics import hu_error
from mr2ct.evaluation.tissue_metrics import TissueThresholds, find_lung, hu_error_by_tissue

SPACING_MM = (4.0, 4.0, 5.0)


def chest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CT (HU), mask and true lungs, 50 x 40 x 24 voxels: two lungs with vessels, a trachea, skin, air outside."""
    i, j, k = np.meshgrid(*(np.arange(n) for n in (50, 40, 24)), indexing="ij")
    body = ((i - 25) / 22) ** 2 + ((j - 20) / 16) ** 2 < 1
    ct_hu = np.where(body, 30.0, -1000.0)
    rim = body & (((i - 25) / 21) ** 2 + ((j - 20) / 15.2) ** 2 >= 1)
    ct_hu[rim] = -500
    lungs = np.minimum(np.abs(i - 14), np.abs(i - 36)) ** 2 / 49 + ((j - 20) / 10) ** 2 + ((k - 12) / 11) ** 2 < 1
    ct_hu[lungs] = -800
    ct_hu[24:26, 19:21] = -1000
    ct_hu[14, 20, :], ct_hu[36, 20, :] = 40, 40
    return ct_hu, np.ones(ct_hu.shape, np.uint8), lungs & (ct_hu < -250)


def test_lung_is_found_and_neither_skin_nor_airway_nor_outside_air():
    ct_hu, mask, lungs = chest()
    assert np.array_equal(find_lung(ct_hu, mask, SPACING_MM), lungs)
    left_out = mask * (np.arange(50) < 25)[:, None, None]
    assert np.array_equal(find_lung(ct_hu, left_out, SPACING_MM), lungs & (left_out > 0))


def test_lung_in_a_single_slice():
    ct_hu, mask, lungs = chest()
    found = find_lung(ct_hu[:, :, 12:13], mask[:, :, 12:13], SPACING_MM)
    assert np.array_equal(found, lungs[:, :, 12:13])


def test_a_head_has_no_lung():
    """Sinuses (air and walls), skin: less than a lung, or thinner."""
    ct_hu = np.full((60, 60, 60), -1000.0)
    ct_hu[5:55, 5:55, 5:55] = -500
    ct_hu[6:54, 6:54, 6:54] = 30
    ct_hu[20:30, 20:30, 20:30] = -700
    assert find_lung(ct_hu, np.ones(ct_hu.shape), (3.0, 3.0, 3.0)) is None
    generous = TissueThresholds(lung_at_least_ml=20)
    # the eight corners of the cube are thinner than a lung
    assert find_lung(ct_hu, np.ones(ct_hu.shape), (3.0, 3.0, 3.0), thresholds=generous).sum() == 992


def test_lung_and_air_are_told_apart():
    ct_hu, mask, lungs = chest()
    sct_hu = ct_hu + np.random.default_rng(0).normal(0, 30, ct_hu.shape)
    errors = hu_error_by_tissue(sct_hu, ct_hu, mask, lung=find_lung(ct_hu, mask, SPACING_MM))
    assert list(errors) == ["all", "air", "lung", "soft tissue"]
    assert errors["lung"] == hu_error(sct_hu, ct_hu, lungs)
    assert errors["air"] == hu_error(sct_hu, ct_hu, (ct_hu < -250) & ~lungs)
    assert sum(errors[name].n_voxels for name in ("air", "lung", "soft tissue")) == errors["all"].n_voxels


@settings(max_examples=30, deadline=None)
@given(air_below=st.integers(-900, 0), bone_above=st.integers(1, 1500), seed=st.integers(0, 99))
def test_tissues_are_a_partition_whatever_the_thresholds(air_below, bone_above, seed):
    rng = np.random.default_rng(seed)
    ct_hu = rng.uniform(-1024, 2000, (5, 6, 7))
    sct_hu, mask = ct_hu + rng.normal(0, 50, ct_hu.shape), rng.random(ct_hu.shape) > 0.3
    thresholds = TissueThresholds(air_below=air_below, bone_above=bone_above, lung_above=-950)
    errors = hu_error_by_tissue(sct_hu, ct_hu, mask, thresholds=thresholds)
    assert sum(error.n_voxels for name, error in errors.items() if name != "all") == mask.sum()
    if "bone" in errors:
        assert errors["bone"] == hu_error(sct_hu, ct_hu, mask & (ct_hu > bone_above))


def test_thresholds_out_of_order_are_an_error():
    with pytest.raises(InputError, match="out of order"):
        TissueThresholds(air_below=300)
