"""Does the interval hold its word at this site? The share of voxels whose true HU lies inside, by true tissue."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.hounsfield import Tissue, tissue_mask

Bool = NDArray[np.bool_]


def coverage_figures(
    sct_hu: NDArray[Any], half_width_hu: NDArray[Any], ct_hu: NDArray[Any], inside: Bool, *, promised: float
) -> dict[str, float]:
    """Percent of voxels with |sCT - CT| at most the half-width, and how far that is from what was promised.

    Parameters
    ----------
    sct_hu, half_width_hu, ct_hu, inside : (i, j, k), one grid; the true tissue is the CT's. promised : 0 to 1.

    Returns
    -------
    `coverage_percent`, `coverage_off_percent` over all voxels inside, then `coverage_soft_tissue_percent`,
    `coverage_off_soft_tissue_percent` and so on for each tissue the CT has there.

    Example
    -------
    >>> sct, ct = np.array([0.0, 0.0]), np.array([5.0, 20.0])
    >>> coverage_figures(sct, np.full(2, 9.0), ct, np.ones(2, bool), promised=0.9)["coverage_off_soft_tissue_percent"]
    -40.0
    """
    holds = np.abs(sct_hu.astype(np.float32) - ct_hu.astype(np.float32)) <= half_width_hu
    regions = {"": inside} | {
        f"{tissue.value.replace(' ', '_')}_": inside & tissue_mask(ct_hu, tissue) for tissue in Tissue
    }
    figures = {}
    for name, region in regions.items():
        if region.any():
            percent = 100 * float(holds[region].mean())
            figures[f"coverage_{name}percent"] = percent
            figures[f"coverage_off_{name}percent"] = percent - 100 * promised
    return figures
