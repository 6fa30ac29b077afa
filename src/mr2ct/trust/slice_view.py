"""The slices of an input that are compared with training: one of each plane through the middle of the head.

Training knows each patient by the middle slices of three planes. A whole volume is therefore looked at through the
same three windows: coronal and sagittal in the middle of the head, as far down from the vertex as training slices
reach, and axial as far below the vertex as theirs lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.geometry import PLANE_AXIS
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.pipeline import Prepared
from mr2ct.volume import Volume

OFFSETS_MM = (-6.0, 0.0, 6.0)
"""A whole volume shows several neighbouring slices of each plane, so that no single one decides."""

_NARROWEST = 32
_BELOW_MM = 10.0
"""Training slices end below the head in black; a whole volume goes on with neck."""

_VERTEX_SHARE = 0.02


@dataclass(frozen=True)
class SliceView:
    """One slice on its way to the features.

    Parameters
    ----------
    plane : "axial", "coronal" or "sagittal".
    mr : (rows, columns) float32, network units; the axes of the plane in canonical order, so columns lead to anterior
        in an axial slice and to superior in the others.
    outline : (rows, columns) bool, the body as `body_mask` finds it.
    spacing_mm : of rows and columns.
    """

    plane: str
    mr: NDArray[np.float32]
    outline: NDArray[np.bool_]
    spacing_mm: tuple[float, float]


def single_plane(shape: Sequence[int]) -> str | None:
    """The plane of a canonical volume that is one voxel thick, or None for a whole volume.

    Example
    -------
    >>> single_plane((200, 240, 1)), single_plane((200, 240, 30))
    ('axial', None)
    """
    thin = [plane for plane, axis in PLANE_AXIS.items() if shape[axis] == 1]
    return thin[-1] if thin else None


def slice_views(
    prepared: Prepared, *, axial_depth_mm: float, height_mm: float, mask_was_given: bool = False
) -> dict[str, tuple[SliceView, ...]]:
    """By plane, the slices of a prepared case that are compared with training.

    Parameters
    ----------
    prepared : canonical axes. axial_depth_mm : of training's axial slices below the vertex.
    height_mm : from the vertex to the lower end of the body in training slices.
    mask_was_given : then the outline is found anew, as it was in training.

    A single slice has one view. Of a whole volume, planes whose slices are strips are left out.

    Example
    -------
    >>> slice_views(prepared, axial_depth_mm=95, height_mm=180)  # doctest: +SKIP
    {'sagittal': (SliceView(...), ...), 'coronal': ..., 'axial': ...}
    """
    plane = single_plane(prepared.mr.geometry.shape)
    if plane is not None:
        return {plane: (_view(prepared, plane, 0, slice(None), mask_was_given),)}
    centres, window = _head_window(prepared, axial_depth_mm, height_mm)
    views = {}
    for name, axis in PLANE_AXIS.items():
        sides = [n for other, n in enumerate(prepared.mr.geometry.shape) if other != axis]
        if min(sides) < _NARROWEST:
            continue
        below = slice(None) if name == "axial" else window
        step_mm = prepared.mr.geometry.spacing_mm[axis]
        indices = {round(centres[axis] + offset / step_mm) for offset in OFFSETS_MM}
        last = prepared.mr.geometry.shape[axis] - 1
        inside = sorted({min(max(index, 0), last) for index in indices})
        below_mm = 0.0 if name == "axial" else _BELOW_MM
        views[name] = tuple(
            _with_room_below(_view(prepared, name, index, below, mask_was_given), below_mm) for index in inside
        )
    return views


def _head_window(prepared: Prepared, axial_depth_mm: float, height_mm: float) -> tuple[list[int], slice]:
    """The index of the middle slice along each axis, and the range along the last axis that training slices show."""
    mask = prepared.mask.voxels > 0
    step_mm = prepared.mr.geometry.spacing_mm[2]
    areas = mask.sum(axis=(0, 1))
    low, high = _extent(areas > _VERTEX_SHARE * areas.max())
    bottom = max(low, high - round(height_mm / step_mm))
    head = mask[:, :, max(bottom, high - round(1.5 * axial_depth_mm / step_mm)) : high + 1]
    sides = [_extent(head.any(axis=axes)) for axes in ((1, 2), (0, 2))]
    axial = max(low, high - round(axial_depth_mm / step_mm))
    return [*((first + last) // 2 for first, last in sides), axial], slice(bottom, None)


def _extent(occupied: ArrayLike) -> tuple[int, int]:
    along = np.flatnonzero(occupied)
    return (int(along[0]), int(along[-1])) if len(along) else (0, int(np.size(occupied)) - 1)


def _view(prepared: Prepared, plane: str, index: int, below: slice, anew: bool) -> SliceView:
    axis = PLANE_AXIS[plane]
    in_plane = [other for other in range(3) if other != axis]
    spacing = prepared.mr.geometry.spacing_mm
    mr = np.asarray(np.take(prepared.mr.voxels, index, axis=axis)[:, below], dtype=np.float32)
    outline = np.take(prepared.mask.voxels, index, axis=axis)[:, below] > 0
    view = SliceView(plane, mr, outline, (spacing[in_plane[0]], spacing[in_plane[1]]))
    return _with_own_outline(view, prepared.mr) if anew else view


def _with_room_below(view: SliceView, room_mm: float) -> SliceView:
    room = ((0, 0), (round(room_mm / view.spacing_mm[1]), 0))
    return SliceView(view.plane, np.pad(view.mr, room), np.pad(view.outline, room), view.spacing_mm)


def _with_own_outline(view: SliceView, whole: Volume) -> SliceView:
    from mr2ct.geometry import Geometry

    grid = Geometry((*view.mr.shape, 1), np.diag([*view.spacing_mm, max(whole.geometry.spacing_mm), 1.0]))
    found = body_mask(Volume(view.mr[:, :, None], grid, whole.quantity))
    return SliceView(view.plane, view.mr, found.voxels[:, :, 0] > 0, view.spacing_mm)
