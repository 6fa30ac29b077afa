"""The HU that a voxel's CT may have, as probabilities of bins, and intervals taken from them.

Everything works on rows of bin probabilities, (voxels, bins). Bins end at the tissue thresholds, so that the
probability of a tissue is a sum of bins, and tissues can be given more or less weight than they have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.hounsfield import AIR_BELOW_HU, BONE_ABOVE_HU, HIGHEST_HU, LOWEST_HU, Tissue

Float32 = NDArray[np.float32]

_AIR = (-1010, -990, -950, -900, -800, -700, -600, -500, -400, -325)
_SOFT = (-200, -150, -125, -100, -75, -50, -25, 0, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200)
_BONE = (300, 350, 400, 475, 550, 650, 750, 875, 1000, 1150, 1300, 1500, 1800, 2200)
EDGES_HU = np.array([LOWEST_HU, *_AIR, AIR_BELOW_HU, *_SOFT, BONE_ABOVE_HU, *_BONE, HIGHEST_HU], dtype=np.float32)
"""Ends of the bins: fine where most of a head is, and at both tissue thresholds."""

N_BINS = len(EDGES_HU) - 1
MIDDLES_HU = (EDGES_HU[:-1] + EDGES_HU[1:]) / 2

TISSUES = (Tissue.AIR, Tissue.SOFT_TISSUE, Tissue.BONE)
TISSUE_OF_BIN = np.digitize(MIDDLES_HU, [AIR_BELOW_HU, BONE_ABOVE_HU])
"""Index into `TISSUES` of each bin."""

_HALVINGS = 13
_N_HU = HIGHEST_HU - LOWEST_HU + 1
_BIN_OF_HU = np.clip(np.searchsorted(EDGES_HU, np.arange(LOWEST_HU, HIGHEST_HU + 1), side="right") - 1, 0, N_BINS - 1)


def bin_of(hu: NDArray[Any]) -> NDArray[np.intp]:
    """The bin that each HU (any shape) falls in; values beyond the ends count as the ends.

    250 HU is soft tissue, as everywhere in mr2ct: it belongs to the bin below.

    Example
    -------
    >>> [TISSUES[TISSUE_OF_BIN[b]].value for b in bin_of(np.array([-3000, -250, 250, 251]))]
    ['air', 'soft tissue', 'soft tissue', 'bone']
    """
    found = np.searchsorted(EDGES_HU, hu, side="right") - 1
    found = np.where(np.asarray(hu) == BONE_ABOVE_HU, found - 1, found)
    return np.clip(found, 0, N_BINS - 1).astype(np.intp)


def reweighted(probabilities: Float32, tissue_weights: tuple[float, float, float]) -> Float32:
    """Bin probabilities with each tissue (air, soft tissue, bone) made more or less likely; rows sum to 1 again.

    Example
    -------
    >>> even = np.full((1, N_BINS), 1 / N_BINS, np.float32)
    >>> float(reweighted(even, (0.0, 1.0, 0.0))[0, TISSUE_OF_BIN == 1].sum())
    1.0
    """
    weighted = probabilities * np.asarray(tissue_weights, dtype=np.float32)[TISSUE_OF_BIN]
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True), dtype=np.float32)


def tissue_shares(probabilities: Float32) -> Float32:
    """Probability of air, soft tissue and bone in each row: (voxels, 3).

    Example
    -------
    >>> sure = np.zeros((1, N_BINS), np.float32); sure[0, bin_of(np.array(45))] = 1
    >>> tissue_shares(sure).tolist()
    [[0.0, 1.0, 0.0]]
    """
    return np.stack([probabilities[:, tissue == TISSUE_OF_BIN].sum(axis=1) for tissue in range(len(TISSUES))], axis=1)


def half_widths_hu(probabilities: Float32, centre_hu: Float32, share: float | Float32) -> Float32:
    """The half-width h with probability `share` in [centre - h, centre + h], to half an HU: (voxels,).

    Parameters
    ----------
    probabilities : (voxels, N_BINS), rows sum to 1; HU are spread evenly within a bin. centre_hu : (voxels,).
    share : one for all, or (voxels,).

    Example
    -------
    >>> sure = np.zeros((1, N_BINS), np.float32); sure[0, bin_of(np.array(45))] = 1
    >>> float(half_widths_hu(sure, np.float32([45]), 0.9)[0].round(1))
    4.5
    """
    below = _cumulative(probabilities)
    low: Float32 = np.zeros(len(centre_hu), np.float32)
    high: Float32 = np.full(len(centre_hu), 2.0**12, np.float32)
    for _ in range(_HALVINGS):
        middle = np.asarray((low + high) / 2, dtype=np.float32)
        enough = _below(below, centre_hu + middle) - _below(below, centre_hu - middle) >= share
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def expected_error_hu(probabilities: Float32, centre_hu: Float32) -> Float32:
    """The mean absolute error that a voxel of value `centre_hu` is expected to have: (voxels,).

    Example
    -------
    >>> sure = np.zeros((1, N_BINS), np.float32); sure[0, bin_of(np.array(45))] = 1
    >>> float(expected_error_hu(sure, np.float32([145]))[0])
    100.0
    """
    return np.asarray((probabilities * np.abs(MIDDLES_HU - centre_hu[:, None])).sum(axis=1), dtype=np.float32)


def _cumulative(probabilities: Float32) -> Float32:
    """(voxels, N_BINS + 1): probability below each edge."""
    below = np.zeros((len(probabilities), N_BINS + 1), np.float32)
    np.cumsum(probabilities, axis=1, out=below[:, 1:])
    return below


def _below(cumulative: Float32, hu: Float32) -> Float32:
    """Probability below one HU value in each row."""
    within = np.clip(hu, EDGES_HU[0], EDGES_HU[-1])
    bins = _BIN_OF_HU[(within - LOWEST_HU).astype(np.intp)]
    rows = np.arange(len(hu))
    start, end = cumulative[rows, bins], cumulative[rows, bins + 1]
    part = (within - EDGES_HU[bins]) / (EDGES_HU[bins + 1] - EDGES_HU[bins])
    return np.asarray(start + part * (end - start), dtype=np.float32)
