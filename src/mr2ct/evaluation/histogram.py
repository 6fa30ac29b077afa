"""Do sCT and CT hold the same HU, wherever they lie? The overlap of their histograms inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError
from mr2ct.evaluation.image_metrics import voxels_to_compare
from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU

BIN_HU = 20.0
"""Wide enough for CT noise to count little, narrow enough to part fat, water and muscle."""


def hu_histogram(
    hu: NDArray[Any],
    mask: NDArray[Any],
    *,
    bin_hu: float = BIN_HU,
    lowest_hu: float = LOWEST_HU,
    highest_hu: float = HIGHEST_HU,
) -> NDArray[np.float64]:
    """The share of the mask's voxels in each bin of `bin_hu` from `lowest_hu` up; adds up to 1.

    Values beyond the range count in the first and the last bin. `hu` and `mask` of one shape, any dimensions.

    Raises
    ------
    DataSetError : an empty mask.

    Example
    -------
    >>> hu_histogram(np.array([-900, 15, 5000]), np.ones(3), bin_hu=500, lowest_hu=-1000, highest_hu=1000).tolist()
    [0.333..., 0.0, 0.333..., 0.333...]
    """
    inside = np.asarray(hu[mask != 0], dtype=np.float64)
    if inside.size == 0:
        raise DataSetError("no voxel to count", got="an empty mask", expected="at least one voxel inside")
    n_bins = int(np.ceil((highest_hu - lowest_hu) / bin_hu))
    numbers = np.clip((inside - lowest_hu) // bin_hu, 0, n_bins - 1).astype(np.intp)
    return np.asarray(np.bincount(numbers, minlength=n_bins) / inside.size, dtype=np.float64)


def histogram_overlap(
    sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], *, bin_hu: float = BIN_HU
) -> float:
    """What the HU histograms of sCT and CT in the mask have in common: 1 if they are the same, 0 if they never meet.

    The histogram intersection of Swain and Ballard 1991, doi:10.1007/BF00130487, in bins of `bin_hu` from -1024 HU.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> histogram_overlap(np.array([0, 0, 500, 500]), np.array([0, 0, 0, 500]), np.ones(4))
    0.75
    """
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    shares = (hu_histogram(hu, inside, bin_hu=bin_hu) for hu in (sct_hu, ct_hu))
    return float(np.minimum(*shares).sum())
