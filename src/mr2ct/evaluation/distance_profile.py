"""Error against the distance from the middle slice: a network of slices may be good in the middle of a head only.

Bone and air are harder than brain, and there is more of them near the vertex and the skull base. So a bin has two
figures: the plain MAE, and the MAE it would have if it held the tissues of the whole mask (direct standardisation, as
epidemiologists compare towns of different ages).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError, InputError

_FEWEST_VOXELS = 50
"""A tissue with fewer in a bin has no MAE there; the other tissues' shares then count alone."""


@dataclass(frozen=True)
class DistanceProfile:
    """MAE in HU by signed distance from the middle slice.

    Parameters
    ----------
    middle_mm : (bins,) centres of the bins, negative towards the first slice. voxels : (bins,) in the mask.
    mae_hu : (bins,) plain. standardised_hu : (bins,) for the tissue shares of the whole mask. NaN where a bin is empty.
    """

    middle_mm: NDArray[np.float64]
    voxels: NDArray[np.int64]
    mae_hu: NDArray[np.float64]
    standardised_hu: NDArray[np.float64]


def middle_slice(mask: NDArray[Any], axis: int) -> float:
    """Half-way between the first and the last slice that the mask reaches along an axis, as an index.

    Raises
    ------
    InputError : an empty mask.

    Example
    -------
    >>> middle_slice(np.array([0, 1, 1, 1, 1, 0]).reshape(6, 1, 1), 0)
    2.5
    """
    occupied = np.flatnonzero(np.any(np.moveaxis(mask, axis, 0) != 0, axis=(1, 2)))
    if not len(occupied):
        raise InputError("no middle slice", got="an empty mask", expected="a head")
    return float(occupied[0] + occupied[-1]) / 2


def distance_profile(
    apart_hu: NDArray[Any],
    tissue: NDArray[Any],
    mask: NDArray[Any],
    *,
    axis: int,
    spacing_mm: float,
    bin_mm: float = 20.0,
) -> DistanceProfile:
    """MAE in bins of the distance from the mask's middle slice along an axis.

    Parameters
    ----------
    apart_hu : (i, j, k) absolute difference in HU. tissue : (i, j, k) small integers, a class each voxel.
    mask : (i, j, k) non-zero inside. spacing_mm : between slices along `axis`.
    bin_mm : the middle bin reaches half of it to both sides.

    Raises
    ------
    GeometryError : different shapes. InputError : an empty mask.

    Example
    -------
    >>> apart, mask = np.arange(9.0).reshape(9, 1, 1), np.ones((9, 1, 1))
    >>> distance_profile(apart, mask, mask, axis=0, spacing_mm=1.0, bin_mm=3).mae_hu.tolist()
    [1.0, 4.0, 7.0]
    """
    if not apart_hu.shape == tissue.shape == mask.shape:
        raise GeometryError("arrays of different shapes", got=f"{apart_hu.shape}, {tissue.shape} and {mask.shape}")
    slices = (np.arange(mask.shape[axis]) - middle_slice(mask, axis)) * spacing_mm
    bin_of_slice = np.floor(slices / bin_mm + 0.5).astype(int)
    inside = np.moveaxis(mask != 0, axis, 0)
    number = np.repeat(bin_of_slice, inside[0].size).reshape(inside.shape)[inside]
    first = int(number.min())
    classes = np.moveaxis(tissue, axis, 0)[inside].astype(np.intp)
    shape = (int(number.max()) - first + 1, int(classes.max()) + 1)
    flat = (number - first) * shape[1] + classes
    counts: NDArray[np.int64] = np.bincount(flat, minlength=shape[0] * shape[1]).astype(np.int64).reshape(shape)
    weights = np.moveaxis(apart_hu, axis, 0)[inside].astype(np.float64)
    sums: NDArray[np.float64] = np.bincount(flat, weights, minlength=counts.size).astype(np.float64).reshape(shape)
    voxels = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mae = sums.sum(axis=1) / voxels
    middle_mm = (np.arange(shape[0], dtype=np.float64) + first) * bin_mm
    return DistanceProfile(middle_mm, voxels, mae, _standardised(sums, counts))


def _standardised(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    there = counts >= min(_FEWEST_VOXELS, int(counts.sum(axis=1).max()))
    shares = np.where(there, counts.sum(axis=0), 0).astype(np.float64)
    by_tissue = np.divide(sums, counts.astype(np.float64), out=np.zeros_like(sums), where=counts > 0)
    total = shares.sum(axis=1)
    weighted = (shares * by_tissue).sum(axis=1)
    return np.asarray(np.divide(weighted, total, out=np.full(len(total), np.nan), where=total > 0))


def flatness(mae_hu: NDArray[np.float64], middle_mm: NDArray[np.float64]) -> tuple[float, float]:
    """The smallest and the largest MAE of all bins over the middle bin's; (1.0, 1.0) is perfectly flat.

    Example
    -------
    >>> flatness(np.array([90.0, 100.0, 125.0]), np.array([-20.0, 0.0, 20.0]))
    (0.9, 1.25)
    """
    known = np.isfinite(mae_hu)
    centre = mae_hu[np.argmin(np.abs(middle_mm))]
    return float(mae_hu[known].min() / centre), float(mae_hu[known].max() / centre)
