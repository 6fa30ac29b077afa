"""Steps between slices: where each slice is made alone, neighbours differ by more than anatomy does.

A CT's own difference between neighbouring slices is the measure: more is a step, less is blur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError


def slice_steps_hu(hu: NDArray[Any], mask: NDArray[Any]) -> tuple[float, float, float]:
    """Mean absolute difference in HU between neighbouring voxels along i, j and k, where both lie in the mask.

    Parameters
    ----------
    hu, mask : (i, j, k) of one shape; non-zero inside. Voxels farther apart differ more: compare on one spacing.

    Returns
    -------
    One figure an axis; NaN where no two neighbours are in the mask.

    Raises
    ------
    GeometryError : different shapes.

    Example
    -------
    >>> slice_steps_hu(np.arange(8.0).reshape(2, 2, 2), np.ones((2, 2, 2)))
    (4.0, 2.0, 1.0)
    """
    if hu.shape != mask.shape:
        raise GeometryError("image and mask of different shapes", got=f"{hu.shape} and {mask.shape}")
    inside = mask != 0
    i, j, k = (_mean_step(np.moveaxis(hu, axis, 0), np.moveaxis(inside, axis, 0)) for axis in range(3))
    return i, j, k


def _mean_step(hu: NDArray[Any], inside: NDArray[np.bool_]) -> float:
    total, pairs = 0.0, 0
    # slice by slice, so that no second copy of the volume is made
    for before in range(len(hu) - 1):
        both = inside[before] & inside[before + 1]
        apart = np.abs(hu[before + 1].astype(np.float32) - hu[before])
        total += float(apart[both].sum(dtype=np.float64))
        pairs += int(both.sum())
    return total / pairs if pairs else float("nan")
