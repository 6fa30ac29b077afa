"""The surfaces of masks and how far apart they are, in mm, for anisotropic voxels and single slices alike.

The surface of a mask is made of those of its voxels that have a face neighbour outside it; beyond the image counts as
outside. An axis one voxel thick takes no part: the surface of a slice is its contour. Distances run between voxel
centres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]
Spacing = tuple[float, float, float]


def surface(mask: Bool) -> Bool:
    """The voxels (i, j, k) of the mask that have a face neighbour outside it.

    Example
    -------
    >>> surface(np.ones((3, 3, 1), dtype=bool))[:, :, 0].astype(int).tolist()
    [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    """
    deep = mask.copy()
    for axis in range(mask.ndim):
        if mask.shape[axis] == 1:
            continue
        inner, of = np.moveaxis(deep, axis, 0), np.moveaxis(mask, axis, 0)
        inner[1:] &= of[:-1]
        inner[:-1] &= of[1:]
        inner[[0, -1]] = False
    return mask & ~deep


def surface_points_mm(mask: Bool, spacing_mm: Spacing) -> Float64:
    """(n, 3): where the surface's voxel centres lie, voxel (0, 0, 0) at the origin, along the voxel axes.

    Example
    -------
    >>> surface_points_mm(np.ones((1, 1, 2), dtype=bool), (1.0, 1.0, 2.5)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]]
    """
    return np.asarray(np.argwhere(surface(mask)) * np.asarray(spacing_mm), dtype=np.float64)


def surface_distances_mm(points_mm: Float64, other_points_mm: Float64) -> Float64:
    """(n,): from each of `points_mm` (n, 3) to the nearest of `other_points_mm` (m, 3, m at least 1).

    Example
    -------
    >>> surface_distances_mm(np.array([[0.0, 3.0, 0.0]]), np.array([[0.0, 0.0, 0.0], [4.0, 3.0, 0.0]])).tolist()
    [3.0]
    """
    from scipy.spatial import KDTree

    return np.asarray(KDTree(other_points_mm, leafsize=32).query(points_mm)[0], dtype=np.float64)


def signed_distance_mm(mask: Bool, spacing_mm: Spacing) -> NDArray[np.float32]:
    """From each voxel (i, j, k) to the mask's surface: above 0 outside the mask, 0 on its surface, below 0 within.

    By a distance map (Maurer et al., IEEE TPAMI 25, 2003). Infinite everywhere where the mask is empty.

    Example
    -------
    >>> line = np.array([0, 0, 1, 1, 1, 0], dtype=bool).reshape(6, 1, 1)
    >>> signed_distance_mm(line, (2.0, 1.0, 1.0)).ravel().tolist()
    [4.0, 2.0, 0.0, -2.0, 0.0, 2.0]
    """
    import SimpleITK as sitk  # noqa: N813

    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(surface(mask), dtype=np.uint8))
    image.SetSpacing(tuple(reversed(spacing_mm)))
    squared = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=True, useImageSpacing=True)
    # of the surface's own voxels the filter says how deep they lie in it
    distance = np.sqrt(np.maximum(sitk.GetArrayViewFromImage(squared), 0)).astype(np.float32)
    np.negative(distance, out=distance, where=mask & (distance > 0))
    return np.asarray(distance)
