"""Is bone as sharp in the sCT as in the CT? A network that hedges draws bone blurred, which the MAE rewards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.evaluation.image_metrics import voxels_to_compare
from mr2ct.evaluation.surface_distance import Spacing
from mr2ct.hounsfield import BONE_ABOVE_HU

LOWEST_HU, HIGHEST_HU = -1024.0, 3000.0
"""Both images are clipped to the protocols' range: a tooth's filling is not to outweigh the skull."""


def bone_gradient_energy_percent(
    sct_hu: NDArray[Any],
    ct_hu: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    *,
    bone_above: float = BONE_ABOVE_HU,
) -> float:
    """Gradient energy of the sCT in the CT's bone, in percent of the CT's own: 100 as sharp, below it blurred.

    The energy is the sum of the squared gradient (HU/mm, central differences) over the voxels of the mask where the
    *true* CT is above `bone_above`; an axis one voxel thick takes no part. Bone that the sCT puts elsewhere, or leaves
    out, counts as blurred; noise counts as sharp.

    Parameters
    ----------
    sct_hu, ct_hu, mask : (i, j, k), one shape; HU, HU, non-zero inside.

    Returns
    -------
    0 and up; NaN where the CT has no bone in the mask, or none with an edge.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> ct = np.full((9, 9, 1), 40.0); ct[3:6, 3:6] = 1040
    >>> bone_gradient_energy_percent(ct / 2, ct, np.ones(ct.shape), (1.0, 1.0, 1.0))
    25.0
    """
    bone = voxels_to_compare(sct_hu, ct_hu, mask) & np.asarray(ct_hu > bone_above)
    of_ct = _gradient_energy(ct_hu, bone, spacing_mm)
    return 100 * _gradient_energy(sct_hu, bone, spacing_mm) / of_ct if of_ct else float("nan")


def _gradient_energy(hu: NDArray[Any], where: NDArray[np.bool_], spacing_mm: Spacing) -> float:
    clipped = np.clip(hu.astype(np.float64), LOWEST_HU, HIGHEST_HU)
    along = (np.gradient(clipped, spacing_mm[axis], axis=axis) for axis, n in enumerate(hu.shape) if n > 1)
    return float(sum(np.square(slope[where]).sum() for slope in along))
