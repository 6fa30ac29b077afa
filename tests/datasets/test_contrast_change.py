"""Contrast that no monotone curve makes: black stays black, the rest is free, and slices become thick."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.datasets.contrast_change import in_thick_slices, reordered, with_local_contrast

SIZES = [(14, 20), (9, 12, 10)]
both_dimensions = pytest.mark.parametrize("size", SIZES, ids=["2-D", "3-D"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(samples: int = 1) -> torch.Tensor:
    return torch.linspace(0, 1.4, 141).reshape(1, 1, 1, 141).expand(samples, 1, 1, 141)


@given(st.integers(0, 100_000))
@settings(max_examples=40, deadline=None)
def test_black_stays_black_and_all_else_lies_between_black_and_bright(seed):
    curve = reordered(ramp(), seeded(seed)).flatten()
    assert curve[0] == 0
    assert curve[:11].max() <= 0.15 + 1e-5
    assert (curve[11:] >= 0.05 - 1e-5).all()
    assert curve.max() <= 1.1 + 1e-5
    # continuous: the steepest piece goes from black to bright over 0.15
    assert curve.diff().abs().max() <= 1.1 / 0.15 * 0.01 + 1e-4
    # what is brighter than the last knot stays as bright as it
    assert torch.allclose(curve[101:], curve[100], atol=1e-5)


def test_the_curve_is_numpys_interpolation_through_seven_random_points():
    curve = reordered(ramp(), seeded(3)).flatten().numpy()
    knots = np.array([0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0])
    heights = np.interp(knots, np.linspace(0, 1.4, 141), curve)
    np.testing.assert_allclose(curve, np.interp(np.linspace(0, 1.4, 141), knots, heights), atol=1e-5)


def test_most_curves_turn_the_order_of_some_tissues_round_and_no_two_are_alike():
    curves = reordered(ramp(200), seeded(1)).flatten(1)
    falling = (curves[:, 11:].diff(dim=1) < -1e-4).any(dim=1)
    assert falling.float().mean() > 0.9
    assert len({round(float(c), 5) for c in curves[:, 60]}) > 190


def test_equal_intensities_stay_equal():
    image = torch.tensor([0.3, 0.8, 0.3]).reshape(1, 1, 3, 1)
    changed = reordered(image, seeded(2)).flatten()
    assert changed[0] == changed[2]


@both_dimensions
def test_local_contrast_is_a_gamma_within_its_limits_that_varies_smoothly(size):
    half = torch.full((2, 1, *size), 0.5)
    gamma = with_local_contrast(half, 1.0, seeded(1)).log() / np.log(0.5)
    assert gamma.min() >= 0.4 - 1e-4
    assert gamma.max() <= 2.5 + 1e-4
    assert gamma.std() > 0.05
    assert not torch.allclose(gamma[0], gamma[1])
    assert (with_local_contrast(torch.zeros(1, 1, *size), 1.0, seeded(1)) == 0).all()
    assert torch.equal(with_local_contrast(half, 0.0, seeded(1)), half)


@both_dimensions
@pytest.mark.parametrize("seed", range(4))
def test_a_thick_slice_is_the_mean_of_its_voxels_with_lines_between_the_middles(size, seed):
    image = torch.rand(2, 1, *size, generator=seeded(9))
    generator = seeded(seed)
    axis = 1 + int(torch.randint(len(size), (1,), generator=generator))
    thickness = int(torch.randint(2, 7, (1,), generator=generator))
    one = image[0].numpy().astype(float)
    padded = np.pad(one, [(0, -n % thickness if a == axis else 0) for a, n in enumerate(one.shape)], mode="edge")
    means = np.add.reduceat(padded, np.arange(0, padded.shape[axis], thickness), axis=axis) / thickness
    middles = (np.arange(one.shape[axis]) + 0.5) / thickness - 0.5
    lines = np.clip(middles, 0, means.shape[axis] - 1)
    low = np.minimum(lines.astype(int), max(means.shape[axis] - 2, 0))
    share = (lines - low).reshape([-1 if a == axis else 1 for a in range(one.ndim)])
    high = np.minimum(low + 1, means.shape[axis] - 1)
    expected = np.take(means, low, axis) * (1 - share) + np.take(means, high, axis) * share
    np.testing.assert_allclose(in_thick_slices(image, seeded(seed))[0].numpy(), expected, atol=1e-5)


@both_dimensions
def test_thick_slices_keep_a_smooth_image_and_wipe_out_fine_stripes(size):
    stripes = (torch.arange(size[0]) % 2).float().reshape(1, 1, -1, *[1] * (len(size) - 1)).expand(1, 1, *size)
    changed = [in_thick_slices(stripes, seeded(seed)) for seed in range(12)]
    assert any(float(image[:, :, :6].std()) < 0.2 for image in changed)
    flat = torch.full((1, 1, *size), 0.7)
    assert torch.allclose(in_thick_slices(flat, seeded(1)), flat)
