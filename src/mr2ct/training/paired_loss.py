"""What an sCT owes to its CT: the terms of a paired objective and their weights, for every method that has pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mr2ct.training.losses import (
    AIR,
    TissueWeights,
    gradient_difference,
    images_alike,
    masked_l1,
    outside_l1,
    sharpness_difference,
    structural_dissimilarity,
    tissue_weighted_l1,
)


@dataclass(frozen=True)
class PairWeights:
    """How much each term counts.

    Parameters
    ----------
    l1 : mean absolute error in the mask.
    gradient : edges as sharp as the CT's. outside : air outside the mask, where the CT shows the table.
    ssim, sharpness : 1 - SSIM in the mask, and bone as sharp as the CT's; neither is computed at 0.
    feature : of the feature loss, where there is one.
    """

    l1: float = 1.0
    gradient: float = 1.0
    outside: float = 0.2
    ssim: float = 0.0
    sharpness: float = 0.0
    feature: float = 0.0


class PairedLoss:
    """The terms between an sCT and its CT, and their weighted sum.

    Parameters
    ----------
    weights : of the terms.
    tissues : weights of the true CT's tissues in the L1 term; None counts all voxels alike.
    features : from sCT, CT and mask to a scalar, such as `tissue_features.TissueFeatureLoss`.
    bone_above : in network units; of the sharpness term alone.
    alike : count the images of a batch alike in the L1 and gradient terms; else their voxels (`losses.images_alike`).

    Example
    -------
    >>> loss = PairedLoss(PairWeights(gradient=0.0))
    >>> ct, mask = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    >>> float(loss.total(loss.terms(ct + 0.5, ct, mask)))
    0.5
    """

    def __init__(
        self,
        weights: PairWeights,
        *,
        tissues: TissueWeights | None = None,
        features: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        bone_above: float = 0.0,
        alike: bool = False,
    ) -> None:
        self.weights, self.tissues, self.features, self.bone_above = weights, tissues, features, bone_above
        self.alike = alike

    def terms(self, sct: Tensor, ct: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The terms by name, unweighted: scalars. `l1` is weighted by tissue where the weights ask for it."""
        counted = images_alike(mask) if self.alike else mask
        l1 = masked_l1(sct, ct, counted) if self.tissues is None else tissue_weighted_l1(sct, ct, counted, self.tissues)
        terms = {
            "l1": l1,
            "gradient": gradient_difference(sct, ct, counted),
            "outside": outside_l1(sct, mask, value=AIR),
        }
        if self.weights.ssim:
            terms["ssim"] = structural_dissimilarity(sct, ct, mask)
        if self.weights.sharpness:
            terms["sharpness"] = sharpness_difference(sct, ct, mask, above=self.bone_above)
        if self.features is not None:
            terms["feature"] = self.features(sct, ct, mask)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum of what `terms` gave."""
        weighted = (getattr(self.weights, name) * term for name, term in terms.items())
        return sum(weighted, torch.zeros_like(terms["l1"]))
