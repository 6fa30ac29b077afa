"""Modality-independent neighbourhood descriptors: what an image looks like round a voxel, whatever its modality.

A structure term for CycleGAN (Yang 2018, arXiv:1809.04536): the descriptors of an MR and of its sCT are to be alike, so
that borders stay where they are, although dark becomes bright across them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mr2ct.training.losses import masked_mean

_PATCH, _DISTANCE = 5, 2
_FLATTEST = 1e-3
"""Variance that noise gives in network units: below it a neighbourhood has no structure."""


def neighbourhood_descriptors(image: Tensor) -> Tensor:
    """(N, 1, *spatial) to (N, 2 * axes, *spatial), in (0, 1]: how like each neighbour's patch is to the voxel's own.

    MIND of Heinrich 2012 (doi:10.1016/j.media.2012.05.008), equation 4: neighbours two voxels away along each axis,
    flat patches of 5 voxels a side, and each voxel's largest value is 1. Beyond the image its border is repeated.

    Example
    -------
    >>> image = torch.rand(1, 1, 16, 16)
    >>> inverted = neighbourhood_descriptors(1 - image)
    >>> bool(torch.allclose(neighbourhood_descriptors(image), inverted, atol=1e-4))
    True
    """
    axes = image.dim() - 2
    padded = F.pad(image, [_DISTANCE] * 2 * axes, mode="replicate")
    apart = []
    for axis in range(axes):
        for towards in (0, 2 * _DISTANCE):
            neighbour = padded
            for other in range(axes):
                start = towards if other == axis else _DISTANCE
                neighbour = neighbour.narrow(2 + other, start, image.shape[2 + other])
            apart.append((neighbour - image).square())
    pool = F.avg_pool2d if axes == 2 else F.avg_pool3d
    distances = pool(torch.cat(apart, 1), _PATCH, stride=1, padding=_PATCH // 2, count_include_pad=False)
    nearest = distances.amin(1, keepdim=True)
    return torch.exp(-(distances - nearest) / distances.mean(1, keepdim=True).clamp(min=_FLATTEST))


def descriptor_difference(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of two images' descriptors inside the mask; in [0, 1)."""
    return masked_mean((neighbourhood_descriptors(one) - neighbourhood_descriptors(other)).abs(), mask)
