"""Small pictures of a slice: one laid over the head's outline to compare anatomy, one square to judge its pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.trust.slice_view import SliceView

ALIGNED = 16
"""Pixels along each side of the picture laid over the outline."""

SQUARE = 20
"""Pixels along each side of the square picture."""

SQUARE_CHANNELS = 3

_HEAD_WIDTH_WITHIN_MM = 100.0
_HEAD_HEIGHT_MM = 160.0
_ROOM = 1.05

Float = NDArray[np.float32]


def aligned_picture(view: SliceView) -> Float:
    """(16 * 16,) the slice between the sides of the head; below the vertex, as far as every training slice reaches.

    So the same anatomy lies at the same pixel, whatever the size of the head or the length of the neck.

    Example
    -------
    >>> view = SliceView("axial", np.ones((40, 50), np.float32), np.ones((40, 50), bool), (1.0, 1.0))
    >>> aligned_picture(view).shape, float(aligned_picture(view)[100])
    ((256,), 1.0)
    """
    outline = view.outline
    low, high = _extent(outline.any(axis=0))
    if view.plane != "axial":
        low = high - _HEAD_HEIGHT_MM / view.spacing_mm[1]
        within = max(0, round(high - _HEAD_WIDTH_WITHIN_MM / view.spacing_mm[1]))
        outline = outline[:, within:] if outline[:, within:].any() else outline
    left, right = _extent(outline.any(axis=1))
    return _sampled(view.mr, (left, right), (low, high), size=ALIGNED).ravel()


def square_picture(view: SliceView) -> Float:
    """(3, 20, 20) around the whole outline, equally scaled along both axes: brightness, outline and edges.

    Turned or mirrored, it is the picture of the slice turned or mirrored.

    Example
    -------
    >>> square_picture(SliceView("axial", np.ones((40, 50), np.float32), np.ones((40, 50), bool), (1.0, 1.0))).shape
    (3, 20, 20)
    """
    from scipy import ndimage

    centres, sides_mm = [], []
    for axis, spacing in enumerate(view.spacing_mm):
        low, high = _extent(view.outline.any(axis=1 - axis))
        centres.append((low + high) / 2)
        sides_mm.append((high - low + 1) * spacing)
    reach = [_ROOM * max(sides_mm) / 2 / spacing for spacing in view.spacing_mm]
    rows, columns = ((c - r, c + r) for c, r in zip(centres, reach, strict=True))
    bright = np.clip(view.mr, 0, 1.5)
    edges = np.hypot(
        *(ndimage.gaussian_filter1d(bright, 1 / d, axis=a, order=1) for a, d in enumerate(view.spacing_mm))
    )
    channels = (bright, view.outline.astype(np.float32), 4 * edges.astype(np.float32))
    return np.stack([_sampled(channel, rows, columns, size=SQUARE) for channel in channels])


def _extent(occupied: ArrayLike) -> tuple[float, float]:
    along = np.flatnonzero(occupied)
    return (float(along[0]), float(along[-1])) if len(along) else (0.0, float(np.size(occupied) - 1))


def _sampled(image: Float, rows: tuple[float, float], columns: tuple[float, float], *, size: int) -> Float:
    """(size, size) means around evenly spaced places between the given ends; 0 beyond the image."""
    from scipy import ndimage

    steps = [max((high - low) / size, 1e-3) for low, high in (rows, columns)]
    smooth = ndimage.gaussian_filter(
        image.astype(np.float32, copy=False), [0.45 * step for step in steps], mode="nearest"
    )
    places = [low + step * (np.arange(size) + 0.5) for (low, _), step in zip((rows, columns), steps, strict=True)]
    grid = np.meshgrid(*places, indexing="ij")
    return np.asarray(ndimage.map_coordinates(smooth, grid, order=1, mode="grid-constant", cval=0.0), dtype=np.float32)
