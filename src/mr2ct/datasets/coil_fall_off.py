"""The signal that an MR loses towards the end of its coil: a neck that is nearly black, and is no air.

A bias field changes brightness by some tens of percent all over. Beyond the end of a head coil nearly all of the signal
goes within centimetres, and an MR that was made from a CT shows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CoilFallOff:
    """Darken a share of the samples towards one side, each along its own direction.

    Parameters
    ----------
    share : of samples that are darkened. depth : the largest share of the signal that is lost.

    Example
    -------
    >>> dark = CoilFallOff(share=1.0)(torch.ones(1, 1, 32, 32), torch.Generator().manual_seed(1))
    >>> bool(dark.min() > 0), bool(dark.min() < dark.max() <= 1)
    (True, True)
    """

    share: float = 0.3
    depth: float = 0.95

    def __call__(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 1, *spatial) MR in network units to the same, darkened; never negative."""
        count, dims = mr.shape[0], mr.dim() - 2
        directions = torch.randn(count, dims, generator=generator)
        directions = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-6)
        chosen, begins, widths, depths = torch.rand(4, count, generator=generator)
        place = torch.zeros(count, *mr.shape[2:])
        for axis, size in enumerate(mr.shape[2:]):
            along = torch.linspace(-1, 1, size).reshape([-1 if other == axis else 1 for other in range(dims)])
            place = place + directions[:, axis].reshape([count] + [1] * dims) * along
        begins, widths = 1.2 * begins - 0.4, 0.15 + 0.6 * widths
        shape = [count] + [1] * dims
        lost = ((place - begins.reshape(shape)) / widths.reshape(shape)).clamp(0, 1)
        smooth = lost * lost * (3 - 2 * lost)
        depth = self.depth * depths.sqrt() * (chosen < self.share)
        kept: Tensor = (1 - depth.reshape(shape) * smooth)[:, None]
        return mr * kept.to(mr.device)
