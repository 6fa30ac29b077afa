"""How dark a scanner shows bone, and a contrast that shows it as training did.

Preparation puts deep tissue at one level; how far below it bone lies is the scanner's and the sequence's affair. Where
bone is darker than in any training patient, as in many raw volumes (the training pictures were stretched to 8 bits),
networks take dark marrow at the poles of a head for fluid. The model itself finds bone in the middle slices, which it
knows best; a power of the intensities that keeps deep tissue where it is then lifts bone to where training had it. What
it gives, and what it costs where it was not needed: `benchmarks/bone_levels.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.geometry import PLANE_AXIS

LOWEST_EXPONENT = 0.4

SHARES = (0.35, 0.5, 0.65)
"""Of the way through the outline: where the slices lie that are asked for bone."""

FEWEST_VOXELS = 300
BONE_ABOVE_HU = 300.0

Answer = Callable[[NDArray[Any], NDArray[Any], str], NDArray[np.float32]]
"""(mr_units, inside, plane) -> HU, all (i, j, k); slices where `inside` is all zero need not be answered."""


def bone_level(
    mr_units: NDArray[Any], outline: NDArray[np.bool_], planes: Sequence[str], answer: Answer
) -> float | None:
    """The median of the MR, in network units, in what the model takes for bone in a few slices of each plane.

    Returns
    -------
    None where it finds hardly any.
    """
    from scipy import ndimage

    values = []
    for plane in planes:
        axis = PLANE_AXIS[plane]
        asked = np.zeros_like(outline)
        for at in middle_slices(outline, axis):
            where = tuple(at if other == axis else slice(None) for other in range(3))
            asked[where] = outline[where]
        bone = asked & (answer(mr_units, asked, plane) > BONE_ABOVE_HU)
        # the edge of bone is half of what lies beside it
        cross = np.expand_dims(ndimage.generate_binary_structure(2, 1), axis)
        values.append(mr_units[ndimage.binary_erosion(bone, structure=cross)])
    found = np.concatenate(values) if values else np.empty(0)
    return float(np.median(found)) if len(found) >= FEWEST_VOXELS else None


def middle_slices(outline: NDArray[np.bool_], axis: int) -> list[int]:
    """The slices at `SHARES` of the outline's extent along `axis`, each once.

    Example
    -------
    >>> middle_slices(np.ones((1, 4, 101), dtype=bool), axis=2)
    [35, 50, 65]
    """
    occupied = np.flatnonzero(outline.any(axis=tuple(other for other in range(3) if other != axis)))
    if not len(occupied):
        return []
    first, last = int(occupied[0]), int(occupied[-1])
    return sorted({first + round(share * (last - first)) for share in SHARES})


def contrast_exponent(level: float | None, known: tuple[float, float], *, core: float, half_way: bool = False) -> float:
    """The power that lifts bone at `level` to where training usually had it; 1 where training had it as dark, too.

    Parameters
    ----------
    known : the darkest and the usual bone of the training images (`BundleDescription.bone_levels`).
    core : where `preprocessing.core_scaling` puts deep tissue. All in network units.
    half_way : lift only to the geometric mean of the two, as in a single slice, whose level is less sure: a lift that
        was not needed then harms a fifth as much.

    Example
    -------
    >>> exponents = [contrast_exponent(level, (0.07, 0.15), core=0.5) for level in (0.05, 0.1)]
    >>> [round(exponent, 2) for exponent in exponents]
    [0.52, 1.0]
    >>> round(contrast_exponent(0.05, (0.07, 0.15), core=0.5, half_way=True), 2)
    0.69
    """
    darkest, usual = known
    if level is None or level >= darkest:
        return 1.0
    if level <= 0:
        return LOWEST_EXPONENT
    aim = math.sqrt(darkest * usual) if half_way else usual
    return max(LOWEST_EXPONENT, math.log(aim / core) / math.log(level / core))


def with_contrast(mr_units: NDArray[Any], exponent: float, *, core: float) -> NDArray[Any]:
    """Intensities to that power, deep tissue (at `core`) and zero staying where they are; of the same type.

    Example
    -------
    >>> with_contrast(np.array([0.0, 0.125, 0.5]), 0.5, core=0.5).tolist()
    [0.0, 0.25, 0.5]
    """
    if exponent == 1:
        return mr_units
    powered = np.maximum(mr_units, 0).astype(np.float32) / np.float32(core)
    np.power(powered, np.float32(exponent), out=powered)
    powered *= np.float32(core)
    return np.asarray(powered.astype(mr_units.dtype))
