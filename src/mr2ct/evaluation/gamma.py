"""The gamma index: how far two dose distributions are apart, in dose and in distance at once.

Low et al. 1998 (doi:10.1118/1.598248): for each reference voxel, the smallest of sqrt((distance / distance criterion)^2
+ (dose difference / dose criterion)^2) over the evaluated dose about it, interpolated between its voxels. 1 and below
passes. The points looked at are those of pymedphys, and so the values are those of pymedphys; see `gamma_shells`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError, GeometryError, InputError
from mr2ct.evaluation.gamma_shells import Band, Box, search_bands

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_VOXELS_AT_ONCE = 16384


def gamma_index(  # noqa: PLR0913 - a criterion has that many numbers
    reference: NDArray[Any],
    evaluated: NDArray[Any],
    spacing_mm: tuple[float, ...],
    *,
    dose_percent: float = 2.0,
    distance_mm: float = 2.0,
    cutoff_percent: float = 10.0,
    local: bool = False,
    max_gamma: float = 2.0,
) -> Float64:
    """The gamma index of every reference voxel; NaN where the reference dose is below the cutoff.

    Parameters
    ----------
    reference, evaluated : dose in any one unit on one grid of one to three axes, for instance (i, j, k).
    spacing_mm : the grid's spacing along each axis.
    dose_percent : the dose criterion, in percent of the highest reference dose, or of the voxel's own where `local`.
    distance_mm : the distance criterion; the evaluated dose is interpolated linearly at a tenth of it.
    cutoff_percent : voxels below so many percent of the highest reference dose are not scored.
    max_gamma : the search ends there, and so do the values.

    Raises
    ------
    GeometryError : different shapes, or a spacing that does not fit. InputError : dose that is not finite or nowhere
    above 0, criteria that are not above 0.

    Example
    -------
    >>> dose = np.array([50.0, 100.0, 50.0])
    >>> gamma_index(dose, dose * 1.01, (2.0,), dose_percent=2, distance_mm=2).round(2).tolist()
    [0.25, 0.5, 0.25]
    """
    _require_criteria(dose_percent, distance_mm, max_gamma)
    reference, evaluated, spacing = _one_grid(reference, evaluated, spacing_mm)
    highest = float(reference.max())
    if not highest > 0:
        raise InputError("no dose to compare with", got=f"a highest reference dose of {highest}", expected="above 0")
    # with no cutoff, a voxel without dose has no dose of its own to be relative to
    scored = (reference >= cutoff_percent / 100 * highest) & ((reference > 0) | (not local))
    doses = reference[scored]
    criterion = dose_percent / 100 * (doses if local else np.full_like(doses, highest))
    # along an axis one voxel thick there is nothing to look at
    long = [axis for axis in range(reference.ndim) if reference.shape[axis] > 1] or [0]
    in_plane = evaluated.reshape([evaluated.shape[axis] for axis in long])
    bands = search_bands(tuple(spacing[axis] for axis in long), distance_mm, max_gamma)
    gamma = np.full(reference.shape, np.nan)
    gamma[scored] = _search(in_plane, np.argwhere(scored)[:, long], doses, criterion, bands)
    # NaN stays NaN
    return np.asarray(np.minimum(gamma, max_gamma))


def gamma_pass_rate(gamma: NDArray[Any]) -> float:
    """The share of scored voxels with a gamma index of 1 or below, in percent; voxels of NaN are not scored.

    Raises
    ------
    DataSetError : no voxel was scored.

    Example
    -------
    >>> gamma_pass_rate(np.array([0.2, 1.0, 1.5, np.nan, 2.0]))
    50.0
    """
    scored = gamma[~np.isnan(gamma)]
    if scored.size == 0:
        raise DataSetError("no voxel was scored", got="gamma of NaN everywhere", expected="dose above the cutoff")
    return float(100 * np.mean(scored <= 1))


def _require_criteria(dose_percent: float, distance_mm: float, max_gamma: float) -> None:
    for name, value in (("dose_percent", dose_percent), ("distance_mm", distance_mm), ("max_gamma", max_gamma)):
        if not 0 < value < np.inf:
            raise InputError("unusable gamma criterion", got=f"{name} = {value}", expected="a number above 0")


def _one_grid(
    reference: NDArray[Any], evaluated: NDArray[Any], spacing_mm: tuple[float, ...]
) -> tuple[Float64, Float64, tuple[float, ...]]:
    """Both doses in float64 and the spacing, checked."""
    reference = np.asarray(reference, dtype=np.float64)
    evaluated = np.asarray(evaluated, dtype=np.float64)
    if reference.shape != evaluated.shape:
        raise GeometryError(
            "doses of different shapes", got=f"{reference.shape} and {evaluated.shape}", expected="one grid"
        )
    spacing = tuple(float(mm) for mm in spacing_mm)
    if not 1 <= reference.ndim <= 3 or len(spacing) != reference.ndim or not all(0 < mm < np.inf for mm in spacing):
        raise GeometryError(
            "spacing does not fit the dose",
            got=f"{spacing} mm for {reference.ndim} axes",
            expected="one spacing above 0 for each of one to three axes",
        )
    if reference.size == 0 or not (np.isfinite(reference).all() and np.isfinite(evaluated).all()):
        raise InputError("dose that is not finite", got="NaN, infinity or no voxel", expected="a number in every voxel")
    return reference, evaluated, spacing


def _search(
    evaluated: Float64,
    voxels: NDArray[np.int64],
    doses: Float64,
    criterion: Float64,
    bands: Iterable[Band],
) -> Float64:
    """(n,): gamma of `voxels` (n, d) of reference dose `doses` under the dose criterion `criterion`, both (n,)."""
    best = np.full(len(voxels), np.inf, dtype=np.float32)
    for band in bands:
        searching = np.flatnonzero(best > band.nearest**2)
        if searching.size == 0:
            break
        # a box with a corner outside the grid then has a gap of NaN, which is never worth a look
        padded = np.ascontiguousarray(np.pad(evaluated, band.reach, constant_values=np.nan))
        flat, strides = padded.ravel(), np.array(padded.strides) // padded.itemsize
        places = (voxels[searching] + band.reach) @ strides
        for start in range(0, len(searching), _VOXELS_AT_ONCE):
            part = slice(start, start + _VOXELS_AT_ONCE)
            chosen = searching[part]
            off = np.empty((len(band.neighbours), len(chosen)), dtype=np.float32)
            for row, offset in zip(off, band.neighbours @ strides, strict=True):
                row[:] = (flat[places[part] + offset] - doses[chosen]) / criterion[chosen]
            found = best[chosen]
            for box in band.boxes:
                _look_into(box, off[box.rows], found)
            best[chosen] = found
    return np.sqrt(best.astype(np.float64))


def _look_into(box: Box, off: Float32, found: Float32) -> None:
    """Lower `found` (n,), in place, by what is in a box; `off` (c, n) is how far off its neighbours are in dose."""
    corners = box.corners @ off
    # the dose inside a box is never outside the range of its corners
    gap = np.maximum(np.maximum(corners.min(axis=0), -corners.max(axis=0)), 0)
    worth = np.flatnonzero(gap * gap + np.float32(box.nearest_squared) < found)
    if worth.size == 0:
        return
    squared = box.points @ corners[:, worth]
    squared *= squared
    squared += box.distances_squared[:, None]
    found[worth] = np.minimum(found[worth], squared.min(axis=0))
