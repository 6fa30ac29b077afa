"""Where the sCT is the network's answer and where it is air: the body, a little around it, and a soft edge between.

The outline found in an MR misses skin and dark tissue where the signal drops off, so the network keeps the word for
some millimetres outside it. Farther out an MR holds only noise, and the sCT is air.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.preprocessing.morphology import distance_mm

Edge = tuple[float, float]
"""How far from the mask, in mm, the network keeps the word, and where air begins; between them it fades."""

ROUND_MASK: Edge = (4.0, 7.0)
"""Around a mask that the user gave."""

ROUND_FOUND: Edge = (10.0, 13.0)
"""Around an outline that was found in the MR."""

ROUND_FOUND_IN_SLICE: Edge = (20.0, 24.0)
"""The same in a single slice, where it costs nothing: `benchmarks/outline_margin.py`."""

Box = tuple[slice, slice, slice]


def bounding_box(mask: NDArray[Any], spacing_mm: tuple[float, float, float], *, margin_mm: float) -> Box:
    """The slices (i, j, k) around what is not zero in `mask`, with a margin as far as the volume reaches.

    Raises
    ------
    InputError : an empty mask.

    Example
    -------
    >>> bounding_box(np.eye(3)[None] * [[[0], [1], [0]]], (1.0, 1.0, 1.0), margin_mm=0)
    (slice(0, 1, None), slice(1, 2, None), slice(1, 2, None))
    """
    box = []
    for axis, (size, spacing) in enumerate(zip(mask.shape, spacing_mm, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(mask.any(axis=others))
        if not len(occupied):
            raise InputError(
                "no body in the image", got="an empty mask", expected="tissue brighter than air", remedy="give a mask"
            )
        margin = int(np.ceil(margin_mm / spacing))
        box.append(slice(max(int(occupied[0]) - margin, 0), min(int(occupied[-1]) + 1 + margin, size)))
    return (box[0], box[1], box[2])


def body_weight(
    mask: NDArray[Any], spacing_mm: tuple[float, float, float], *, edge: Edge = ROUND_MASK
) -> NDArray[np.float32]:
    """How much of the network's answer each voxel keeps, (i, j, k) in [0, 1].

    1 inside the mask and up to where `edge` begins, 0 from where it ends, linear in the distance between.

    Example
    -------
    >>> body_weight(np.array([[[1, 0, 0, 0]]]), (1.0, 1.0, 1.0), edge=(1, 3)).ravel().tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    kept_mm, faded_mm = edge
    away_mm = distance_mm(mask != 0, spacing_mm)
    return np.asarray(np.clip((faded_mm - away_mm) / np.float32(faded_mm - kept_mm), 0, 1))


def air_outside(sct_hu: NDArray[np.float32], weight: NDArray[np.float32], *, air_hu: float) -> NDArray[np.float32]:
    """`sct_hu` where `weight` is 1, `air_hu` where it is 0, and the weighted mean between; all of one shape.

    Example
    -------
    >>> air_outside(np.float32([40, 40, 40]), np.float32([1, 0.5, 0]), air_hu=-1024).tolist()
    [40.0, -492.0, -1024.0]
    """
    air = np.float32(air_hu)
    return air + weight * (sct_hu - air)
