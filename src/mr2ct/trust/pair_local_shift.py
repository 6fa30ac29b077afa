"""A map of shifts: how far each part of the CT lies from its place, where a rigid pose is not the whole story.

A bent neck, an open jaw or another patient's head show here: parts want to go different ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mr2ct.trust.pair_edges import EdgeTensors, agreement_by_shift, peak
from mr2ct.trust.pair_images import PairImages
from mr2ct.trust.pair_pose import Pose

BLOCK_MM, STEP_MM = 56.0, 28.0
REACH_MM = 10.0

_LEAST_EDGE_SHARE = 0.02
_STEP_3D_MM = 56.0
_CLEAR = 0.03
_NEAR_MM = 4.0


@dataclass(frozen=True)
class LocalShifts:
    """Shifts of the blocks whose best place is clear.

    Parameters
    ----------
    centres : (n, 2 or 3) in pixels. shifts_mm : (n, 2 or 3), of the CT's anatomy from the MR's, along the array's axes.
    blocks : how many blocks have edges at all. from_pose_mm : (n,) distance of each shift from what the pose says.
    """

    centres: NDArray[np.float64]
    shifts_mm: NDArray[np.float64]
    blocks: int
    from_pose_mm: NDArray[np.float64]

    @property
    def clear_share(self) -> float:
        """The share of blocks whose best place is clear; small where the two images show different things."""
        return len(self.centres) / self.blocks if self.blocks else 0.0

    @property
    def median_mm(self) -> float:
        """The median length of the shifts; 0 where no block is clear."""
        return float(np.median(np.linalg.norm(self.shifts_mm, axis=1))) if len(self.centres) else 0.0

    @property
    def bend_mm(self) -> float:
        """The upper quartile of the distances from the pose: how much is left that no rigid movement mends."""
        return float(np.percentile(self.from_pose_mm, 75)) if len(self.centres) else 0.0


def local_shifts(pair: PairImages, tensors: EdgeTensors, pose: Pose) -> LocalShifts:
    """The best shift of each block of 56 mm, up to 10 mm along each axis from what the pose's shift says.

    Example
    -------
    >>> local_shifts(pair, tensors, pose).median_mm  # doctest: +SKIP
    0.9
    """
    reach = round(REACH_MM / pair.spacing_mm)
    weights = [tensors.weight(n) for n in range(len(tensors.pairs))]
    moved_by = np.rint(pose.shift_mm / pair.spacing_mm).astype(int)
    room = reach + int(np.abs(moved_by).max())
    padded = [np.pad(array, room) for array in tensors.ct]
    least = _LEAST_EDGE_SHARE * float(tensors.energy.sum())
    centres, shifts, blocks = [], [], 0
    for block in _blocks(pair):
        energy = float(tensors.energy[block].sum())
        if energy < least:
            continue
        blocks += 1
        first = [s.start + room - reach + int(by) for s, by in zip(block, moved_by, strict=True)]
        wider = tuple(slice(a, a + s.stop - s.start + 2 * reach) for a, s in zip(first, block, strict=True))
        surface = agreement_by_shift(
            [array[block] for array in tensors.mr], [array[wider] for array in padded], weights, reach=reach
        )
        shift, height = peak(surface)
        if _is_clear(surface, shift, height, _CLEAR * energy, near=_NEAR_MM / pair.spacing_mm):
            centres.append([(s.start + s.stop - 1) / 2 for s in block])
            shifts.append((shift + moved_by) * pair.spacing_mm)
    n = pair.mr.ndim
    where, found = np.array(centres).reshape(-1, n), np.array(shifts).reshape(-1, n)
    away = (where - pose.centre) * pair.spacing_mm
    expected = away @ pose.turn.T + pose.shift_mm - away
    return LocalShifts(where, found, blocks, np.linalg.norm(found - expected, axis=1))


def _blocks(pair: PairImages) -> Iterator[tuple[slice, ...]]:
    side = round(BLOCK_MM / pair.spacing_mm)
    step = round((STEP_MM if pair.mr.ndim == 2 else _STEP_3D_MM) / pair.spacing_mm)
    starts = [range(0, max(1, n - side // 2), step) for n in pair.mr.shape]
    for start in product(*starts):
        yield tuple(slice(s, min(s + side, n)) for s, n in zip(start, pair.mr.shape, strict=True))


def _is_clear(
    surface: NDArray[np.float32], shift: NDArray[np.float64], height: float, margin: float, *, near: float
) -> bool:
    """Whether no place farther away is nearly as good; along a straight edge, one place is as good as the next."""
    middle = (surface.shape[0] - 1) / 2
    if np.abs(shift).max() > middle - 0.75:
        return False
    away = sum(
        (axis - middle - s) ** 2
        for axis, s in zip(np.ogrid[tuple(slice(0, n) for n in surface.shape)], shift, strict=True)
    )
    return bool(height - surface[np.asarray(away) > near**2].max() > margin)
