"""Random smooth fields over an image, from a coarse grid of numbers: elastic deformation and local change need them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CONTROL_POINTS = 7
"""Along each axis; they lie a quarter of the image apart, one of them beyond each edge."""


def smooth_field(shape: Sequence[int], *, channels: int, count: int, generator: torch.Generator) -> Tensor:
    """(count, channels, *shape) in [-1, 1]: a cubic B-spline through uniform random numbers, twice differentiable.

    Source: Rueckert 1999 (doi:10.1109/42.796284), free-form deformation.

    Example
    -------
    >>> smooth_field((8, 6), channels=2, count=3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2, 8, 6])
    """
    control = [count, channels, *[CONTROL_POINTS] * len(shape)]
    field = 2 * torch.rand(control, generator=generator) - 1
    for axis, size in enumerate(shape, start=2):
        field = torch.tensordot(field, _basis(size), dims=([axis], [1])).movedim(-1, axis)
    return field


def _basis(size: int) -> Tensor:
    """(size, CONTROL_POINTS): how much of each control point a voxel gets; the rows add up to 1."""
    place = torch.linspace(0, 1, size) * (CONTROL_POINTS - 3)
    cell = place.floor().clamp(max=CONTROL_POINTS - 4)
    t = place - cell
    weights = torch.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], dim=1) / 6
    return torch.zeros(size, CONTROL_POINTS).scatter(1, cell.long()[:, None] + torch.arange(4), weights)
