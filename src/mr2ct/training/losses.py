"""The terms of the training objectives, each a function of images in network units.

Images are (N, C, *spatial) in two or three dimensions; masks (N, 1, *spatial) with 1 inside; every result is a scalar.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_SMALL = 1e-6

AdversarialKind = Literal["least_squares", "cross_entropy"]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is 1; 0 where nothing is inside.

    Example
    -------
    >>> masked_mean(torch.tensor([[[[2.0, 8.0]]]]), torch.tensor([[[[1.0, 0.0]]]])).item()
    2.0
    """
    weight = mask.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def masked_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference inside the mask."""
    return masked_mean((predicted - target).abs(), mask)


def outside_l1(image: Tensor, mask: Tensor, *, value: float) -> Tensor:
    """Mean absolute difference from `value` outside the mask: air round the head, whatever lies on the table."""
    return masked_mean((image - value).abs(), 1 - mask)


def gradients(image: Tensor) -> list[Tensor]:
    """Forward differences along each spatial axis, each of the image's own shape (0 at the far edge)."""
    differences = []
    for axis in range(2, image.dim()):
        difference = torch.diff(image, dim=axis)
        edge = [0, 0] * (image.dim() - 1 - axis) + [0, 1]
        differences.append(F.pad(difference, edge))
    return differences


def gradient_difference(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of the gradients inside the mask, summed over the axes: edges as sharp as the CT's.

    Source: Mathieu 2016 (arXiv:1511.05440), equation 6 with exponent 1, signs kept.
    """
    pairs = zip(gradients(predicted), gradients(target), strict=True)
    return torch.stack([masked_mean((p - t).abs(), mask) for p, t in pairs]).sum()


def structure_difference(one: Tensor, other: Tensor, mask: Tensor, *, edge: float = 0.05) -> Tensor:
    """How far the edges of two modalities are from parallel, weighted by the first one's edges; in [0, 1].

    Normalised gradient fields (Haber and Modersitzki 2006): 1 - cos² of the angle between the gradients, so that a dark
    edge may become a bright one but must stay where it is. A gradient of `edge` network units counts as an edge.
    """
    of_one, of_other = torch.stack(gradients(one)), torch.stack(gradients(other))
    squared_one, squared_other = (of_one**2).sum(0), (of_other**2).sum(0)
    cosine_squared = (of_one * of_other).sum(0) ** 2 / ((squared_one + _SMALL) * (squared_other + edge**2))
    weight = squared_one / (squared_one + edge**2)
    return masked_mean((1 - cosine_squared) * weight, mask) / masked_mean(weight, mask).clamp(min=_SMALL)


def adversarial(scores: Tensor, *, real: bool, kind: AdversarialKind) -> Tensor:
    """How far patch scores are from "real" or "not real": least squares (Mao 2017) or cross-entropy (Goodfellow 2014).

    Example
    -------
    >>> adversarial(torch.ones(1, 1, 2, 2), real=True, kind="least_squares").item()
    0.0
    """
    target = torch.full_like(scores, 1.0 if real else 0.0)
    if kind == "least_squares":
        return F.mse_loss(scores, target)
    return F.binary_cross_entropy_with_logits(scores, target)
