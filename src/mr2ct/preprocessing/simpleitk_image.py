"""Volumes to SimpleITK images and back, in one place, because the two count axes and millimetres differently.

A SimpleITK image made here keeps RAS+ millimetres as its physical space (never written to a file, so nobody mistakes
them for LPS), and its axes are (k, j, i): the memory of a C-ordered (i, j, k) array as it is, without a
transposition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.geometry import Geometry
from mr2ct.volume import Volume

_NO_COSINE = 1e-14


def to_simpleitk(volume: Volume) -> Any:
    """The `SimpleITK.Image` of a volume: same voxel type, physical space RAS+ mm, axes (k, j, i).

    Example
    -------
    >>> from mr2ct.volume import Quantity
    >>> to_simpleitk(Volume(np.zeros((2, 3, 4)), Geometry((2, 3, 4), np.eye(4)), Quantity.MR)).GetSize()
    (4, 3, 2)
    """
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels))
    place = placement(volume.geometry)
    image.SetSpacing(place.spacing)
    image.SetDirection(place.direction)
    image.SetOrigin(place.origin)
    return image


@dataclass(frozen=True)
class Placement:
    """A grid in the words of SimpleITK, axes (k, j, i)."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    origin: tuple[float, ...]


def placement(geometry: Geometry) -> Placement:
    """Size, spacing, direction (row by row) and origin of a grid for SimpleITK, in RAS+ mm.

    Example
    -------
    >>> placement(Geometry((2, 3, 4), np.diag([1.0, 1.0, 3.0, 1.0]))).spacing
    (3.0, 1.0, 1.0)
    """
    # cosines of 1e-300 make ITK's singular value decomposition fail, and it goes on with a wrong matrix
    cosines = np.where(np.abs(geometry.directions) < _NO_COSINE, 0.0, geometry.directions)
    return Placement(
        size=geometry.shape[::-1],
        spacing=geometry.spacing_mm[::-1],
        direction=tuple(cosines[:, ::-1].ravel().tolist()),
        origin=tuple(geometry.affine[:3, 3].tolist()),
    )


def voxels_of(image: Any) -> NDArray[Any]:
    """The voxels (i, j, k) of an image made by `to_simpleitk` or a filter on one; a copy that outlives the image."""
    import SimpleITK as sitk  # noqa: N813

    return np.asarray(sitk.GetArrayFromImage(image))
