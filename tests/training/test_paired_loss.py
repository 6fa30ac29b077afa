"""The paired objective is the weighted sum of its terms, and a term without weight is not computed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.training.losses import (
    TissueWeights,
    gradient_difference,
    masked_l1,
    outside_l1,
    sharpness_difference,
    structural_dissimilarity,
    tissue_weighted_l1,
)
from mr2ct.training.paired_loss import PairedLoss, PairWeights


def images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    sct, ct = (2 * torch.rand(2, 1, 12, 14, generator=generator) - 1 for _ in range(2))
    return sct, ct, (torch.rand(2, 1, 12, 14, generator=generator) > 0.3).float()


def test_by_default_it_is_l1_gradient_and_outside():
    sct, ct, mask = images()
    loss = PairedLoss(PairWeights(l1=1.0, gradient=0.3, outside=0.2))
    terms = loss.terms(sct, ct, mask)
    assert terms.keys() == {"l1", "gradient", "outside"}
    # bit for bit: runs from before the other terms existed go on as they were
    expected = masked_l1(sct, ct, mask) + 0.3 * gradient_difference(sct, ct, mask)
    assert torch.equal(loss.total(terms), expected + 0.2 * outside_l1(sct, mask, value=-1.0))


def test_sharpness_is_of_the_bone_above_its_limit():
    sct, ct, mask = images()
    loss = PairedLoss(PairWeights(gradient=0.0, outside=0.0, sharpness=2.0), bone_above=0.4)
    expected = masked_l1(sct, ct, mask) + 2 * sharpness_difference(sct, ct, mask, above=0.4)
    assert float(loss.total(loss.terms(sct, ct, mask))) == pytest.approx(float(expected), rel=1e-6)


def test_every_term_counts_by_its_weight():
    sct, ct, mask = images()
    tissues = TissueWeights(air=2.0, soft_tissue=1.0, bone=4.0)
    weights = PairWeights(l1=100.0, gradient=0.0, outside=20.0, ssim=3.0, feature=5.0)
    loss = PairedLoss(weights, tissues=tissues, features=lambda *images: torch.tensor(7.0))
    expected = 100 * tissue_weighted_l1(sct, ct, mask, tissues) + 20 * outside_l1(sct, mask, value=-1.0)
    expected = expected + 3 * structural_dissimilarity(sct, ct, mask) + 35
    assert float(loss.total(loss.terms(sct, ct, mask))) == pytest.approx(float(expected), rel=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_images_counted_alike_are_the_mean_of_what_each_costs_by_itself(seed):
    torch.manual_seed(seed)
    sct, ct = torch.rand(2, 3, 1, 40, 40).unbind(0)
    mask = torch.zeros(3, 1, 40, 40)
    mask[0], mask[1, :, :, 5:], mask[2, :, 3:37, :30] = 1, 1, 1
    terms = PairedLoss(PairWeights(), alike=True).terms(sct, ct, mask)
    alone = [PairedLoss(PairWeights()).terms(*(image[n : n + 1] for image in (sct, ct, mask))) for n in range(3)]
    for name in ("l1", "gradient"):
        assert float(terms[name]) == pytest.approx(sum(float(own[name]) for own in alone) / 3, rel=1e-5)


def test_an_image_with_hardly_anything_inside_does_not_outweigh_the_others():
    sct, ct, mask = torch.ones(2, 1, 40, 40), torch.zeros(2, 1, 40, 40), torch.zeros(2, 1, 40, 40)
    sct[0], mask[0], mask[1, 0, 0, :10] = 0, 1, 1
    assert 0 < float(PairedLoss(PairWeights(), alike=True).terms(sct, ct, mask)["l1"]) < 0.02
    assert float(PairedLoss(PairWeights(), alike=True).terms(sct, ct, 0 * mask)["l1"]) == 0
