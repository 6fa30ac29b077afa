"""MIND descriptors: against a plain loop, blind to the modality, sensitive to place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.training.mind import descriptor_difference, neighbourhood_descriptors


def by_a_plain_loop(image: np.ndarray) -> np.ndarray:
    """(H, W) to (4, H, W), voxel by voxel."""
    height, width = image.shape
    padded = np.pad(image, 2, mode="edge").astype(np.float64)
    found = np.zeros((4, height, width))
    for row, column in itertools.product(range(height), range(width)):
        distances = []
        for down, right in ((-2, 0), (2, 0), (0, -2), (0, 2)):
            squares = []
            for i, j in itertools.product(range(row - 2, row + 3), range(column - 2, column + 3)):
                if 0 <= i < height and 0 <= j < width:
                    squares.append((padded[i + 2 + down, j + 2 + right] - image[i, j]) ** 2)
            distances.append(np.mean(squares))
        values = np.exp(-np.array(distances) / max(np.mean(distances), 1e-3))
        found[:, row, column] = values / values.max()
    return found


def test_it_is_what_a_plain_loop_gives():
    image = np.random.default_rng(1).random((9, 12)).astype(np.float32)
    found = neighbourhood_descriptors(torch.from_numpy(image)[None, None])
    np.testing.assert_allclose(found[0], by_a_plain_loop(image), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.5, 3.0), offset=st.floats(-1.0, 1.0), sign=st.sampled_from([-1, 1]))
def test_brightness_and_the_order_of_grey_levels_do_not_count(gain, offset, sign):
    image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    other = sign * gain * image + offset
    assert descriptor_difference(image, other, torch.ones_like(image)) < 1e-3


@pytest.mark.parametrize("shape", [(1, 1, 24, 24), (2, 1, 10, 12, 14)])
def test_what_moved_is_further_away_the_further_it_moved(shape):
    image = torch.zeros(shape)
    image[..., 4:8] = 1.0
    mask = torch.ones_like(image)
    near, far = (descriptor_difference(image, 1 - image.roll(by, -1), mask) for by in (1, 3))
    assert 0 < near < far < 1


def test_noise_too_weak_to_be_seen_is_no_structure():
    flat = torch.full((1, 1, 16, 16), 0.3)
    noisy = flat + 1e-4 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(3))
    assert descriptor_difference(flat, noisy, torch.ones_like(flat)) < 1e-3


def test_beyond_the_mask_nothing_counts():
    one, other = torch.rand(2, 1, 1, 20, 20, generator=torch.Generator().manual_seed(4)).unbind()
    other[..., :12] = one[..., :12]
    mask = torch.zeros_like(one)
    mask[..., :8] = 1.0
    assert descriptor_difference(one, other, mask) == 0
    assert descriptor_difference(one, other, 1 - mask) > 0
