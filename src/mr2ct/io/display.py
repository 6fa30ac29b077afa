"""How a volume is held when it is looked at: stacks of pictures, head up or nose up, in the radiological convention.

Only flips and permutations of axes, never a resampling: an oblique volume is shown in the plane its axes are closest
to.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.geometry import Geometry, closest_axes


class Plane(StrEnum):
    """The three planes of anatomy."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


# where slices, rows (downwards) and columns (rightwards) lead: (0 right, 1 anterior, 2 superior) and the sign along it
_LEADS: dict[Plane, tuple[tuple[int, int], ...]] = {
    Plane.AXIAL: ((2, 1), (1, -1), (0, -1)),
    Plane.CORONAL: ((1, 1), (2, -1), (0, -1)),
    Plane.SAGITTAL: ((0, 1), (2, -1), (1, -1)),
}
EDGE_LETTERS = {Plane.AXIAL: ("R", "L"), Plane.CORONAL: ("R", "L"), Plane.SAGITTAL: ("A", "P")}
"""What lies at the left and at the right edge of a picture."""


def _order_and_flips(affine: ArrayLike, plane: Plane) -> tuple[list[int], tuple[int, ...]]:
    """The voxel axes that become (slices, rows, columns), and which of those three are to be turned round."""
    axes = closest_axes(affine)
    order = [axes[anatomical][0] for anatomical, _ in _LEADS[plane]]
    flips = tuple(n for n, (anatomical, sign) in enumerate(_LEADS[plane]) if axes[anatomical][1] != sign)
    return order, flips


def as_pictures(voxels: NDArray[Any], affine: ArrayLike, plane: Plane) -> NDArray[Any]:
    """A view (slices, rows, columns) of voxels (i, j, k).

    Axial slices run from the feet up and have the front at the top; coronal ones run from back to front, sagittal ones
    from left to right, the top of the head at the top. The patient's right is at the left edge; in sagittal pictures
    the front is.

    Example
    -------
    >>> as_pictures(np.zeros((4, 5, 6)), np.eye(4), Plane.CORONAL).shape
    (5, 6, 4)
    """
    order, flips = _order_and_flips(affine, plane)
    return np.asarray(np.flip(voxels.transpose(order), flips))


def from_pictures(pictures: NDArray[Any], affine: ArrayLike, plane: Plane) -> NDArray[Any]:
    """The inverse of `as_pictures`: a view (i, j, k) of (slices, rows, columns), for the same affine and plane."""
    order, flips = _order_and_flips(affine, plane)
    return np.asarray(np.flip(pictures, flips)).transpose([order.index(axis) for axis in range(3)])


def picture_through(geometry: Geometry, plane: Plane, voxel: Sequence[int]) -> int:
    """Which picture of `as_pictures` shows a voxel (i, j, k).

    Example
    -------
    >>> picture_through(Geometry((4, 5, 6), np.diag([1.0, 1.0, -1.0, 1.0])), Plane.AXIAL, (0, 0, 1))
    4
    """
    order, flips = _order_and_flips(geometry.affine, plane)
    index = int(voxel[order[0]])
    return geometry.shape[order[0]] - 1 - index if 0 in flips else index


def picture_spacing_mm(geometry: Geometry, plane: Plane) -> tuple[float, float, float]:
    """Distance in mm from slice to slice, row to row, column to column."""
    slices, rows, columns = _order_and_flips(geometry.affine, plane)[0]
    spacing = geometry.spacing_mm
    return spacing[slices], spacing[rows], spacing[columns]


def with_picture_spacing_mm(geometry: Geometry, plane: Plane, spacing_mm: tuple[float, float, float]) -> Geometry:
    """The same axes and first voxel with another distance from column to column, row to row, slice to slice of `plane`.

    Example
    -------
    >>> with_picture_spacing_mm(Geometry((4, 1, 6), np.eye(4)), Plane.CORONAL, (0.5, 2.0, 3.0)).spacing_mm
    (0.5, 3.0, 2.0)
    """
    slices, rows, columns = _order_and_flips(geometry.affine, plane)[0]
    spacing = np.empty(3)
    spacing[[columns, rows, slices]] = spacing_mm
    affine = np.array(geometry.affine)
    affine[:3, :3] = geometry.directions * spacing
    return Geometry(geometry.shape, affine, geometry.frame_of_reference_uid)


def single_plane(geometry: Geometry) -> Plane | None:
    """The plane of a volume one voxel thick, or None for a thicker one.

    Example
    -------
    >>> single_plane(Geometry((9, 1, 9), np.eye(4)))
    <Plane.CORONAL: 'coronal'>
    """
    thin = geometry.single_slice_axis
    if thin is None:
        return None
    return next(plane for plane in Plane if _order_and_flips(geometry.affine, plane)[0][0] == thin)
