"""Error from slice to slice: an sCT that is good in the middle of a head and poor at its top has one MAE, not two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.geometry import closest_axes, require_same_geometry
from mr2ct.volume import Volume

_FEWEST_VOXELS = 10
_GRID_MM = 2.0


@dataclass(frozen=True)
class SliceProfile:
    """MAE in HU of each axial level of a case; levels are mm below the uppermost voxel of the mask, growing."""

    depth_mm: tuple[float, ...]
    mae_hu: tuple[float, ...]


@dataclass(frozen=True)
class ProfileBand:
    """Profiles of several cases on one grid: depths (n,), and lower quartile, median and upper quartile of the MAE."""

    depth_mm: NDArray[np.float64]
    q25: NDArray[np.float64]
    median: NDArray[np.float64]
    q75: NDArray[np.float64]


def slice_profile(sct: Volume, ct: Volume, mask: Volume) -> SliceProfile:
    """MAE level by level, along the voxel axis closest to feet-head; levels with fewer than 10 mask voxels left out.

    A coronal or sagittal volume one voxel thick has a level for each of its rows; an axial one has one level.

    Raises
    ------
    GeometryError : different grids.

    Example
    -------
    >>> slice_profile(sct, ct, mask).depth_mm  # doctest: +SKIP
    (0.0, 1.0, 2.0)
    """
    require_same_geometry(sct.geometry, ct.geometry, names="sCT and CT")
    require_same_geometry(mask.geometry, ct.geometry, names="mask and CT")
    axis, sign = closest_axes(ct.geometry.affine)[2]
    others = tuple(n for n in range(3) if n != axis)
    inside = mask.voxels != 0
    counts = inside.sum(axis=others)
    apart_hu = np.abs(sct.voxels.astype(np.float32) - ct.voxels)
    # level by level, so that no second copy of the volume is made
    sums = np.array(
        [
            float(a[i].sum(dtype=np.float64))
            for a, i in zip(np.moveaxis(apart_hu, axis, 0), np.moveaxis(inside, axis, 0), strict=True)
        ]
    )
    levels = np.flatnonzero(counts)[::-1] if sign > 0 else np.flatnonzero(counts)
    depth_mm = np.abs(levels - levels[0]) * ct.geometry.spacing_mm[axis] if levels.size else np.zeros(0)
    enough = counts[levels] >= _FEWEST_VOXELS
    mae = sums[levels][enough] / counts[levels][enough]
    return SliceProfile(tuple(map(float, depth_mm[enough])), tuple(map(float, mae)))


def profile_band(profiles: Sequence[SliceProfile]) -> ProfileBand | None:
    """Quartiles over cases every 2 mm, where at least a third of the profiles reach; None where none has two levels.

    Example
    -------
    >>> band = profile_band([SliceProfile((0.0, 4.0), (10.0, 30.0))])
    >>> band.median.tolist()
    [10.0, 20.0, 30.0]
    """
    usable = [profile for profile in profiles if len(profile.depth_mm) > 1]
    if not usable:
        return None
    grid = np.arange(0, max(profile.depth_mm[-1] for profile in usable) + 1e-6, _GRID_MM)
    rows = np.array([np.interp(grid, p.depth_mm, p.mae_hu, left=np.nan, right=np.nan) for p in usable])
    reached = np.isfinite(rows).sum(axis=0) >= max(1, len(usable) / 3)
    q25, median, q75 = np.nanpercentile(rows[:, reached], (25, 50, 75), axis=0)
    return ProfileBand(grid[reached], q25, median, q75)
