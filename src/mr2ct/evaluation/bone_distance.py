"""Errors by distance from bone: an sCT that puts the skull 2 mm aside is wrong there and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.evaluation.image_metrics import HuError, hu_error, voxels_to_compare
from mr2ct.evaluation.surface_distance import Spacing, signed_distance_mm
from mr2ct.hounsfield import BONE_ABOVE_HU

INFINITE = float("inf")

EDGES_MM = (-INFINITE, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0, 16.0, INFINITE)
"""Distances from the bone surface that part the bins: below 0 inside bone, above 0 outside it."""


@dataclass(frozen=True)
class DistanceBin:
    """Errors over the voxels whose signed distance from the bone surface is above `above_mm`, at most `up_to_mm`."""

    above_mm: float
    up_to_mm: float
    error: HuError


def hu_error_by_bone_distance(
    sct_hu: NDArray[Any],
    ct_hu: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    *,
    edges_mm: tuple[float, ...] = EDGES_MM,
    bone_above: float = BONE_ABOVE_HU,
) -> tuple[DistanceBin, ...]:
    """`hu_error` by signed distance in mm from the surface of the CT's bone, deepest in bone first.

    Bone is what the *true* CT has above `bone_above` HU inside the mask; its surface voxels lie at 0. All arrays
    (i, j, k). Bins without voxels are left out; a CT without bone has none.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> ct_hu = np.array([0, 0, 0, 900, 0]).reshape(5, 1, 1)
    >>> bins = hu_error_by_bone_distance(ct_hu + 7, ct_hu, np.ones(ct_hu.shape), (2.0, 1.0, 1.0))
    >>> [(b.above_mm, b.up_to_mm, b.error.n_voxels) for b in bins]
    [(-2.0, 0.0, 1), (0.0, 2.0, 2), (2.0, 4.0, 1), (4.0, 8.0, 1)]
    """
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    bone = inside & np.asarray(ct_hu > bone_above)
    if not bone.any():
        return ()
    distance_mm = signed_distance_mm(bone, spacing_mm)
    bins = []
    for above_mm, up_to_mm in pairwise(edges_mm):
        here = inside & (distance_mm > above_mm) & (distance_mm <= up_to_mm)
        if here.any():
            bins.append(DistanceBin(above_mm, up_to_mm, hu_error(sct_hu, ct_hu, here)))
    return tuple(bins)
