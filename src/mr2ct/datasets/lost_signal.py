"""The little signal of dark tissue, taken away here and there: bone and air are then told apart by where they lie.

An MR that a network made of a CT is never quite as dark in bone as in air, and another network reads the one from the
other by that trace, instead of by anatomy. In a real MR noise, fat beside it and the coil drown it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mr2ct.datasets.smooth_fields import smooth_field

_LOWEST_LIMIT = 0.1


@dataclass(frozen=True)
class LostSignal:
    """Darken what is dark already, in smooth random patches of a share of the samples; what is bright stays.

    Parameters
    ----------
    share : of samples that are changed. up_to : below what signal tissue can lose more of it, drawn for each sample
        between 0.1 and this; in network units.

    Example
    -------
    >>> changed = LostSignal(share=1.0)(torch.full((1, 1, 32, 32), 0.05), torch.Generator().manual_seed(1))
    >>> bool(changed.min() < 0.025), bool(changed.max() <= 0.05)
    (True, True)
    """

    share: float = 0.5
    up_to: float = 0.35

    def __call__(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 1, *spatial) MR in network units to the same, darkened; never negative, nothing at the limit or above."""
        count, shape = mr.shape[0], [mr.shape[0]] + [1] * (mr.dim() - 1)
        chosen, limits = torch.rand(2, count, generator=generator)
        limits = (_LOWEST_LIMIT + (self.up_to - _LOWEST_LIMIT) * limits).reshape(shape).to(mr.device)
        field = smooth_field(mr.shape[2:], channels=1, count=count, generator=generator).to(mr.device)
        # patches of no loss, of all, and between
        left = (0.5 + 1.5 * field).clamp(0, 1)
        bright = (mr.clamp(min=0) / limits).clamp(0, 1)
        factor = left + (1 - left) * bright * bright * (3 - 2 * bright)
        return torch.where((chosen < self.share).reshape(shape).to(mr.device), mr * factor, mr)
