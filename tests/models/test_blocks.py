"""The parts of the networks against plain numpy, and the properties that the networks rely on."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mr2ct.errors import Mr2ctError
from mr2ct.models.attention_unet import AttentionGate
from mr2ct.models.blocks import (
    ChannelNorm,
    ConvolutionBlock,
    convolution,
    cropped_to,
    normalisation,
    padded_to_multiple,
    upsample_to,
)

sizes = st.lists(st.integers(1, 12), min_size=2, max_size=3)


@given(sizes, st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=50, deadline=None)
def test_padding_to_a_multiple_is_undone_by_cropping(size, multiple):
    images = torch.rand(1, 2, *size)
    padded = padded_to_multiple(images, multiple)
    assert all(n % multiple == 0 for n in padded.shape[2:])
    assert torch.equal(cropped_to(padded, images), images)


@given(sizes, st.sampled_from([2, 4]))
@settings(max_examples=50, deadline=None)
def test_padding_never_leaves_a_single_voxel_at_the_coarsest_level(size, multiple):
    coarsest = [n // multiple for n in padded_to_multiple(torch.rand(1, 1, *size), multiple).shape[2:]]
    assert np.prod(coarsest) > 1


def test_padding_continues_the_edge():
    padded = padded_to_multiple(torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]), 2)
    assert padded.tolist() == [[[[1.0, 2.0, 3.0, 3.0], [4.0, 5.0, 6.0, 6.0]]]]


def test_padding_leaves_a_multiple_alone():
    images = torch.rand(1, 1, 8, 16)
    assert padded_to_multiple(images, 8) is images
    assert cropped_to(images, images) is images


def test_channel_norm_is_numpys_and_sees_no_other_voxel():
    norm = ChannelNorm(5)
    torch.nn.init.normal_(norm.norm.weight)
    torch.nn.init.normal_(norm.norm.bias)
    features = torch.rand(2, 5, 3, 4)
    values = features.numpy()
    weight, bias = (p.detach().numpy().reshape(1, 5, 1, 1) for p in (norm.norm.weight, norm.norm.bias))
    centred = values - values.mean(1, keepdims=True)
    expected = centred / np.sqrt(values.var(1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(norm(features).detach().numpy(), expected, atol=1e-5)
    torch.testing.assert_close(norm(features[:, :, :1, :1]), norm(features)[:, :, :1, :1])


@pytest.mark.parametrize("dims", [2, 3])
def test_resizing_is_linear_interpolation_without_a_pattern(dims):
    constant = torch.full((1, 1, *[3] * dims), 0.7)
    torch.testing.assert_close(
        upsample_to(constant, torch.zeros(1, 1, *[7] * dims)), torch.full((1, 1, *[7] * dims), 0.7)
    )
    ramp = torch.arange(4.0).reshape(1, 1, 4, *[1] * (dims - 1))
    finer = upsample_to(ramp, torch.zeros(1, 1, 8, *[1] * (dims - 1))).flatten()
    expected = np.interp((np.arange(8) + 0.5) / 2 - 0.5, np.arange(4), np.arange(4.0))
    np.testing.assert_allclose(finer.numpy(), expected, atol=1e-6)


def test_an_attention_gate_only_weakens():
    torch.manual_seed(0)
    gate = AttentionGate(3, 6, dims=2, norm="batch")
    skip = torch.randn(2, 3, 8, 8)
    share = gate(skip, torch.randn(2, 6, 4, 4)) / skip
    assert ((share > 0) & (share < 1)).all()
    # one map for all channels
    torch.testing.assert_close(share[:, 0], share[:, 2], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [2, 4, 12])
def test_a_gate_of_few_channels_learns_rightly_channels_last(channels: int):
    """The gate looks at every second voxel as a strided convolution does, whose gradients are wrong on some CPUs."""
    torch.manual_seed(1)
    gate = AttentionGate(channels, 2 * channels, dims=2, norm="none").to(memory_format=torch.channels_last)
    exact = copy.deepcopy(gate).double().to(memory_format=torch.contiguous_format)
    skip, below = torch.randn(2, channels, 16, 16), torch.randn(2, 2 * channels, 8, 8)
    gate(skip.contiguous(memory_format=torch.channels_last), below).square().sum().backward()
    strided = F.conv2d(skip.double(), exact.from_skip.weight, exact.from_skip.bias, stride=2)
    weights = upsample_to(exact.weigh(strided + exact.from_gate(below.double())), skip)
    (skip.double() * weights).square().sum().backward()
    torch.testing.assert_close(gate.from_skip.weight.grad.double(), exact.from_skip.weight.grad, rtol=1e-4, atol=1e-4)


def test_a_block_of_equal_widths_passes_its_input_on():
    block = ConvolutionBlock(3, 3, dims=2, norm="none")
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    features = torch.rand(1, 3, 4, 4)
    assert torch.equal(block(features), features)


def test_dropout_acts_in_training_alone():
    block = ConvolutionBlock(2, 4, dims=2, norm="none", dropout=0.5)
    features = torch.rand(1, 2, 6, 6)
    assert not torch.equal(block(features), block(features))
    block.eval()
    assert torch.equal(block(features), block(features))


def test_unknown_normalisations_and_dimensions_are_named():
    with pytest.raises(Mr2ctError, match="unknown normalisation; got layer; expected batch, instance"):
        normalisation("layer", dims=2, channels=1)
    with pytest.raises(Mr2ctError, match="two or three dimensions; got 4"):
        convolution(4, 1, 1, size=3)


@given(channels=st.integers(1, 300))
def test_group_norm_takes_any_number_of_channels(channels):
    layer = normalisation("group", dims=2, channels=channels)
    values = torch.rand(2, channels, 3, 3, generator=torch.Generator().manual_seed(channels))
    assert layer(values).shape == values.shape
    assert layer.num_groups == max(n for n in range(1, 9) if channels % n == 0)
