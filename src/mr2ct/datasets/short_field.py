"""An MR whose field of view ends before the CT's: the last centimetres of a neck are black, and are no air.

Where a body outline is cut straight through tissue, as at the lower end of a head, MR and CT seldom end together. An MR
that was made from a CT ends where the CT does, and a network that learns from such MR takes what is black for air.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_REACH = 2
"""Voxels from the outline's edge at which tissue touches it; skin lies further in, for outlines are generous."""
_WINDOW, _FILLED = 31, 0.025
"""A cut is long: in a window of so many voxels this share touches at least, twice as much along a straight cut."""


@dataclass(frozen=True)
class ShortField:
    """Blacken a band along the cuts of a share of the samples, its width drawn for each.

    Parameters
    ----------
    share : of samples that are changed. up_to : the widest band, in voxels.

    Example
    -------
    >>> mask = torch.zeros(1, 1, 64, 64)
    >>> mask[..., 32:] = 1
    >>> changed = ShortField(share=1.0)(mask, mask, mask, torch.Generator().manual_seed(1))
    >>> bool(changed[..., 32].max() == 0), bool((changed[..., 60:] == 1).all())
    (True, True)
    """

    share: float = 0.5
    up_to: int = 30

    def __call__(self, mr: Tensor, tissue: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """(N, C, *spatial) MR in network units to the same with bands of 0.

        `tissue` is 1 where the sample's CT is no air, `mask` 1 inside its outline; both (N, 1, *spatial).
        """
        chosen, widths = torch.rand(2, mr.shape[0], generator=generator)
        cuts = _long(tissue * mask * _grown(1 - mask, _REACH))
        seen = torch.ones_like(mask)
        for n in torch.nonzero(chosen < self.share).flatten().tolist():
            seen[n] -= _grown(cuts[n : n + 1], int(widths[n] * self.up_to))[0]
        return mr * seen


def _grown(region: Tensor, voxels: int) -> Tensor:
    pool = F.max_pool2d if region.dim() == 4 else F.max_pool3d
    return pool(region, 2 * voxels + 1, stride=1, padding=voxels)


def _long(touching: Tensor) -> Tensor:
    """Without the few voxels at which an ear or a nose touches the outline."""
    pool = F.avg_pool2d if touching.dim() == 4 else F.avg_pool3d
    return touching * (pool(touching, _WINDOW, stride=1, padding=_WINDOW // 2) >= _FILLED)
