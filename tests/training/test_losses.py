"""Every term against plain numpy, and what each must leave alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mr2ct.evaluation.ssim import ssim
from mr2ct.hounsfield import HuScaling, Tissue, tissue_mask
from mr2ct.training.losses import (
    TissueWeights,
    adversarial,
    gradient_difference,
    gradients,
    masked_l1,
    masked_mean,
    outside_l1,
    sharpness_difference,
    structural_dissimilarity,
    structure_difference,
    tissue_weighted_l1,
)

SHAPES = [(2, 1, 5, 6), (1, 1, 4, 3, 5)]
both_dimensions = pytest.mark.parametrize("shape", SHAPES, ids=["2-D", "3-D"])

values = st.floats(-1, 1, width=32)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two images and a mask of one random shape in two or three dimensions."""
    spatial = draw(st.lists(st.integers(1, 5), min_size=2, max_size=3))
    shape = (draw(st.integers(1, 2)), 1, *spatial)
    one, other = (draw(arrays.arrays(np.float32, shape, elements=values)) for _ in range(2))
    mask = draw(arrays.arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0])))
    return torch.from_numpy(one), torch.from_numpy(other), torch.from_numpy(mask)


def example(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    one, other = (2 * torch.rand(shape, generator=generator) - 1 for _ in range(2))
    return one, other, (torch.rand(shape, generator=generator) > 0.4).float()


# --- against numpy


@both_dimensions
def test_masked_l1_is_the_mean_over_the_mask(shape):
    one, other, mask = example(shape)
    expected = np.abs(one.numpy() - other.numpy())[mask.numpy() > 0].mean()
    assert float(masked_l1(one, other, mask)) == pytest.approx(expected, rel=1e-5)


@both_dimensions
def test_outside_l1_is_the_mean_beyond_the_mask(shape):
    one, _, mask = example(shape)
    expected = np.abs(one.numpy() + 1)[mask.numpy() == 0].mean()
    assert float(outside_l1(one, mask, value=-1.0)) == pytest.approx(expected, rel=1e-5)


@both_dimensions
def test_gradients_are_numpys_differences_and_zero_at_the_far_edge(shape):
    image = example(shape)[0]
    for axis, difference in enumerate(gradients(image), start=2):
        expected = np.diff(image.numpy(), axis=axis)
        inner = [slice(None)] * image.dim()
        inner[axis] = slice(0, -1)
        np.testing.assert_array_equal(difference[tuple(inner)].numpy(), expected)
        inner[axis] = slice(-1, None)
        assert not difference[tuple(inner)].any()


@both_dimensions
def test_gradient_difference_sums_the_axes(shape):
    one, other, mask = example(shape)
    inside, expected = mask.numpy() > 0, 0.0
    for axis in range(2, len(shape)):
        last = np.take(one.numpy(), [-1], axis=axis), np.take(other.numpy(), [-1], axis=axis)
        steps = [np.diff(i.numpy(), axis=axis, append=edge) for i, edge in zip((one, other), last, strict=True)]
        expected += np.abs(steps[0] - steps[1])[inside].mean()
    assert float(gradient_difference(one, other, mask)) == pytest.approx(expected, rel=1e-5)


@both_dimensions
def test_structure_difference_is_one_minus_the_squared_cosine_weighted_by_edges(shape):
    one, other, mask = example(shape)
    of_one, of_other = (np.stack([g.numpy() for g in gradients(image)]).astype(np.float64) for image in (one, other))
    squared_one, squared_other = (of_one**2).sum(0), (of_other**2).sum(0)
    cosine_squared = (of_one * of_other).sum(0) ** 2 / ((squared_one + 1e-6) * (squared_other + 0.05**2))
    weight = squared_one / (squared_one + 0.05**2) * mask.numpy()
    expected = ((1 - cosine_squared) * weight).sum() / weight.sum()
    assert float(structure_difference(one, other, mask)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_terms_are_the_papers(real):
    scores = example((2, 1, 3, 3))[0] * 3
    numbers, target = scores.double().numpy(), float(real)
    assert float(adversarial(scores, real=real, kind="least_squares")) == pytest.approx(
        ((numbers - target) ** 2).mean()
    )
    probability = 1 / (1 + np.exp(-numbers))
    entropy = -(target * np.log(probability) + (1 - target) * np.log(1 - probability)).mean()
    assert float(adversarial(scores, real=real, kind="cross_entropy")) == pytest.approx(entropy, rel=1e-5)


SCALING = HuScaling()
TISSUES = TissueWeights.in_hu(SCALING, air=0.5, soft_tissue=2.0, bone=3.0)


@both_dimensions
def test_tissue_weights_are_of_the_true_cts_tissue_in_hu(shape):
    one, other, mask = example(shape)
    hu, inside = SCALING.to_hu(other.numpy()), mask.numpy() > 0
    weights = sum(
        tissue_mask(hu, tissue) * weight
        for tissue, weight in ((Tissue.AIR, 0.5), (Tissue.SOFT_TISSUE, 2.0), (Tissue.BONE, 3.0))
    )
    expected = np.average(np.abs(one.numpy() - other.numpy())[inside], weights=weights[inside])
    assert float(tissue_weighted_l1(one, other, mask, TISSUES)) == pytest.approx(expected, rel=1e-5)


@both_dimensions
def test_equal_tissue_weights_are_the_plain_l1(shape):
    one, other, mask = example(shape)
    equal = TissueWeights.in_hu(SCALING, air=3.0, soft_tissue=3.0, bone=3.0)
    assert float(tissue_weighted_l1(one, other, mask, equal)) == pytest.approx(float(masked_l1(one, other, mask)))


def smooth_pair(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A CT of blocks, an sCT with its level and noise a little off, and a mask with a hole in it."""
    generator = torch.Generator().manual_seed(2)
    ct = torch.nn.functional.interpolate(torch.rand((1, 1, *(4 for _ in shape)), generator=generator), size=shape)
    ct = 1.6 * ct - 0.9
    sct = (0.9 * ct + 0.05 + 0.1 * torch.randn(ct.shape, generator=generator)).clamp(-1, 1)
    mask = torch.ones_like(ct)
    mask[..., :3] = 0
    mask[0, 0][tuple(slice(5, 7) for _ in shape)] = 0
    return sct, ct, mask


@pytest.mark.parametrize("shape", [(24, 19), (14, 13, 16)], ids=["2-D", "3-D"])
def test_dissimilarity_is_one_minus_the_evaluations_ssim(shape):
    sct, ct, mask = smooth_pair(shape)
    volumes = [SCALING.to_hu(image[0, 0].numpy()).reshape(*shape, *[1] * (3 - len(shape))) for image in (sct, ct)]
    inside = mask[0, 0].numpy().reshape(volumes[0].shape)
    expected = ssim(*volumes, inside, lowest_hu=SCALING.lowest_hu, highest_hu=SCALING.highest_hu)
    assert float(structural_dissimilarity(sct, ct, mask)) == pytest.approx(1 - expected, abs=2e-5)


def test_dissimilarity_pulls_an_image_to_the_other_and_feels_the_way_back_from_beyond_the_range():
    sct, ct, mask = smooth_pair((24, 19))
    image = (sct + 0.8).requires_grad_(True)
    optimiser = torch.optim.Adam([image], lr=0.02)
    before = float(structural_dissimilarity(image.detach(), ct, mask))
    for _ in range(60):
        optimiser.zero_grad()
        structural_dissimilarity(image, ct, mask).backward()
        optimiser.step()
    assert float(structural_dissimilarity(image.detach(), ct, mask)) < before / 4


def test_dissimilarity_looks_at_nothing_beyond_the_mask_and_is_0_where_no_window_fits():
    sct, ct, mask = smooth_pair((24, 19))
    changed = torch.where(mask > 0, sct, torch.tensor(0.9))
    assert torch.equal(structural_dissimilarity(sct, ct, mask), structural_dissimilarity(changed, ct, mask))
    for columns in (5, 19):
        image = sct[..., :columns].clone().requires_grad_(True)
        nothing = structural_dissimilarity(image, ct[..., :columns], torch.zeros_like(image))
        nothing.backward()
        assert float(nothing.detach()) == 0
        assert not image.grad.any()


# --- properties


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_identical_images_differ_by_nothing(images):
    one, _, mask = images
    assert masked_l1(one, one, mask) == 0
    assert gradient_difference(one, one, mask) == 0


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_differences_do_not_depend_on_the_order(images):
    one, other, mask = images
    assert masked_l1(one, other, mask) == masked_l1(other, one, mask)
    assert gradient_difference(one, other, mask) == gradient_difference(other, one, mask)


@given(pairs(), values)
@settings(max_examples=60, deadline=None)
def test_what_lies_beyond_the_mask_does_not_matter(images, anything):
    one, other, mask = images
    changed = torch.where(mask > 0, other, torch.tensor(anything))
    assert masked_l1(one, other, mask) == masked_l1(one, changed, mask)
    inside_out = torch.where(mask > 0, torch.tensor(anything), one)
    assert outside_l1(one, mask, value=-1.0) == outside_l1(inside_out, mask, value=-1.0)


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_every_term_is_finite_and_not_negative_and_so_is_its_gradient(images):
    one, other, mask = images
    predicted = one.clone().requires_grad_(True)
    terms = [
        masked_l1(predicted, other, mask),
        gradient_difference(predicted, other, mask),
        outside_l1(predicted, mask, value=-1.0),
        structure_difference(other, predicted, mask),
        tissue_weighted_l1(predicted, other, mask, TISSUES),
        structural_dissimilarity(predicted, other, mask),
    ]
    assert all(torch.isfinite(term) and term >= -1e-6 for term in terms)
    torch.stack(terms).sum().backward()
    assert torch.isfinite(predicted.grad).all()


@given(pairs(), st.floats(-2, 2, width=32), st.floats(0.5, 3))
@settings(max_examples=60, deadline=None)
def test_structure_is_within_0_and_1_and_blind_to_level_and_sign(images, level, scale):
    one, other, mask = images
    found = float(structure_difference(one, other, mask))
    assert -1e-5 <= found <= 1 + 1e-5
    assert float(structure_difference(one, -other + level, mask)) == pytest.approx(found, abs=2e-3)
    assert float(structure_difference(one, one, mask)) <= float(structure_difference(one, one * 0 + level, mask)) + 1e-5


def test_an_edge_that_turned_dark_keeps_its_structure_and_one_that_moved_does_not():
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 8:] = 1
    mask = torch.ones_like(edge)
    assert float(structure_difference(edge, -edge, mask)) < 0.01
    assert float(structure_difference(edge, edge.roll(3, -1), mask)) > 0.9
    assert float(structure_difference(edge, edge.transpose(-1, -2), mask)) > 0.9


def test_a_shift_of_level_is_no_difference_of_gradients():
    one, _, mask = example((2, 1, 6, 6))
    assert float(gradient_difference(one, one + 0.5, mask)) < 1e-6
    assert float(masked_l1(one, one + 0.5, mask)) == pytest.approx(0.5, abs=1e-6)


def test_an_empty_mask_gives_zero():
    one, other, _ = example((1, 1, 4, 4))
    empty = torch.zeros(1, 1, 4, 4)
    for term in (masked_l1(one, other, empty), gradient_difference(one, other, empty)):
        assert float(term) == 0
    assert float(outside_l1(one, 1 - empty, value=0.0)) == 0
    assert float(structure_difference(one, other, empty)) == 0


def test_a_mask_serves_all_channels():
    values_of_two = torch.tensor([[[[1.0, 9.0]], [[3.0, 9.0]]]])
    mask = torch.tensor([[[[1.0, 0.0]]]])
    assert float(masked_mean(values_of_two, mask)) == 2.0


def test_a_perfect_judgement_costs_nothing():
    certain = torch.full((1, 1, 2, 2), 40.0)
    assert float(adversarial(certain, real=True, kind="cross_entropy")) == pytest.approx(0, abs=1e-9)
    assert float(adversarial(torch.zeros(1, 1, 2, 2), real=False, kind="cross_entropy")) == pytest.approx(math.log(2))
    assert float(adversarial(torch.zeros(1, 1, 2, 2), real=False, kind="least_squares")) == 0


# --- sharpness


def bone_and_mask(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    return torch.rand(shape, generator=generator), torch.ones(shape)


@pytest.mark.parametrize("shape", [(2, 1, 24, 20), (1, 1, 18, 20, 17), (1, 1, 5, 7), (1, 1, 1, 9)], ids=str)
def test_half_the_slope_is_half_as_sharp_whatever_the_size(shape):
    bone, mask = bone_and_mask(*shape)
    assert float(sharpness_difference(bone, bone, mask, above=-1.0)) == 0
    assert float(sharpness_difference(0.5 * bone + 3, bone, mask, above=-1.0)) == pytest.approx(0.5, abs=1e-3)
    assert float(sharpness_difference(1.5 * bone, bone, mask, above=-1.0)) == pytest.approx(0.5, abs=1e-3)


def test_only_the_targets_bone_in_the_mask_is_looked_at():
    target = torch.zeros(1, 1, 40, 40)
    target[..., 4:12, 4:12] = torch.rand(8, 8, generator=torch.Generator().manual_seed(1)) + 0.5
    elsewhere = target.clone()
    elsewhere[..., 20:, 20:] = torch.rand(20, 20)
    mask = torch.ones_like(target)
    assert float(sharpness_difference(elsewhere, target, mask, above=0.2)) == 0
    mask[..., :20, :20] = 0
    assert float(sharpness_difference(target * 0, target, mask, above=0.2)) == 0


def test_an_edge_in_another_place_of_the_window_is_no_fault():
    target, shifted = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    target[..., 6], shifted[..., 8] = 1.0, 1.0
    mask = torch.ones_like(target)
    assert float(sharpness_difference(shifted, target, mask, above=-1.0)) == pytest.approx(0, abs=1e-6)


def test_a_flat_image_feels_no_infinite_slope():
    bone, mask = bone_and_mask(1, 1, 16, 16)
    flat = torch.zeros_like(bone, requires_grad=True)
    sharpness_difference(flat, bone, mask, above=-1.0).backward()
    assert torch.isfinite(flat.grad).all()
    assert torch.isfinite(sharpness_difference(bone, bone, torch.zeros_like(bone), above=-1.0))
