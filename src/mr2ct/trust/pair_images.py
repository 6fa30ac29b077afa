"""The two images of a pair as an audit looks at them: one isotropic grid, plain arrays, the body found in each.

A volume one voxel thick becomes a two-dimensional array at 1 mm, any other a three-dimensional one at 2 mm: misplaced
anatomy shows at that size, and a whole head is audited in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import PLANE_AXIS, Geometry, closest_axes, require_same_geometry, voxel_to_world
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.resampling import to_spacing
from mr2ct.trust.pair_hu import HuLevels, hu_levels
from mr2ct.volume import Volume

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

SLICE_MM, VOLUME_MM = 1.0, 2.0
THINNEST_VOLUME = 8
"""A volume of fewer slices is looked at in its middle slice."""


@dataclass(frozen=True)
class PairImages:
    """MR and CT on one isotropic grid, array axes in the order of the volume's.

    Parameters
    ----------
    mr, ct : (rows, columns) of a slice or (i, j, k) of a volume; arbitrary units and HU, float32, finite. A constant
        offset that `levels` tells is taken off the CT.
    mr_body, ct_body : the filled outline of the body in each; the CT's may be empty.
    spacing_mm : of a pixel or voxel, the same along every axis.
    plane : "axial", "coronal", "sagittal", or "volume".
    levels : where air and tissue lie in the CT as it was given.
    """

    mr: Floats
    ct: Floats
    mr_body: Bools
    ct_body: Bools
    spacing_mm: float
    plane: str
    levels: HuLevels


def pair_images(mr: Volume, ct: Volume) -> PairImages:
    """The pair as arrays; a volume of fewer than 8 slices is looked at in its middle slice.

    Parameters
    ----------
    mr, ct : MR and HU on one grid, of any orientation and thickness.

    Raises
    ------
    GeometryError : different grids. InputError : no body in the MR.

    Example
    -------
    >>> from mr2ct.volume import Quantity
    >>> grid = Geometry((40, 40, 1), np.eye(4)); disc = np.zeros((40, 40, 1)); disc[8:32, 8:32] = 100
    >>> pair = pair_images(Volume(disc, grid, Quantity.MR), Volume(disc * 10 - 1000, grid, Quantity.HU))
    >>> pair.plane, pair.mr.shape, bool((pair.mr_body == pair.ct_body).all())
    ('axial', (40, 40), True)
    """
    require_same_geometry(mr.geometry, ct.geometry, names="CT and MR")
    axis = flat_axis(mr.geometry.shape)
    seen_mr, seen_ct = _sampled(mr, axis), _sampled(ct, axis)
    mr_body = body_mask(seen_mr).voxels > 0
    levels = hu_levels(seen_ct.voxels, mr_body, spacing_mm=seen_ct.geometry.spacing_mm)
    seen_ct = seen_ct.with_voxels(seen_ct.voxels - np.float32(levels.offset_hu))
    whole = [seen_mr.voxels, seen_ct.voxels, mr_body, _body_or_none(seen_ct)]
    seen = whole if axis is None else [np.take(array, 0, axis) for array in whole]
    spacing_mm = VOLUME_MM if axis is None else SLICE_MM
    return PairImages(seen[0], seen[1], seen[2], seen[3], spacing_mm, _plane(mr.geometry, axis), levels)


def flat_axis(shape: tuple[int, int, int]) -> int | None:
    """The axis along which there is too little to see in three dimensions, or None.

    Example
    -------
    >>> flat_axis((200, 1, 180)), flat_axis((200, 220, 180))
    (1, None)
    """
    thinnest = int(np.argmin(shape))
    return thinnest if shape[thinnest] < THINNEST_VOLUME else None


def _sampled(volume: Volume, axis: int | None) -> Volume:
    voxels = volume.voxels.astype(np.float32, copy=False)
    known = np.isfinite(voxels)
    if not known.all():
        voxels = np.where(known, voxels, voxels[known].min(initial=0.0)).astype(np.float32)
    whole = volume.with_voxels(voxels)
    return to_spacing(whole, VOLUME_MM) if axis is None else to_spacing(_middle_slice(whole, axis), SLICE_MM)


def _middle_slice(volume: Volume, axis: int) -> Volume:
    shape, first = list(volume.geometry.shape), [0, 0, 0]
    first[axis], shape[axis] = shape[axis] // 2, 1
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] = voxel_to_world(affine, first)
    voxels = np.take(volume.voxels, [first[axis]], axis)
    return Volume(voxels, Geometry((shape[0], shape[1], shape[2]), affine), volume.quantity)


def _body_or_none(ct: Volume) -> Bools:
    try:
        return np.asarray(body_mask(ct).voxels > 0)
    except InputError:
        return np.zeros(ct.geometry.shape, dtype=bool)


def _plane(geometry: Geometry, axis: int | None) -> str:
    if axis is None:
        return "volume"
    anatomical = next(n for n, (voxel, _) in enumerate(closest_axes(geometry.affine)) if voxel == axis)
    return next(plane for plane, direction in PLANE_AXIS.items() if direction == anatomical)
