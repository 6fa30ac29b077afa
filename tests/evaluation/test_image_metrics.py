"""PSNR: against its textbook form, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mr2ct.errors import DataSetError, GeometryError
from mr2ct.evaluation.image_metrics import psnr_db, voxels_to_compare

HU = hnp.arrays(np.float64, (3, 4, 5), elements=st.floats(-2000, 4000))
RANGE = {"lowest_hu": -1024, "highest_hu": 3000}


def mask_of_half() -> np.ndarray:
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1:, :3] = 1
    return mask


@given(HU, HU)
def test_psnr_agrees_with_its_textbook_form(sct_hu, ct_hu):
    mask = mask_of_half()
    apart = [
        min(max(sct_hu[at], -1024), 3000) - min(max(ct_hu[at], -1024), 3000)
        for at in np.ndindex(mask.shape)
        if mask[at]
    ]
    mean_squared = sum(difference**2 for difference in apart) / len(apart)
    if mean_squared < 1e-6:
        return
    expected = 20 * np.log10(4024) - 10 * np.log10(mean_squared)
    assert psnr_db(sct_hu, ct_hu, mask, **RANGE) == pytest.approx(expected, rel=1e-9)


@given(HU, HU)
def test_psnr_is_symmetric_and_blind_outside_the_mask(sct_hu, ct_hu):
    mask = mask_of_half()
    value = psnr_db(sct_hu, ct_hu, mask, **RANGE)
    assert psnr_db(ct_hu, sct_hu, mask, **RANGE) == value
    assert psnr_db(np.where(mask, sct_hu, np.nan), ct_hu, mask, **RANGE) == value


def test_psnr_of_equal_images_is_infinite():
    ct_hu = np.arange(-30, 30).reshape(3, 4, 5)
    assert psnr_db(ct_hu, ct_hu, np.ones(ct_hu.shape), **RANGE) == float("inf")


def test_psnr_clips_integers_by_limits_of_any_kind():
    sct_hu, ct_hu = np.array([-2048], np.int16), np.array([4095], np.int16)
    assert psnr_db(sct_hu, ct_hu, np.ones(1), lowest_hu=-1024.5, highest_hu=3000.5) == pytest.approx(0)


def test_what_cannot_be_compared_is_an_error():
    with pytest.raises(GeometryError, match="different shapes"):
        voxels_to_compare(np.zeros((2, 2)), np.zeros((2, 2)), np.ones((2, 3)))
    with pytest.raises(DataSetError, match="empty mask"):
        psnr_db(np.zeros(2), np.zeros(2), np.zeros(2), **RANGE)
