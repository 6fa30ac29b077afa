"""The paired objective is the weighted sum of its terms, and a term without weight is not computed."""

from __future__ import annotations

import pytest
import torch

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
