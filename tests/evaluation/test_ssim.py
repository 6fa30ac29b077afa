"""SSIM in a mask: against a plain SciPy version, its rule for thin images, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from mr2ct.errors import DataSetError, GeometryError
from mr2ct.evaluation.ssim import mean_similarity, ssim

RANGE = {"lowest_hu": -1024, "highest_hu": 3000}


def images(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """sCT, CT and mask: smooth blobs, the sCT off by some noise, values beyond the range at both ends."""
    rng = np.random.default_rng(seed)
    ct_hu = uniform_filter(rng.normal(0, 9000, shape), [min(n, 3) for n in shape])
    sct_hu = ct_hu + rng.normal(20, 200, shape)
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(n // 5, n - n // 7) for n in shape)] = 1
    return sct_hu, ct_hu, mask & (ct_hu > -1500)


def plain_ssim(sct_hu: np.ndarray, ct_hu: np.ndarray, mask: np.ndarray) -> float:
    """The published computation, array by array, for any number of axes."""
    x, y = (np.where(mask > 0, np.clip(hu, -1024, 3000), -1024) + 1024 for hu in (sct_hu, ct_hu))
    n = 7**x.ndim
    ux, uy = uniform_filter(x, 7), uniform_filter(y, 7)
    vx = n / (n - 1) * (uniform_filter(x * x, 7) - ux * ux)
    vy = n / (n - 1) * (uniform_filter(y * y, 7) - uy * uy)
    vxy = n / (n - 1) * (uniform_filter(x * y, 7) - ux * uy)
    c1, c2 = (0.01 * 4024) ** 2, (0.03 * 4024) ** 2
    similarity = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    inner = (slice(3, -3),) * x.ndim
    return float(similarity[inner][mask[inner] > 0].mean())


@pytest.mark.parametrize("shape", [(20, 23, 31), (7, 15, 9)])
def test_agrees_with_plain_scipy(shape):
    sct_hu, ct_hu, mask = images(shape)
    assert ssim(sct_hu, ct_hu, mask, **RANGE) == pytest.approx(plain_ssim(sct_hu, ct_hu, mask), rel=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_is_compared_in_its_plane(axis):
    sct_hu, ct_hu, mask = images((30, 26))
    thin = [np.expand_dims(array, axis) for array in (sct_hu, ct_hu, mask)]
    assert ssim(*thin, **RANGE) == pytest.approx(plain_ssim(sct_hu, ct_hu, mask), rel=1e-9)


def test_a_few_slices_are_compared_slice_by_slice():
    sct_hu, ct_hu, mask = images((20, 18, 3))
    mask = np.ones_like(mask)
    slices = [plain_ssim(sct_hu[:, :, k], ct_hu[:, :, k], mask[:, :, k]) for k in range(3)]
    assert ssim(sct_hu, ct_hu, mask, **RANGE) == pytest.approx(np.mean(slices), rel=1e-9)


@pytest.mark.parametrize("shape", [(20, 3, 1), (1, 6, 40)])
def test_two_thin_axes_have_no_value(shape):
    sct_hu, ct_hu, _ = images(shape)
    assert np.isnan(ssim(sct_hu, ct_hu, np.ones(shape), **RANGE))


def test_a_mask_at_the_border_alone_has_no_value():
    sct_hu, ct_hu, mask = images((12, 12, 12))
    mask[:] = 0
    mask[:3] = 1
    assert np.isnan(ssim(sct_hu, ct_hu, mask, **RANGE))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), shape=st.tuples(*(st.integers(7, 14),) * 3))
def test_symmetries(seed, shape):
    sct_hu, ct_hu, mask = images(shape, seed)
    mask[3:-3, 3:-3, 3:-3] |= 1
    value = ssim(sct_hu, ct_hu, mask, **RANGE)
    assert -1 <= value <= 1
    assert ssim(ct_hu, sct_hu, mask, **RANGE) == pytest.approx(value, abs=1e-12)
    assert ssim(ct_hu, ct_hu, mask, **RANGE) == pytest.approx(1, abs=1e-9)
    assert ssim(np.where(mask, sct_hu, np.nan), ct_hu, mask, **RANGE) == value
    turned = [array.transpose(2, 0, 1) for array in (sct_hu, ct_hu, mask)]
    assert ssim(*turned, **RANGE) == pytest.approx(value, abs=1e-12)
    flipped = [array[::-1, :, ::-1] for array in (sct_hu, ct_hu, mask)]
    assert ssim(*flipped, **RANGE) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_memory_order_and_number_type_make_no_difference(order, dtype):
    sct_hu, ct_hu, mask = images((12, 14, 9))
    sct_hu, ct_hu = np.rint(sct_hu), np.rint(ct_hu)
    stored = np.array(sct_hu, dtype=dtype, order=order)
    assert ssim(stored, ct_hu, mask, **RANGE) == pytest.approx(ssim(sct_hu, ct_hu, mask, **RANGE), rel=1e-12)


def test_negative_similarity_counts_as_none_where_a_power_is_taken():
    rng = np.random.default_rng(3)
    image = 1 + rng.random((9, 9, 9))
    opposite = 3 - image
    mask = np.ones(image.shape, dtype=bool)
    assert mean_similarity(image, opposite, mask, data_range=0.1) < 0
    assert mean_similarity(image, opposite, mask, data_range=0.1, power=0.5) == 0


def test_bad_input_is_an_error():
    with pytest.raises(GeometryError):
        ssim(np.zeros((9, 9, 9)), np.zeros((9, 9, 8)), np.ones((9, 9, 9)), **RANGE)
    with pytest.raises(DataSetError):
        ssim(np.zeros((9, 9, 9)), np.zeros((9, 9, 9)), np.zeros((9, 9, 9)), **RANGE)
