"""What an MR shows inside soft tissue and a CT does not: folds, ventricles, vessels, grey and white matter.

An MR that a network makes of a CT is flat there, for the CT is. A network that learns from such MR takes the dark fluid
of a real one for bone. So the soft tissue of an MR made from a CT is covered with random structure, in the manner of
Billot 2023 (arXiv:2107.09559), who learn to segment from random images alone; what the CT shows stays the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mr2ct.datasets.smooth_fields import smooth_field

_FOLD_VOXELS, _PART_VOXELS, _VESSEL_VOXELS = (5, 10), (12, 30), (4, 8)
_INTERPOLATION = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class SoftTissueTexture:
    """Multiply the MR inside soft tissue by random structure; each sample gets its own, the strengths drawn up to:

    Parameters
    ----------
    folds : how much thin winding ribbons are darkened (sulci); 1 makes them black.
    rim : how much the edge of the soft tissue is darkened (fluid beneath the skull).
    parts : how much large parts differ in brightness (grey and white matter, ventricles).
    vessels : how much brighter small blots become (vessels with contrast agent).
    shade : how much wide regions are darkened, fat and bone beside them not (muscle in a neck); 1 makes them black.

    Example
    -------
    >>> mr, soft = torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    >>> bool((SoftTissueTexture()(mr, soft, torch.Generator()) == mr).all())
    True
    """

    folds: float = 0.8
    rim: float = 0.8
    parts: float = 0.4
    vessels: float = 1.0
    shade: float = 0.0

    def __call__(self, mr: Tensor, soft: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 1, *spatial) MR in network units and where it is soft tissue, 0 to 1, to the changed MR."""
        ribbons = torch.exp(-((_field(mr, _FOLD_VOXELS, generator) / 0.35) ** 2))
        parts = torch.tanh(3 * _field(mr, _PART_VOXELS, generator))
        dark = (_field(mr, _PART_VOXELS, generator) > 1.6).to(mr.dtype)
        blots = torch.sigmoid(10 * (_field(mr, _VESSEL_VOXELS, generator) - 2))
        factor = (
            (1 - self.folds * _strength(mr, generator) * ribbons)
            * (1 - self.folds * _strength(mr, generator) * dark)
            * (1 + self.parts * (_strength(mr, generator) - 0.5) * parts)
            * (1 - self.rim * _strength(mr, generator) * self._edge(soft, generator))
            * (1 + self.vessels * _strength(mr, generator) * blots)
        )
        if self.shade:
            field = smooth_field(mr.shape[2:], channels=1, count=mr.shape[0], generator=generator).to(mr.device)
            factor = factor * (1 - self.shade * _strength(mr, generator) * (0.5 + 1.5 * field).clamp(0, 1))
        return mr * (1 + soft * (factor - 1))

    @staticmethod
    def _edge(soft: Tensor, generator: torch.Generator) -> Tensor:
        """1 at the edge of the soft tissue, falling to 0 a few voxels inside."""
        reach = 1 + 2 * int(torch.randint(1, 4, (1,), generator=generator))
        pool = F.avg_pool2d if soft.dim() == 4 else F.avg_pool3d
        return (2 * (1 - pool(soft, reach, stride=1, padding=reach // 2))).clamp(max=1)


def _field(like: Tensor, voxels: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Smooth noise of mean 0 and deviation about 1 whose structures are so many voxels wide, on the grid of `like`."""
    size = int(torch.randint(voxels[0], voxels[1] + 1, (1,), generator=generator))
    coarse = [max(n // size, 2) for n in like.shape[2:]]
    noise = torch.randn(like.shape[0], 1, *coarse, generator=generator).to(like.device)
    # linear resizing averages neighbours: between the nodes the deviation falls to about two thirds
    smooth = F.interpolate(noise, size=like.shape[2:], mode=_INTERPOLATION[like.dim() - 2], align_corners=False)
    return 1.4 * smooth


def _strength(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand([like.shape[0]] + [1] * (like.dim() - 1), generator=generator).to(like.device)
