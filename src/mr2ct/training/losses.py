"""The terms of the training objectives, each a function of images in network units.

Images are (N, C, *spatial) in two or three dimensions; masks (N, 1, *spatial) with 1 inside; every result is a scalar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mr2ct.hounsfield import AIR_BELOW_HU, BONE_ABOVE_HU, HuScaling

AIR = -1.0
"""CT in network units where there is nothing, the lowest HU."""

_SMALL = 1e-6
_WINDOW, _K1, _K2 = 7, 0.01, 0.03
_LARGEST_DIFFERENCE = 2.0

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


def images_alike(mask: Tensor, *, fewest: int = 1000) -> Tensor:
    """`mask` as weights with which a mean over a batch counts each of its images alike, however small its mask.

    Parameters
    ----------
    fewest : voxels; an image with fewer counts in proportion.

    Example
    -------
    >>> mask = torch.tensor([[[[1.0, 1.0, 1.0, 1.0]]], [[[1.0, 0.0, 0.0, 0.0]]]])
    >>> images_alike(mask, fewest=1).sum((1, 2, 3)).tolist()
    [2.5, 2.5]
    """
    sizes = mask.sum(dim=tuple(range(1, mask.dim())), keepdim=True)
    return mask * (sizes.mean() / sizes.clamp(min=fewest))


def masked_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference inside the mask."""
    return masked_mean((predicted - target).abs(), mask)


@dataclass(frozen=True)
class TissueWeights:
    """How much a voxel counts by the tissue of the true CT, whose limits are in network units.

    Example
    -------
    >>> TissueWeights.in_hu(HuScaling(-1000, 1000), bone=2.0).bone_above
    0.25
    """

    air: float = 1.0
    soft_tissue: float = 1.0
    bone: float = 1.0
    air_below: float = -0.5
    bone_above: float = 0.5

    @classmethod
    def in_hu(
        cls, scaling: HuScaling, *, air: float = 1.0, soft_tissue: float = 1.0, bone: float = 1.0
    ) -> TissueWeights:
        """With the limits of `hounsfield.Tissue`."""
        low, high = ((hu - scaling.lowest_hu) / scaling.hu_per_unit - 1 for hu in (AIR_BELOW_HU, BONE_ABOVE_HU))
        return cls(air, soft_tissue, bone, low, high)

    def of(self, ct: Tensor) -> Tensor:
        """The weight of each voxel of a CT in network units."""
        weights = torch.full_like(ct, self.soft_tissue)
        weights = torch.where(ct < self.air_below, self.air, weights)
        return torch.where(ct > self.bone_above, self.bone, weights)


def tissue_weighted_l1(predicted: Tensor, target: Tensor, mask: Tensor, weights: TissueWeights) -> Tensor:
    """Mean absolute difference inside the mask, each voxel weighted by the tissue of `target` that lies there.

    Example
    -------
    >>> ct = torch.tensor([[[[0.0, 0.9]]]])
    >>> round(float(tissue_weighted_l1(torch.zeros_like(ct), ct, torch.ones_like(ct), TissueWeights(bone=2.0))), 6)
    0.6
    """
    each = weights.of(target) * mask
    return ((predicted - target).abs() * each).sum() / each.sum().clamp(min=_SMALL)


def structural_dissimilarity(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 - SSIM: the mean over the mask's voxels whose window of 7 a side fits into the image; 0 where there is none.

    As `evaluation.ssim` counts it (Wang 2004, flat windows, sample covariance, air outside the mask, over the whole
    HU range), but `predicted` is not clipped: a voxel beyond the range must feel the way back.

    Example
    -------
    >>> image = torch.rand(1, 1, 9, 9)
    >>> abs(float(structural_dissimilarity(image, image, torch.ones_like(image)))) < 1e-5
    True
    """
    # both above air, whose mean and variance then are 0
    x, y = ((image - AIR) * mask for image in (predicted, target))
    reach = _WINDOW // 2
    inner = (slice(None), slice(None), *(slice(reach, n - reach) for n in mask.shape[2:]))
    centres = mask[inner]
    if min(mask.shape[2:]) < _WINDOW or not centres.any():
        return (predicted * 0).sum()
    mean_x, mean_y, squares, products = (_window_means(term) for term in (x, y, x * x + y * y, x * y))
    n = _WINDOW ** (mask.dim() - 2)
    covariance = (products - mean_x * mean_y) * (n / (n - 1))
    variances = (squares - mean_x**2 - mean_y**2) * (n / (n - 1))
    c1, c2 = (_K1 * _LARGEST_DIFFERENCE) ** 2, (_K2 * _LARGEST_DIFFERENCE) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return 1 - masked_mean(similarity / ((mean_x**2 + mean_y**2 + c1) * (variances + c2)), centres)


def _window_means(image: Tensor) -> Tensor:
    """The mean of each whole window, one axis after another."""
    pool = F.avg_pool2d if image.dim() == 4 else F.avg_pool3d
    for axis in range(image.dim() - 2):
        image = pool(image, [_WINDOW if other == axis else 1 for other in range(image.dim() - 2)], stride=1)
    return image


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


def sharpness_difference(predicted: Tensor, target: Tensor, mask: Tensor, *, above: float, window: int = 64) -> Tensor:
    """How far the strength of edges is from the target's in its bone, window by window, relative to the target's.

    0 where every window has the target's gradient energy, 1 where `predicted` is flat. L1 rewards a network that is in
    doubt for blurring; this term asks how sharp bone is here, not where exactly each edge lies, which L1 asks already.
    Edges are central differences at voxels of the mask where `target` is above `above`, in windows of `window` voxels
    a side that overlap by half. 0 without bone.

    Example
    -------
    >>> bone = torch.rand(1, 1, 32, 32)
    >>> round(float(sharpness_difference(0.5 * bone, bone, torch.ones_like(bone), above=-1.0)), 3)
    0.5
    """
    where = mask * (target > above)
    sizes = [min(window, n) for n in mask.shape[2:]]
    pool = F.avg_pool2d if mask.dim() == 4 else F.avg_pool3d
    strides = [max(size // 2, 1) for size in sizes]
    of_predicted, of_target = (
        (pool(_squared_slope(image) * where, sizes, stride=strides) + _SMALL**2).sqrt() for image in (predicted, target)
    )
    return (of_predicted - of_target).abs().sum() / of_target.sum()


def _squared_slope(image: Tensor) -> Tensor:
    """The squared gradient by central differences, summed over the axes; 0 at the border."""
    total = torch.zeros_like(image)
    for axis in range(2, image.dim()):
        n = image.shape[axis]
        if n > 2:
            slope = (image.narrow(axis, 2, n - 2) - image.narrow(axis, 0, n - 2)) / 2
            total = total + F.pad(slope.square(), [0, 0] * (image.dim() - 1 - axis) + [1, 1])
    return total


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
