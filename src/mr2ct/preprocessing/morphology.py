"""Erosion, dilation, filling and depth of masks in millimetres, for anisotropic voxels and single slices alike.

Distances run between voxel centres. An axis one voxel thick takes no part: a slice is treated in its plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Spacing = tuple[float, float, float]

_ROUNDING = 1 + 1e-6
_FEW_OFFSETS = 40
"""Up to this many voxels in the ball, shifting the mask is faster than a distance map."""


def _squared_distance_mm2(mask: Bool, spacing_mm: Spacing) -> NDArray[np.float32]:
    """From each voxel centre to the nearest voxel centre of the mask; 0 or less inside."""
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(np.ascontiguousarray(mask, dtype=np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=True, useImageSpacing=True)
    return np.asarray(sitk.GetArrayFromImage(distance))


def depth_mm(mask: Bool, spacing_mm: Spacing) -> NDArray[np.float32]:
    """How far each voxel of the mask lies from the nearest voxel outside it, in mm; 0 outside.

    Beyond the image counts as outside. By a distance map (Maurer et al., IEEE TPAMI 25, 2003).

    Example
    -------
    >>> depth_mm(np.ones((3, 3, 1), dtype=bool), (2.0, 2.0, 5.0))[:, 1, 0].tolist()
    [2.0, 4.0, 2.0]
    """
    room = [(0, 0) if n == 1 else (1, 1) for n in mask.shape]
    outside = np.pad(~mask, room, constant_values=True)
    if not outside.any():
        return np.full(mask.shape, max(spacing_mm), dtype=np.float32)
    squared = np.maximum(_squared_distance_mm2(outside, spacing_mm), 0)
    inner = squared[tuple(slice(before, before + n) for (before, _), n in zip(room, mask.shape, strict=True))]
    return np.asarray(np.where(mask, np.sqrt(inner), 0), dtype=np.float32)


def distance_mm(mask: Bool, spacing_mm: Spacing) -> NDArray[np.float32]:
    """How far each voxel outside the mask lies from the nearest voxel of it, in mm; 0 inside, infinite of nothing.

    Example
    -------
    >>> distance_mm(np.array([[[True, False, False]]]), (1.0, 1.0, 2.0)).ravel().tolist()
    [0.0, 2.0, 4.0]
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, 0 if mask.any() else np.inf, dtype=np.float32)
    return np.sqrt(np.maximum(_squared_distance_mm2(mask, spacing_mm), 0))


def bounding_box(mask: Bool) -> tuple[slice, slice, slice]:
    """The smallest box around the mask, as slices; the mask must not be empty.

    Example
    -------
    >>> bounding_box(np.eye(3, dtype=bool)[:, :, None])
    (slice(0, 3, None), slice(0, 3, None), slice(0, 1, None))
    """
    box = []
    for axis in range(mask.ndim):
        along = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(along[0]), int(along[-1]) + 1))
    return (box[0], box[1], box[2])


def _near(mask: Bool, spacing_mm: Spacing, radius_mm: float) -> Bool:
    """Voxels whose centre is within `radius_mm` of the centre of a voxel in the mask."""
    offsets = _ball_offsets(mask.shape, spacing_mm, radius_mm)
    if mask.all():
        # a distance map of an image that is all object knows no outside
        return mask
    if len(offsets) <= _FEW_OFFSETS or not mask.any():
        return _near_by_shifts(mask, offsets)
    return np.asarray(_squared_distance_mm2(mask, spacing_mm) <= radius_mm**2 * _ROUNDING)


def _ball_offsets(shape: tuple[int, ...], spacing_mm: Spacing, radius_mm: float) -> NDArray[np.int64]:
    reach = [min(int(radius_mm / s + 1e-6), n - 1) for n, s in zip(shape, spacing_mm, strict=True)]
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(offsets[((offsets * spacing_mm) ** 2).sum(axis=1) <= radius_mm**2 * _ROUNDING])


def _near_by_shifts(mask: Bool, offsets: NDArray[np.int64]) -> Bool:
    near = mask.copy()
    for offset in offsets.tolist():
        to = tuple(slice(max(0, o), n + min(0, o)) for o, n in zip(offset, mask.shape, strict=True))
        of = tuple(slice(max(0, -o), n + min(0, -o)) for o, n in zip(offset, mask.shape, strict=True))
        near[to] |= mask[of]
    return near


def dilated(mask: Bool, spacing_mm: Spacing, radius_mm: float) -> Bool:
    """The mask (i, j, k) and all within `radius_mm` of it.

    Example
    -------
    >>> line = np.array([0, 0, 1, 0, 0], dtype=bool).reshape(5, 1, 1)
    >>> dilated(line, (2.0, 1.0, 1.0), 2.0).ravel().astype(int).tolist()
    [0, 1, 1, 1, 0]
    """
    return _near(mask, spacing_mm, radius_mm) if radius_mm > 0 else mask


def eroded(mask: Bool, spacing_mm: Spacing, radius_mm: float) -> Bool:
    """The part of the mask farther than `radius_mm` from all outside it; beyond the image nothing counts as outside."""
    return ~_near(~mask, spacing_mm, radius_mm) if radius_mm > 0 else mask


def opened(mask: Bool, spacing_mm: Spacing, radius_mm: float) -> Bool:
    """Erosion, then dilation: parts thinner than twice the radius disappear."""
    return dilated(eroded(mask, spacing_mm, radius_mm), spacing_mm, radius_mm) & mask


def closed(mask: Bool, spacing_mm: Spacing, radius_mm: float) -> Bool:
    """Dilation, then erosion, with room around the image: gaps narrower than twice the radius are bridged."""
    reach = [0 if n == 1 else int(radius_mm / s) + 2 for n, s in zip(mask.shape, spacing_mm, strict=True)]
    room = np.pad(mask, [(r, r) for r in reach])
    bridged = eroded(dilated(room, spacing_mm, radius_mm), spacing_mm, radius_mm)
    return bridged[tuple(slice(r, r + n) for r, n in zip(reach, mask.shape, strict=True))] | mask


def largest_component(mask: Bool) -> Bool:
    """The largest part whose voxels touch by their faces; the mask itself where it has one part or none."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def filled_slicewise(mask: Bool) -> Bool:
    """Fill, in each of the three planes in turn, what is closed off from the border of its slice.

    Planes that are one voxel wide have no inside and are passed over.

    Example
    -------
    >>> ring = np.ones((3, 3, 1), dtype=bool); ring[1, 1] = False
    >>> bool(filled_slicewise(ring).all())
    True
    """
    for axis in range(3):
        in_plane = tuple(other for other in range(3) if other != axis)
        if min(mask.shape[other] for other in in_plane) > 1:
            mask = _filled(mask, in_plane)
    return mask


def _filled(mask: Bool, in_plane: tuple[int, ...]) -> Bool:
    from scipy import ndimage

    neighbours: Any = np.zeros((3, 3, 3), dtype=bool)
    for axis in in_plane:
        np.moveaxis(neighbours, axis, 0)[:, 1, 1] = True
    labels, count = ndimage.label(~mask, structure=neighbours)
    outer = np.zeros(count + 1, dtype=bool)
    for axis in in_plane:
        outer[np.take(labels, 0, axis=axis)] = True
        outer[np.take(labels, -1, axis=axis)] = True
    outer[0] = False
    return np.asarray(~outer[labels])
