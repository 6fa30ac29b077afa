"""Dilation axis by axis is the one maximum over the whole square or cube."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mr2ct.datasets.dilation import dilated


@pytest.mark.parametrize("shape", [(1, 1, 40, 33), (2, 3, 5, 50), (1, 1, 9, 12, 7)])
@given(seed=st.integers(0, 10_000), voxels=st.integers(0, 12))
@settings(max_examples=20, deadline=None)
def test_it_is_one_maximum_over_the_square(shape, seed, voxels):
    generator = torch.Generator().manual_seed(seed)
    region = torch.randn(shape, generator=generator)
    pool = F.max_pool2d if region.dim() == 4 else F.max_pool3d
    assert torch.equal(dilated(region, voxels), pool(region, 2 * voxels + 1, stride=1, padding=voxels))


def test_a_point_becomes_a_square_of_its_own_type():
    region = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    region[..., 4, 2] = True
    grown = dilated(region, 3)
    assert grown.dtype == torch.bool
    assert grown[..., 1:8, :6].all()
    assert int(grown.sum()) == 7 * 6
    assert torch.equal(dilated(region, 0), region)


def test_an_image_smaller_than_the_square_is_filled():
    region = torch.zeros(1, 1, 6, 4)
    region[..., 0, 0] = 1
    assert dilated(region, 30).all()
