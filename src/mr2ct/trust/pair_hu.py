"""Are a CT's numbers Hounsfield units? Where air and tissue lie, whether the top is cut off, how much metal there is.

By definition air is -1000 HU and water 0. A DICOM file whose rescale slope and intercept were not applied, a picture
of 8 bits and a CT clipped for display all break that, each in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.hounsfield import BONE_ABOVE_HU
from mr2ct.preprocessing.morphology import Spacing, dilated, eroded

USUAL_OFFSETS_HU = (1024.0, 1000.0)
TISSUE_WITHIN_HU = 150.0
METAL_ABOVE_HU = 2990.0
"""Enamel stays below; metal runs into the end of a scanner's 12 bits (3071), or of a range cut at 3000."""

_AIR_TO_TISSUE_HU = (850.0, 1250.0)
_AIR_AT_MOST_HU, _GREY_FROM_HU = -850.0, -150.0
_RIM_MM, _CORE_MM = 10.0, 10.0
_BIN_HU = 20.0
_FEW = 50
_AIR_PERCENTILE, _ENOUGH_SOFT = 25, 0.1
_SCANNERS_TOP_HU = 2900.0


@dataclass(frozen=True)
class HuLevels:
    """Two levels that every CT of a body has, in its own numbers.

    Parameters
    ----------
    air : the lower quartile beyond 10 mm from the body; NaN where the image holds next to nothing of it.
    tissue : the commonest value deep inside the body.
    verdict : "ok", "offset" (a constant was added), "scale" (not HU at all), or "air" (air is not black enough).
    offset_hu : the constant; 0 unless the verdict is "offset".

    Example
    -------
    >>> HuLevels(24.0, 1060.0, "offset", 1024.0).offset_hu
    1024.0
    """

    air: float
    tissue: float
    verdict: str
    offset_hu: float = 0.0


def hu_levels(ct: NDArray[np.floating], mr_body: NDArray[np.bool_], *, spacing_mm: Spacing) -> HuLevels:
    """Where air and tissue lie in a CT whose body's place the MR tells.

    Parameters
    ----------
    ct : (i, j, k), finite. mr_body : the body's outline in the MR, not empty.

    Example
    -------
    >>> body = np.zeros((60, 60, 1), dtype=bool); body[15:45, 15:45] = True
    >>> hu_levels(np.where(body, 1064.0, 24.0), body, spacing_mm=(1.0, 1.0, 1.0)).verdict
    'offset'
    """
    core = eroded(mr_body, spacing_mm, _CORE_MM)
    deep = ct[core if core.any() else mr_body]
    tissue, soft = _commonest(deep), float((np.abs(deep) <= TISSUE_WITHIN_HU).mean())
    beyond = ct[~dilated(mr_body, spacing_mm, _RIM_MM)]
    air = float(np.percentile(beyond, _AIR_PERCENTILE)) if beyond.size >= _FEW else float("nan")
    return HuLevels(air, tissue, *_judged(air, tissue, soft))


def _judged(air: float, tissue: float, soft: float) -> tuple[str, float]:
    # deep in a chest the commonest value is lung's
    if abs(tissue) <= TISSUE_WITHIN_HU or (soft >= _ENOUGH_SOFT and air <= _AIR_AT_MOST_HU):
        grey = "scale" if air > _GREY_FROM_HU else "air"
        return (grey, 0.0) if air > _AIR_AT_MOST_HU else ("ok", 0.0)
    lowest, highest = _AIR_TO_TISSUE_HU
    if np.isnan(air) or lowest <= tissue - air <= highest or air <= _AIR_AT_MOST_HU:
        usual = [offset for offset in USUAL_OFFSETS_HU if abs(tissue - offset - 40) <= TISSUE_WITHIN_HU]
        if usual:
            return "offset", usual[0]
        if lowest <= tissue - air <= highest:
            return "offset", float(np.rint(air + 1000))
    return "scale", 0.0


def _commonest(values: NDArray[np.floating]) -> float:
    """The middle of the fullest 20 HU of a histogram whose counts are averaged over three bins."""
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    bins = int(np.clip((high - low) / _BIN_HU, 1, 2000))
    counts, edges = np.histogram(values, bins=bins, range=(low, max(high, low + 1e-3)))
    fullest = int(np.argmax(np.convolve(counts, np.ones(3), mode="same")))
    return float((edges[fullest] + edges[fullest + 1]) / 2)


@dataclass(frozen=True)
class HuExtremes:
    """The top of a CT's range.

    Parameters
    ----------
    highest_hu : the largest value. at_highest : the share of bone (above 250 HU) that lies at it.
    clipped : whether so much bone does that the range must have been cut there.
    metal_mm3 : the volume above 2990 HU (of a slice: its area times its thickness).
    not_finite : how many voxels are NaN or infinite.
    """

    highest_hu: float
    at_highest: float
    clipped: bool
    metal_mm3: float
    not_finite: int


def hu_extremes(ct: NDArray[np.generic], *, voxel_mm3: float, offset_hu: float = 0.0) -> HuExtremes:
    """The top of a CT's range, from its voxels as they are (any shape), a known offset taken off.

    Example
    -------
    >>> rng = np.random.default_rng(0); bone = rng.normal(900, 200, (50, 50))
    >>> hu_extremes(bone, voxel_mm3=1.0).clipped, hu_extremes(np.minimum(bone, 1000), voxel_mm3=1.0).clipped
    (False, True)
    """
    values = np.asarray(ct, dtype=np.float32)
    values = values[values > BONE_ABOVE_HU + offset_hu] - np.float32(offset_hu)
    not_finite = int(ct.size - np.isfinite(ct).sum())
    values = values[np.isfinite(values)]
    if not values.size:
        return HuExtremes(float("nan"), 0.0, False, 0.0, not_finite)
    highest = float(values.max())
    top = int((values >= highest - 1).sum())
    clipped = highest < _SCANNERS_TOP_HU and top >= 10 and top / values.size >= 0.004
    metal = float((values > METAL_ABOVE_HU).sum()) * voxel_mm3
    return HuExtremes(highest, top / values.size, clipped, metal, not_finite)
