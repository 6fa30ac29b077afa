"""Changes of MR contrast that no monotone curve makes: another sequence turns dark tissue bright and bright dark.

What is black stays black: air, and nearly so cortical bone, have no signal in any sequence. Between that and the
brightest tissue the order is free. (Billot 2023, doi:10.1016/j.media.2023.102789, goes further and draws a brightness
for each labelled tissue.) MR is (N, C, *spatial) in network units, 0 background and about 1 bright tissue.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from mr2ct.datasets.smooth_fields import smooth_field

_DARK = 0.1
_KNOTS = (0.0, _DARK, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
_LOWEST, _HIGHEST = 0.1, 1.1
_THICKEST = 6


def reordered(mr: Tensor, generator: torch.Generator) -> Tensor:
    """Each sample through its own random piecewise linear curve: 0 stays 0, the dark stays dark, the rest is free.

    Example
    -------
    >>> float(reordered(torch.zeros(1, 1, 2, 2), torch.Generator().manual_seed(0)).max())
    0.0
    """
    free = len(_KNOTS) - 2
    dark = _DARK * (0.5 + torch.rand((mr.shape[0], 1), generator=generator))
    bright = _LOWEST + (_HIGHEST - _LOWEST) * torch.rand((mr.shape[0], free), generator=generator)
    heights = torch.cat([torch.zeros_like(dark), dark, bright], dim=1).to(mr.device)
    image = mr.clamp(min=0)
    result = torch.zeros_like(image)
    for n, (low, high) in enumerate(pairwise(_KNOTS)):
        slope = (heights[:, n + 1] - heights[:, n]) / (high - low)
        result = result + _along_samples(slope, image) * (image - low).clamp(0, high - low)
    return result


def with_local_contrast(mr: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A gamma that differs smoothly from place to place; `strength` 1 allows 0.4 to 2.5, as `contrast` does everywhere.

    Example
    -------
    >>> with_local_contrast(torch.ones(1, 1, 4, 4), 1.0, torch.Generator()).unique().tolist()
    [1.0]
    """
    field = smooth_field(mr.shape[2:], channels=1, count=mr.shape[0], generator=generator).to(mr.device)
    return mr.clamp(min=0) ** torch.exp(strength * math.log(2.5) * field)


def in_thick_slices(mr: Tensor, generator: torch.Generator) -> Tensor:
    """Measured in slices of 2 to 6 voxels across one random axis, and interpolated linearly between them.

    Example
    -------
    >>> in_thick_slices(torch.ones(1, 1, 9, 7), torch.Generator().manual_seed(0)).shape
    torch.Size([1, 1, 9, 7])
    """
    axis = int(torch.randint(mr.dim() - 2, (1,), generator=generator))
    thickness = int(torch.randint(2, _THICKEST + 1, (1,), generator=generator))
    size = mr.shape[2 + axis]
    missing = [n for other in reversed(range(mr.dim() - 2)) for n in (0, -size % thickness if other == axis else 0)]
    padded = F.pad(mr, missing, mode="replicate")
    pool = F.avg_pool2d if mr.dim() == 4 else F.avg_pool3d
    slices = pool(padded, [thickness if other == axis else 1 for other in range(mr.dim() - 2)])
    mode = "bilinear" if mr.dim() == 4 else "trilinear"
    between = F.interpolate(slices, size=padded.shape[2:], mode=mode, align_corners=False)
    return between.narrow(2 + axis, 0, size)


def _along_samples(numbers: Tensor, images: Tensor) -> Tensor:
    return numbers.reshape([-1] + [1] * (images.dim() - 1))
