"""Masked HU errors: against another implementation, and their symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mr2ct.errors import DataSetError, GeometryError
from mr2ct.evaluation import hu_error, hu_error_by_tissue, masked_mae_hu

HU = hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-1024, 3071, width=32))


@given(HU, HU)
def test_agrees_with_masked_arrays(sct_hu, ct_hu):
    """numpy.ma is the other implementation."""
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1:, :3] = 1
    apart = np.ma.masked_array(sct_hu.astype(np.float64) - ct_hu, mask == 0)
    error = hu_error(sct_hu, ct_hu, mask)
    assert error.mae_hu == pytest.approx(float(np.ma.abs(apart).mean()))
    assert error.mean_error_hu == pytest.approx(float(apart.mean()))
    assert error.rmse_hu == pytest.approx(float(np.ma.sqrt((apart**2).mean())))
    assert error.n_voxels == apart.count()


@given(HU, HU)
def test_symmetry_and_order(sct_hu, ct_hu):
    mask = np.ones((3, 4, 5))
    there, back = hu_error(sct_hu, ct_hu, mask), hu_error(ct_hu, sct_hu, mask)
    assert there.mae_hu == back.mae_hu
    assert there.mean_error_hu == pytest.approx(-back.mean_error_hu, abs=1e-9)
    assert abs(there.mean_error_hu) <= there.mae_hu + 1e-9
    assert there.mae_hu <= there.rmse_hu + 1e-9


@given(HU, HU)
def test_what_lies_outside_the_mask_does_not_count(sct_hu, ct_hu):
    mask = np.zeros((3, 4, 5), bool)
    mask[1] = True
    elsewhere = np.where(mask, sct_hu, -777)
    assert masked_mae_hu(sct_hu, ct_hu, mask) == masked_mae_hu(elsewhere, ct_hu, mask)


def test_identity_is_zero():
    ct_hu = np.arange(-500, 500).reshape(10, 100)
    assert masked_mae_hu(ct_hu, ct_hu, np.ones_like(ct_hu)) == 0


def test_int16_does_not_wrap_around():
    assert masked_mae_hu(np.array([-32000], np.int16), np.array([32000], np.int16), np.ones(1)) == 64000


def test_tissues_are_those_of_the_true_ct_and_add_up():
    rng = np.random.default_rng(1)
    ct_hu = rng.uniform(-1024, 2000, (6, 7, 8))
    sct_hu = ct_hu + rng.normal(0, 50, ct_hu.shape)
    mask = rng.random(ct_hu.shape) > 0.3
    errors = hu_error_by_tissue(sct_hu, ct_hu, mask)
    parts = [errors[name] for name in ("air", "soft tissue", "bone")]
    assert sum(part.n_voxels for part in parts) == errors["all"].n_voxels
    weighted = sum(part.mae_hu * part.n_voxels for part in parts) / errors["all"].n_voxels
    assert weighted == pytest.approx(errors["all"].mae_hu)
    assert errors["bone"].mae_hu == pytest.approx(np.abs(sct_hu - ct_hu)[mask & (ct_hu > 250)].mean())


def test_an_absent_tissue_is_left_out():
    assert "bone" not in hu_error_by_tissue(np.zeros(3), np.zeros(3), np.ones(3))


def test_other_shapes_and_empty_masks_are_errors():
    with pytest.raises(GeometryError, match="different shapes"):
        hu_error(np.zeros(3), np.zeros(4), np.ones(3))
    with pytest.raises(DataSetError, match="empty mask"):
        hu_error(np.zeros(3), np.zeros(3), np.zeros(3))
