"""Tilted views of a head that is converted in one plane alone.

A slice that grazes the skull shows a broad dark patch, which may be bone or air. Tilted by some degrees about a line in
its plane, it cuts the same place less flatly. Where three planes are fused, two of them cut well wherever the third one
grazes; one plane alone has nothing else. What it gives: `benchmarks/tilted_views.py`.

Indices are turned, not millimetres: voxels have to be cubes. In voxels of 1 x 1 x 3 mm a turn of indices by 12 degrees
shears the body and tilts its slices by 33 degrees, as no patient lies.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference.planes import AIR
from mr2ct.inference.views import VIEWS, View

TILT_DEG = 12.0
SHALLOWEST_VOXELS, LONGEST_VOXELS = 96, 300
"""Of a slab thinner than this, a tilted slice shows strips; of a volume longer than that, corners would be lost."""
LONGEST_EDGE = 1.1
"""A voxel's longest edge by its shortest, up to which it passes for a cube: 12 degrees become 11 to 13."""

_MARGIN = math.ceil(LONGEST_VOXELS / 2 * math.sin(math.radians(TILT_DEG)))
_AXES = {"ij": (0, 1), "ik": (0, 2), "jk": (1, 2)}

Array = NDArray[Any]


def tilts_of(plane: str, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> tuple[str, ...]:
    """The keys of `TILTS` that tilt the slices of `plane`; none of a slab, of a long volume, or of thick slices.

    Parameters
    ----------
    shape, spacing_mm : (i, j, k), voxels and their edges in mm, of the volume that the network is shown.

    Example
    -------
    >>> tilts_of("axial", (170, 220, 200), (1.0, 1.0, 1.0))
    ('tilted ik+', 'tilted ik-', 'tilted jk+', 'tilted jk-')
    >>> tilts_of("axial", (170, 220, 200), (1.0, 1.0, 3.0))
    ()
    """
    axis = PLANE_AXIS[plane]
    if shape[axis] < SHALLOWEST_VOXELS or max(shape) > LONGEST_VOXELS:
        return ()
    if max(spacing_mm) > LONGEST_EDGE * min(spacing_mm):
        return ()
    return tuple(f"tilted {name}{sign}" for name, axes in _AXES.items() if axis in axes for sign in "+-")


def _tilted(voxels: Array, *, axes: tuple[int, int], degrees: float) -> Array:
    """Rotated round the middle in the plane of `axes`, on a grid so much larger that no corner is lost; 0 around."""
    wider = np.pad(voxels, [(_MARGIN if axis in axes else 0,) * 2 for axis in range(voxels.ndim)])
    return _rotated(wider, axes, degrees, beyond=0.0)


def _back_from_tilted(answer: Array, *, axes: tuple[int, int], degrees: float) -> Array:
    upright = _rotated(answer, axes, -degrees, beyond=AIR)
    return upright[tuple(slice(_MARGIN, -_MARGIN) if axis in axes else slice(None) for axis in range(answer.ndim))]


def _rotated(voxels: Array, axes: tuple[int, int], degrees: float, *, beyond: float) -> Array:
    from scipy import ndimage

    turned = ndimage.rotate(voxels.astype(np.float32), degrees, axes=axes, reshape=False, order=1, cval=beyond)
    return np.asarray(turned.astype(voxels.dtype))


TILTS: dict[str, View] = {
    f"tilted {name}{sign}": View(
        partial(_tilted, axes=axes, degrees=degrees), partial(_back_from_tilted, axes=axes, degrees=degrees)
    )
    for name, axes in _AXES.items()
    for sign, degrees in (("+", TILT_DEG), ("-", -TILT_DEG))
}
"""Tilted views by name; each plane has four."""

EVERY_VIEW = VIEWS | TILTS
