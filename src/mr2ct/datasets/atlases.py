"""CT slices of other patients, bent onto an sCT: what lies there in heads of this shape, as real CT show it.

Atlas-based synthesis (Dowling 2012, doi:10.1016/j.ijrobp.2011.11.056) with the sCT as what is registered to. A stiff
deformation cannot follow an error of the sCT that no head is like, so the mean of several atlases corrects it. In that
mean each atlas counts where it is like the sCT (Artaechevarria 2009, IEEE Transactions on Medical Imaging 28: 1266).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from mr2ct.hounsfield import AIR_HU

_LEVELS = ((4, 16), (4, 32), (2, 64))
"""Voxels that are averaged, and control points along each axis, from coarse to fine."""
_AFFINE_STEPS, _BENDING_STEPS = 60, 40
_AFFINE_RATE, _BENDING_RATE = 0.015, 0.006
_ALIKE_HU, _ALIKE_VOXELS = 100.0, 2.0
"""Atlases this much further from the image count 1/e; how far around a voxel they are compared."""


@dataclass(frozen=True)
class AtlasFit:
    """Registers atlases to an image: affine for all, then free-form for those that came nearest.

    Parameters
    ----------
    kept : how many atlases are bent. stiffness : of the deformation; 0.01 follows each edge, 1.5 hardly bends.

    Example
    -------
    >>> square = torch.full((1, 1, 64, 64), -1000.0)
    >>> square[..., 20:40, 20:40] = 40.0
    >>> moved = square.roll((3, -2), (2, 3))
    >>> fitted = AtlasFit(kept=1)(square, moved)
    >>> bool((fitted - square).abs().mean() < 0.5 * (moved - square).abs().mean())
    True
    """

    kept: int = 30
    stiffness: float = 0.4

    def __call__(self, image: Tensor, atlases: Tensor) -> Tensor:
        """(1, 1, H, W) HU and (K, 1, H, W) HU to (`kept` or K, 1, H, W) HU on the image; H and W divisible by 4."""
        with torch.enable_grad():
            fixed, moving = _scaled(image), _scaled(atlases)
            affine = _fit_affine(fixed, moving)
            nearest = _apart(_moved(moving, affine, None, 2), _shrunk(fixed, 2)).argsort()[: self.kept]
            affine = affine[nearest]
            field = self._bend(fixed, moving[nearest], affine)
        return _moved(atlases[nearest], affine, field, 1).detach()

    def _bend(self, fixed: Tensor, moving: Tensor, affine: Tensor) -> Tensor:
        field = fixed.new_zeros(len(moving), 2, *2 * [_LEVELS[0][1]])
        for shrink, points in _LEVELS:
            field = _resized(field, [points, points]).detach().requires_grad_(True)
            optimiser = torch.optim.Adam([field], lr=_BENDING_RATE)
            target = _shrunk(fixed, shrink)
            for _ in range(_BENDING_STEPS):
                apart = _apart(_moved(moving, affine, field, shrink), target)
                _step(optimiser, apart + self.stiffness * _bending(field))
        return field.detach()


def fused(image: Tensor, atlases: Tensor) -> Tensor:
    """(1, 1, H, W) HU: the mean of bent atlases, (K, 1, H, W) HU, each counted by how like the image it is nearby.

    Example
    -------
    >>> image = torch.full((1, 1, 8, 8), 40.0)
    >>> atlases = torch.cat([image, image + 1000])
    >>> bool((fused(image, atlases) - image).abs().max() < 1)
    True
    """
    apart = 1000 * (_scaled(atlases) - _scaled(image)).abs()
    nearby = torch.from_numpy(gaussian_filter(np.asarray(apart), (0, 0, _ALIKE_VOXELS, _ALIKE_VOXELS)))
    return ((-nearby / _ALIKE_HU).softmax(0) * atlases).sum(0, keepdim=True)


def _fit_affine(fixed: Tensor, moving: Tensor) -> Tensor:
    identity = torch.eye(2, 3).expand(len(moving), 2, 3)
    change = torch.zeros_like(identity).requires_grad_(True)
    optimiser = torch.optim.Adam([change], lr=_AFFINE_RATE)
    target = _shrunk(fixed, 4)
    for _ in range(_AFFINE_STEPS):
        _step(optimiser, _apart(_moved(moving, identity + change, None, 4), target))
    return (identity + change).detach()


def _step(optimiser: torch.optim.Optimizer, losses: Tensor) -> None:
    optimiser.zero_grad()
    losses.sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _scaled(hu: Tensor) -> Tensor:
    return (hu.clamp(AIR_HU, 1200) - AIR_HU) / 1000


def _shrunk(image: Tensor, by: int) -> Tensor:
    return F.avg_pool2d(image, by) if by > 1 else image


def _resized(field: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(field, size, mode="bicubic", align_corners=False)


def _moved(image: Tensor, affine: Tensor, field: Tensor | None, shrink: int) -> Tensor:
    """The image at places that the affine map and the field, in half-widths of the image, lead to."""
    small = _shrunk(image, shrink)
    grid = F.affine_grid(affine, list(small.shape), align_corners=False)
    if field is not None:
        grid = grid + _resized(field, list(small.shape[2:])).permute(0, 2, 3, 1)
    return F.grid_sample(small, grid, align_corners=False, padding_mode="border")


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference of each image in HU, in bone and in air, softly told apart."""
    return (_shown(one) - _shown(other)).abs().mean((1, 2, 3))


def _shown(scaled: Tensor) -> Tensor:
    bone, air = torch.sigmoid((scaled - 1.25) / 0.05), torch.sigmoid((0.6 - scaled) / 0.1)
    return torch.cat([scaled, bone, air], 1)


def _bending(field: Tensor) -> Tensor:
    """Mean square of the field's slope, for each image."""
    slope = field.shape[2] / 2
    along = [field.diff(dim=axis) * slope for axis in (2, 3)]
    return sum((part**2).mean((1, 2, 3)) for part in along)  # type: ignore[return-value]
