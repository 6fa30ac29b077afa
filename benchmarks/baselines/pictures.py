"""Slices as such code sees them: 256 x 256 pictures, 8 bits deep or not, and the way back to HU on the slice's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

LOWEST_HU, HIGHEST_HU = -1024.0, 3071.0
SIDE = 256


@dataclass(frozen=True)
class Pair:
    """An MR slice (rows, columns; any unit) and its CT (HU), and whose they are."""

    patient: str
    mr: np.ndarray
    ct_hu: np.ndarray


def slices_of(voxels: np.ndarray, affine: np.ndarray) -> list[np.ndarray]:
    """A volume one voxel thick is a slice; any other is cut along the axis that runs most from foot to head."""
    return list(np.moveaxis(voxels, slice_axis(voxels.shape, affine), 0))


def slice_axis(shape: tuple[int, ...], affine: np.ndarray) -> int:
    return shape.index(1) if 1 in shape else int(np.argmax(np.abs(affine[2, :3])))


def mr_picture(mr: np.ndarray, *, bits: int | None) -> torch.Tensor:
    """(1, 256, 256) in -1..1: the whole range of the slice, in 2**bits grey levels where bits are given."""
    mr = np.asarray(mr, dtype=np.float32)
    return _framed(quantised((mr - mr.min()) / max(float(np.ptp(mr)), 1e-6), bits), outside=0.0)


def ct_picture(ct_hu: np.ndarray, *, bits: int | None) -> torch.Tensor:
    """(1, 256, 256) in -1..1: -1024 to 3071 HU, in 2**bits grey levels (16 HU each with 8) where bits are given."""
    share = (np.clip(np.asarray(ct_hu, dtype=np.float32), LOWEST_HU, HIGHEST_HU) - LOWEST_HU) / (HIGHEST_HU - LOWEST_HU)
    return _framed(quantised(share, bits), outside=0.0)


def quantised(share: np.ndarray, bits: int | None) -> np.ndarray:
    """Numbers in 0..1 as a picture of that depth would keep them."""
    if bits is None:
        return share
    levels = 2**bits - 1
    return (np.round(share * levels) / levels).astype(np.float32)


def hu_of(picture: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """The answer (1, 256, 256) in -1..1 as HU on the slice's own grid; not rounded to grey levels again."""
    side = max(SIDE, *shape)
    if side > SIDE:
        picture = F.interpolate(picture[None], (side, side), mode="bilinear", align_corners=False)[0]
    top, left = ((side - n) // 2 for n in shape)
    share = (picture[0, top : top + shape[0], left : left + shape[1]].clamp(-1, 1).numpy() + 1) / 2
    return share * (HIGHEST_HU - LOWEST_HU) + LOWEST_HU


def _framed(share: np.ndarray, *, outside: float) -> torch.Tensor:
    """In the middle of a square of 256, or of its longer side and then resized to 256."""
    side = max(SIDE, *share.shape)
    square = np.full((side, side), outside, dtype=np.float32)
    top, left = ((side - n) // 2 for n in share.shape)
    square[top : top + share.shape[0], left : left + share.shape[1]] = share
    picture = torch.from_numpy(2 * square - 1)[None]
    if side > SIDE:
        picture = F.interpolate(picture[None], (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)[0]
    return picture
