"""Tissue classes of a CT, found from the CT itself: thresholds in HU, and where a voxel lies.

HU alone cannot tell a sinus from the room or muscle from brain; what surrounds them can. No person drew anything here:
the labels are only to give `models.tissue_segmenter` something to learn that asks for anatomy.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor
from torch.nn import functional as F

from mr2ct.datasets.dilation import dilated
from mr2ct.errors import Mr2ctError
from mr2ct.hounsfield import AIR_BELOW_HU

_FAT_BELOW_HU, _SPONGY_ABOVE_HU, _CORTICAL_ABOVE_HU = -30.0, 180.0, 700.0
_SKIN_VOXELS, _CLOSING_VOXELS = 2, 5

IGNORED = 255
"""Of voxels that have no class: the rim of the skin, half air and half tissue."""


class TissueClass(IntEnum):
    """What the segmenter tells apart."""

    OUTSIDE = 0
    AIR_INSIDE = 1
    FAT = 2
    SOFT_TISSUE = 3
    WITHIN_BONE = 4
    SPONGY_BONE = 5
    CORTICAL_BONE = 6


def tissue_labels(ct_hu: Tensor, mask: Tensor) -> Tensor:
    """The class of each voxel of a whole slice or volume of about 1 mm; IGNORED at the skin's rim.

    Air counts as inside where the head, its openings closed, surrounds it. Soft tissue counts as within bone (brain,
    orbits) where bone lies in all directions along the axes but one, for a skull is open at the bottom and an orbit in
    front.

    Parameters
    ----------
    ct_hu, mask : (N, 1, *spatial), HU and 1 inside the body; what lies outside the mask (table, room) is OUTSIDE.

    Returns
    -------
    Tensor (N, *spatial), uint8.

    Example
    -------
    >>> tissue_labels(torch.full((1, 1, 16, 16), -1000.0), torch.ones(1, 1, 16, 16)).unique().tolist()
    [0]
    """
    if ct_hu.shape != mask.shape or ct_hu.dim() not in (4, 5) or ct_hu.shape[1] != 1:
        raise Mr2ctError("CT and mask do not fit", got=(tuple(ct_hu.shape), tuple(mask.shape)), expected="(N, 1, ...)")
    hu = torch.where(mask > 0, ct_hu.float(), -1000.0)
    tissue = hu >= AIR_BELOW_HU
    head = enclosed_by(tissue, gap=_CLOSING_VOXELS) | tissue
    bone = hu > _SPONGY_ABOVE_HU
    lean = tissue & (hu >= _FAT_BELOW_HU)
    labels = torch.full(hu.shape, int(TissueClass.OUTSIDE), dtype=torch.uint8, device=hu.device)
    chosen = [
        (TissueClass.AIR_INSIDE, head & ~tissue),
        (TissueClass.FAT, tissue & ~lean),
        (TissueClass.SOFT_TISSUE, lean),
        (TissueClass.WITHIN_BONE, lean & (directions_to(_closed(bone, _CLOSING_VOXELS)) >= 2 * (hu.dim() - 2) - 1)),
        (TissueClass.SPONGY_BONE, bone),
        (TissueClass.CORTICAL_BONE, hu > _CORTICAL_ABOVE_HU),
    ]
    for tissue_class, where in chosen:
        labels[where] = int(tissue_class)
    labels[dilated(~head, _SKIN_VOXELS) & head & (hu < 0)] = IGNORED
    return labels[:, 0]


def enclosed_by(wall: Tensor, *, gap: int) -> Tensor:
    """Where one cannot come from the image's edge without crossing `wall` (N, 1, *spatial) bool; the wall left out.

    Openings up to twice `gap` voxels wide are closed.

    Example
    -------
    >>> ring = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    >>> ring[..., 1:6, 1:6] = True
    >>> ring[..., 2:5, 2:5] = False
    >>> int(enclosed_by(ring, gap=0).sum())
    9
    """
    # without room around it, the image's edge would close the wall
    padded = F.pad(wall, [gap + 1] * (2 * (wall.dim() - 2)))
    free = ~_closed(padded, gap)
    reached = torch.zeros_like(free)
    for axis in range(2, free.dim()):
        reached.select(axis, 0).fill_(True)
        reached.select(axis, -1).fill_(True)
    reached &= free
    while True:
        further = reached
        for axis in range(2, free.dim()):
            further = _along_runs(further, free, axis)
        if torch.equal(further, reached):
            break
        reached = further
    inner = (slice(None), slice(None), *(slice(gap + 1, n - gap - 1) for n in padded.shape[2:]))
    return (~reached & ~padded)[inner]


def _along_runs(reached: Tensor, free: Tensor, axis: int) -> Tensor:
    """Everything in an unbroken run of `free` voxels along `axis` that holds a voxel of `reached`."""
    run = (~free).long().cumsum(axis)
    found = torch.zeros_like(run).scatter_reduce(axis, run, reached.long(), "amax")
    return (found.gather(axis, run) > 0) & free


def directions_to(wall: Tensor) -> Tensor:
    """In how many of the directions along the axes, 4 or 6, one meets `wall` (N, 1, *spatial); all in the wall.

    Example
    -------
    >>> directions_to(torch.tensor([[[[False, True, False, True]]]])).tolist()
    [[[[1, 4, 2, 4]]]]
    """
    solid = wall.to(torch.uint8)
    ahead = [solid.flip(axis).cummax(axis).values.flip(axis) for axis in range(2, wall.dim())]
    behind = [solid.cummax(axis).values for axis in range(2, wall.dim())]
    return torch.stack(ahead + behind).sum(0)


def _closed(where: Tensor, gap: int) -> Tensor:
    """With openings up to twice `gap` voxels wide filled."""
    if gap == 0:
        return where
    room = F.pad(where, [gap] * (2 * (where.dim() - 2)))
    filled = ~dilated(~dilated(room, gap), gap)
    return filled[(slice(None), slice(None), *(slice(gap, n - gap) for n in filled.shape[2:]))] | where


def gaussian_blur(images: Tensor, sigma_voxels: float) -> Tensor:
    """(N, 1, *spatial) convolved with a Gaussian along every axis, 0 beyond the edge; unchanged at sigma 0.

    Example
    -------
    >>> float(gaussian_blur(torch.ones(1, 1, 41, 41), 2.0)[0, 0, 20, 20])
    1.0
    """
    if sigma_voxels <= 0:
        return images
    reach = int(3 * sigma_voxels + 1)
    place = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (place / sigma_voxels) ** 2)
    kernel = kernel / kernel.sum()
    convolve = F.conv2d if images.dim() == 4 else F.conv3d
    for axis in range(2, images.dim()):
        shape = [-1 if other == axis else 1 for other in range(images.dim())]
        padding = [reach if other == axis else 0 for other in range(2, images.dim())]
        images = convolve(images, kernel.reshape(shape), padding=padding)
    return images
