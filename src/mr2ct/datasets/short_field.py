"""An MR whose field of view ends before the CT's: the last centimetres of a neck are black, and are no air.

Where a body outline is cut straight through tissue, as at the lower end of a head, MR and CT seldom end together. An MR
that was made from a CT ends where the CT does, and a network that learns from such MR takes what is black for air.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mr2ct.datasets.dilation import dilated

_REACH = 2
"""Voxels from the outline's edge at which tissue touches it; skin lies further in, for outlines are generous."""
SIDE_VOXELS = 50
"""A cut is a straight side of the outline, so many voxels long; a skull's curve leaves a line sooner."""


@dataclass(frozen=True)
class ShortField:
    """Blacken a band along the cuts of a share of the samples, its width drawn for each.

    Parameters
    ----------
    share : of samples that are changed. up_to : the widest band, in voxels.
    tilt_deg : how far half of the fields of view may be tilted against the longest cut; the width is then its middle's.

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
    tilt_deg: float = 0.0

    def __call__(self, mr: Tensor, tissue: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """(N, C, *spatial) MR in network units to the same with bands of 0.

        `tissue` is 1 where the sample's CT is no air, `mask` 1 inside its outline; both (N, 1, *spatial).
        """
        chosen, widths = torch.rand(2, mr.shape[0], generator=generator)
        touching, seen = tissue * mask * dilated(1 - mask, _REACH), torch.ones_like(mask)
        tilts = self._tilts(mr.shape[0], generator)
        for n in torch.nonzero(chosen < self.share).flatten().tolist():
            cuts, longest = _straight(touching[n, 0], mask[n, 0])
            width = int(widths[n] * self.up_to)
            if longest is not None and tilts[n]:
                seen[n, 0] -= longest.beyond(cuts.shape, width=width, tilt_deg=tilts[n])
            else:
                seen[n] -= dilated(cuts[None, None], width)[0]
        return mr * seen

    def _tilts(self, count: int, generator: torch.Generator) -> list[float]:
        if not self.tilt_deg:
            return count * [0.0]
        chosen, turned = torch.rand(2, count, generator=generator)
        tilts: list[float] = torch.where(chosen < 0.5, (2 * turned - 1) * self.tilt_deg, 0.0).tolist()
        return tilts


@dataclass(frozen=True)
class _Side:
    """A straight side: its middle, and the unit normal away from the outline, along the last two axes."""

    middle: Tensor
    normal: Tensor

    def beyond(self, shape: Sequence[int], *, width: int, tilt_deg: float) -> Tensor:
        """1 outside of a line that is turned against the side and lies `width` inside of its middle."""
        cos, sin = math.cos(math.radians(tilt_deg)), math.sin(math.radians(tilt_deg))
        along, across = self.normal.tolist()
        first, second = torch.meshgrid(*(torch.arange(float(n)) for n in shape[-2:]), indexing="ij")
        first, second = first - float(self.middle[0]), second - float(self.middle[1])
        depth = (cos * along - sin * across) * first + (sin * along + cos * across) * second
        outside: Tensor = (depth > -width).to(self.middle)
        return outside.expand(*shape)


def _straight(touching: Tensor, mask: Tensor) -> tuple[Tensor, _Side | None]:
    """The voxels of `touching` on straight sides of the outline (*spatial), not skin, and the longest of those sides.

    A side is a line, in a volume a plane through its first axis, that has the whole outline on its other side.
    """
    kept, places = torch.zeros_like(touching), torch.nonzero(touching)
    if not len(places):
        return kept, None
    normals, _, near, lengths = sides_of(places[:, -2:], torch.nonzero(outline_edge(mask))[:, -2:], range(360))
    longest = int(lengths.argmax())
    if lengths[longest] < SIDE_VOXELS:
        return kept, None
    kept[tuple(places[near[:, lengths >= SIDE_VOXELS].any(1)].T)] = 1
    return kept, _Side(places[near[:, longest], -2:].float().mean(0), normals[:, longest])


def sides_of(places: Tensor, edge: Tensor, degrees: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lines that touch an outline from outside, one for each direction that it is looked at from.

    Parameters
    ----------
    places : (K, 2) voxels that may lie on a line. edge : (M, 2) voxels of the outline's edge.
    degrees : A directions, from the first axis towards the second.

    Returns
    -------
    (2, A) unit normals, (A,) how far the edge reaches along each, (K, A) which places lie within two voxels of each
    line, and (A,) how many voxels of the line those fill.
    """
    angles = torch.deg2rad(torch.tensor([float(angle) for angle in degrees], device=edge.device))
    normals = torch.stack([angles.cos(), angles.sin()])
    reach = (edge.float() @ normals).amax(0)
    near = (places.float() @ normals) > reach - _REACH
    across = (places.float() @ torch.stack([-normals[1], normals[0]])).round().long()
    widest = int(across.abs().max()) if len(places) else 0
    filled = torch.zeros(2 * widest + 1, len(degrees), dtype=torch.bool, device=edge.device)
    filled[across[near] + widest, torch.nonzero(near)[:, 1]] = True
    return normals, reach, near, filled.sum(0)


def outline_edge(mask: Tensor) -> Tensor:
    """1 where a voxel inside has one outside beside it, or the image's end."""
    outside = F.pad(1 - mask[None, None], [1, 1] * mask.dim(), value=1.0)
    pool = F.max_pool2d if mask.dim() == 2 else F.max_pool3d
    return mask * pool(outside, 3, stride=1)[0, 0]
