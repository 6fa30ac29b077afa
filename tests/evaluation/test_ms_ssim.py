"""MS-SSIM in a mask: against a plain SciPy version of the published rule, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve

from mr2ct.evaluation.ms_ssim import WEIGHTS, ms_ssim

RANGE = {"lowest_hu": -1024, "highest_hu": 3071}
WIDTH = 4095


def images(shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """sCT, CT and mask: an ellipsoid with coarse and fine structure; the sCT blurred and noisy."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape]
    radius = np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))
    ct_hu = np.where(radius < 0.8, 800 * np.sin(9 * radius) + rng.normal(0, 60, shape), -1000)
    sct_hu = uniform_filter(ct_hu, 3) + rng.normal(0, 90, shape)
    return sct_hu, ct_hu, (radius < 0.9).astype(np.uint8)


def plain_ms_ssim(sct_hu: np.ndarray, ct_hu: np.ndarray, mask: np.ndarray) -> float:
    """Luminance, contrast and structure apart, a power each; a Fourier convolution between the levels."""
    x, y = (np.where(mask > 0, np.clip(hu, -1024, 3071), -1024) + 1024 for hu in (sct_hu, ct_hu))
    missing = [max(0, 97 - n) for n in x.shape]
    x, y, mask = (np.pad(array, [(n // 2, n - n // 2) for n in missing], mode="edge") for array in (x, y, mask))
    c1, c2 = (0.01 * WIDTH) ** 2, (0.03 * WIDTH) ** 2
    product = 1.0
    for weight in WEIGHTS:
        ux, uy = uniform_filter(x, 7), uniform_filter(y, 7)
        vx, vy, vxy = (
            343 / 342 * (uniform_filter(a * b, 7) - ua * ub)
            for a, b, ua, ub in ((x, x, ux, ux), (y, y, uy, uy), (x, y, ux, uy))
        )
        deviations = np.sqrt(np.clip(vx, 0, None)) * np.sqrt(np.clip(vy, 0, None))
        luminance = np.clip((2 * ux * uy + c1) / (ux * ux + uy * uy + c1), 0, None)
        contrast = np.clip((2 * deviations + c2) / (vx + vy + c2), 0, None)
        structure = np.clip((vxy + c2 / 2) / (deviations + c2 / 2), 0, None)
        level = (luminance**weight * contrast**weight * structure**weight)[3:-3, 3:-3, 3:-3]
        product *= np.clip(level[mask[3:-3, 3:-3, 3:-3] > 0].mean(), 0, 1)
        x, y = (fftconvolve(image, np.full((2, 2, 2), 1 / 8), mode="same")[::2, ::2, ::2] for image in (x, y))
        mask = mask[::2, ::2, ::2]
    return float(product)


@pytest.mark.parametrize("shape", [(99, 97, 102), (40, 101, 1)], ids=["volume", "slice"])
def test_agrees_with_plain_scipy(shape):
    sct_hu, ct_hu, mask = images(shape)
    assert ms_ssim(sct_hu, ct_hu, mask, **RANGE) == pytest.approx(plain_ms_ssim(sct_hu, ct_hu, mask), rel=1e-9)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), shape=st.tuples(st.integers(5, 30), st.integers(5, 30), st.sampled_from((1, 6))))
def test_symmetries(seed, shape):
    sct_hu, ct_hu, mask = images(shape, seed)
    value = ms_ssim(sct_hu, ct_hu, mask, **RANGE)
    assert 0 <= value <= 1
    assert ms_ssim(ct_hu, sct_hu, mask, **RANGE) == pytest.approx(value, abs=1e-12)
    assert ms_ssim(np.where(mask, sct_hu, np.nan), ct_hu, mask, **RANGE) == value
    turned = [np.asfortranarray(array.transpose(2, 0, 1)) for array in (sct_hu, ct_hu, mask)]
    assert ms_ssim(*turned, **RANGE) == pytest.approx(value, abs=1e-12)


def test_equal_images_score_one_and_worse_ones_less():
    sct_hu, ct_hu, mask = images((30, 30, 1))
    assert ms_ssim(ct_hu, ct_hu, mask, **RANGE) == pytest.approx(1, abs=1e-9)
    worse_hu = sct_hu + np.random.default_rng(7).normal(0, 300, ct_hu.shape)
    assert ms_ssim(worse_hu, ct_hu, mask, **RANGE) < ms_ssim(sct_hu, ct_hu, mask, **RANGE) < 1


def test_a_mask_lost_between_levels_has_no_value():
    sct_hu, ct_hu, mask = images((97, 97, 97))
    mask[:] = 0
    mask[51, 51, 51] = 1
    assert np.isnan(ms_ssim(sct_hu, ct_hu, mask, **RANGE))
