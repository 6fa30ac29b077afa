"""Multi-scale structural similarity inside a mask, as the SynthRAD2025 challenge's published code computes it.

That code differs from the paper it cites (Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216) in ways kept here: the
weight of a level applies to luminance, contrast and structure at *every* level; windows are flat, 7 x 7 x 7; the
convolution that halves the image is not centred, so its first plane along each axis is averaged with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.evaluation.image_metrics import voxels_to_compare
from mr2ct.evaluation.ssim import Float64, above_lowest_hu, in_memory_order, mean_similarity

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five levels, the finest first."""

SMALLEST_SIZE = 97
"""Voxels along each axis that five levels of 7-voxel windows need; smaller images are padded by their edge voxels."""


def ms_ssim(
    sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], *, lowest_hu: float, highest_hu: float
) -> float:
    """Multi-scale structural similarity in the mask, 0 to 1, as SynthRAD2025 computes it.

    Both images (i, j, k) are clipped to [lowest_hu, highest_hu], set to lowest_hu outside the mask, shifted to start at
    0, and padded to 97 voxels or more along each axis; the mask is padded alike. So a single slice is compared as
    97 equal slices: the published rule, not one of ours. NaN where a level has no voxel of the mask that is 3 voxels
    or more from the border.

    With C3 = C2 / 2 the published product of luminance, contrast and structure is the two-factor SSIM, so one power
    is taken in place of three: (l^w c^w s^w) = (l c s)^w, and only s can be negative.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> ct_hu = np.arange(2000.0).reshape(40, 50, 1)
    >>> round(ms_ssim(ct_hu, ct_hu, np.ones(ct_hu.shape), lowest_hu=-1024, highest_hu=3000), 9)
    1.0
    """
    sct_hu, ct_hu, mask = in_memory_order(sct_hu, ct_hu, mask)
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    sct, ct = (_padded(above_lowest_hu(hu, inside, lowest_hu, highest_hu)) for hu in (sct_hu, ct_hu))
    inside = _padded(inside)
    product = 1.0
    for level, weight in enumerate(WEIGHTS):
        if level > 0:
            sct, ct, inside = _halved(sct), _halved(ct), inside[::2, ::2, ::2]
        similarity = mean_similarity(sct, ct, inside, data_range=highest_hu - lowest_hu, power=weight)
        # not min(1, ...): a NaN must stay one
        product *= float(np.clip(similarity, 0, 1))
    return product


def _padded(image: NDArray[Any]) -> NDArray[Any]:
    missing = [max(0, SMALLEST_SIZE - n) for n in image.shape]
    if not any(missing):
        return image
    return np.pad(image, [(n // 2, n - n // 2) for n in missing], mode="edge")


def _halved(image: Float64) -> Float64:
    """Every second voxel of the 2 x 2 x 2 mean of it and the voxels *before* it; zeros lie before the first."""
    for axis in range(3):
        before = (slice(None),) * axis
        half = np.array(image[(*before, slice(None, None, 2))], order="C")
        half[(*before, slice(1, None))] += image[(*before, slice(1, -1, 2))]
        half *= 0.5
        image = half
    return image
