"""A CT slice moved onto the sCT of its own MR: what registration of the pair left, taken out of a training label.

The idea is RegGAN's (Kong 2021, arXiv:2110.06465), that a label which lies half a voxel from its image is noise; here
the move is found once, from the sCT of networks that are already good, and training itself stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor
from torch.nn import functional as F

from mr2ct.hounsfield import AIR_HU

_BRIGHTEST_HU = 1200
_BLUR_VOXELS = 1.0
"""Both images are blurred by this many voxels first, or a CT would seem nearer wherever interpolation smooths it."""
_AFFINE_STEPS, _BENDING_STEPS, _RATE = 60, 80, 0.05
_HOLD = 0.1
"""How much the length of the bending field counts beside its curvature."""


@dataclass(frozen=True)
class Realignment:
    """Finds the affine and then stiff free-form move of a CT slice that brings it nearest to an sCT.

    Parameters
    ----------
    stiffness : of the field, against the difference inside the mask in thousands of HU. spacing_voxels : between its
        control points.

    Example
    -------
    >>> sct = np.full((64, 64), -1000.0)
    >>> sct[20:44, 18:50] = 40.0
    >>> moved = Realignment()(np.roll(sct, 1, 0), sct, np.ones(sct.shape, bool))
    >>> bool(np.abs(moved - sct).mean() < 0.25 * np.abs(np.roll(sct, 1, 0) - sct).mean())
    True
    """

    stiffness: float = 0.02
    spacing_voxels: float = 32

    def __call__(self, ct: NDArray[Any], sct: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float64]:
        """(n, m) HU of both and where they are compared, nonzero: the CT on the sCT, in the range of its own values."""
        places = self.places(ct, sct, mask)
        moved: NDArray[np.float64] = map_coordinates(np.asarray(ct, float), places, order=3, mode="nearest")
        return moved.clip(ct.min(), ct.max())

    def places(self, ct: NDArray[Any], sct: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float64]:
        """(2, n, m): the row and column of the CT that belongs to each voxel of the sCT."""
        fixed, moving = _blurred(sct), _blurred(ct)
        counted = torch.as_tensor(np.asarray(mask) > 0, dtype=torch.float32)[None, None]
        points = [max(3, round(n / self.spacing_voxels)) for n in ct.shape]
        affine = torch.zeros(2, 3, requires_grad=True)
        field = torch.zeros(1, 2, *points, requires_grad=True)
        with torch.enable_grad():
            for free, steps in (([affine], _AFFINE_STEPS), ([affine, field], _BENDING_STEPS)):
                optimiser = torch.optim.Adam(free, lr=_RATE)
                for _ in range(steps):
                    apart = (_sampled(moving, _moved(affine, field, moving.shape[2:])) - fixed).abs()
                    loss = (apart * counted).sum() / counted.sum() + self.stiffness * _bending(field)
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
        middle = torch.tensor([(n - 1) / 2 for n in ct.shape])[:, None, None]
        return (_moved(affine, field, moving.shape[2:]) + middle).detach().double().numpy()


def _blurred(hu: NDArray[Any]) -> Tensor:
    """(1, 1, n, m), 0 in air and 1 at 0 HU."""
    scaled = (np.clip(np.asarray(hu, np.float32), AIR_HU, _BRIGHTEST_HU) - AIR_HU) / 1000
    return torch.from_numpy(gaussian_filter(scaled, _BLUR_VOXELS, mode="nearest"))[None, None]


def _moved(affine: Tensor, field: Tensor, shape: torch.Size) -> Tensor:
    """(2, n, m): rows and columns from the middle, in voxels, moved by an affine change and by a field."""
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    here = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    half = max(shape) / 2
    along = torch.einsum("dp,pnm->dnm", affine[:, 1:], here / half)
    bent = F.interpolate(field, list(shape), mode="bicubic", align_corners=True)[0]
    return here + affine[:, :1, None] + along + bent


def _sampled(image: Tensor, places: Tensor) -> Tensor:
    rows, columns = (2 * part / n for part, n in zip(places, image.shape[2:], strict=True))
    grid = torch.stack([columns, rows], -1)[None]
    return F.grid_sample(image, grid, align_corners=False, padding_mode="border")


def _bending(field: Tensor) -> Tensor:
    """Mean square of the field's second differences along both axes, and a little of the field itself."""
    curved = [(field.diff(n=2, dim=axis) ** 2).mean() for axis in (2, 3)]
    return curved[0] + curved[1] + _HOLD * (field**2).mean()
