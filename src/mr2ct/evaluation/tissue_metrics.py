"""Errors by tissue: one MAE over a head hides that bone and air are where an sCT goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.evaluation.image_metrics import HuError, hu_error
from mr2ct.hounsfield import AIR_BELOW_HU, BONE_ABOVE_HU, Tissue, tissue_mask

LUNG = "lung"


@dataclass(frozen=True)
class TissueThresholds:
    """What of a CT counts as which tissue.

    air_below, bone_above : HU; soft tissue (fat included) lies between them.
    lung_above : HU; between this and `air_below` a voxel may be lung.
    lung_at_least_ml : what such a region must hold, once everything thinner than two `lung_radius_mm` is gone, to be a
        lung. More than the sinuses and airways of a head, less than one collapsed lung.
    lung_at_least_cm2 : the same for a single slice.
    lung_radius_mm : skin and the walls of airways, half air and half tissue, are thinner than twice this.

    Example
    -------
    >>> TissueThresholds(bone_above=150).air_below
    -250
    """

    air_below: float = AIR_BELOW_HU
    bone_above: float = BONE_ABOVE_HU
    lung_above: float = -950
    lung_at_least_ml: float = 100
    lung_at_least_cm2: float = 20
    lung_radius_mm: float = 4

    def __post_init__(self) -> None:
        if not self.lung_above < self.air_below < self.bone_above:
            raise InputError(
                "tissue thresholds out of order",
                got=f"lung above {self.lung_above}, air below {self.air_below}, bone above {self.bone_above}",
                expected="ascending HU",
            )


DEFAULT_THRESHOLDS = TissueThresholds()


def hu_error_by_tissue(
    sct_hu: NDArray[Any],
    ct_hu: NDArray[Any],
    mask: NDArray[Any],
    *,
    thresholds: TissueThresholds = DEFAULT_THRESHOLDS,
    lung: NDArray[np.bool_] | None = None,
) -> dict[str, HuError]:
    """`hu_error` over the whole mask ("all") and over each tissue class that the *true* CT has in it.

    Parameters
    ----------
    sct_hu, ct_hu, mask : one shape, any dimensions; HU, HU, non-zero inside.
    lung : where lung is, from `find_lung`; it then counts as "lung" and no longer as "air".

    Returns
    -------
    "all" first, then "air", "lung", "soft tissue", "bone"; a tissue that the mask does not hold is left out.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> list(hu_error_by_tissue(np.zeros(2), np.array([40.0, 900.0]), np.ones(2)))
    ['all', 'soft tissue', 'bone']
    """
    errors = {"all": hu_error(sct_hu, ct_hu, mask)}
    limits = {"air_below": thresholds.air_below, "bone_above": thresholds.bone_above}
    classes = {tissue.value: (mask != 0) & tissue_mask(ct_hu, tissue, **limits) for tissue in Tissue}
    if lung is not None:
        air = classes.pop(Tissue.AIR.value)
        classes = {Tissue.AIR.value: air & ~lung, LUNG: air & lung, **classes}
    for name, of_tissue in classes.items():
        if np.any(of_tissue):
            errors[name] = hu_error(sct_hu, ct_hu, of_tissue)
    return errors


def find_lung(
    ct_hu: NDArray[Any],
    body: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    *,
    thresholds: TissueThresholds = DEFAULT_THRESHOLDS,
) -> NDArray[np.bool_] | None:
    """Where the CT (i, j, k) has lung inside the body, or None where it has none, as in a head.

    Lung is a region of voxels between `lung_above` and `air_below` that stays connected when all that is thinner than
    two `lung_radius_mm` is taken away, and then still holds `lung_at_least_ml` (`lung_at_least_cm2` in a single slice).
    `body` is to be the filled outline and not a wider mask: the foam of a head rest has the HU of lung.

    Example
    -------
    >>> chest = np.full((40, 40, 40), 30.0); chest[8:32, 8:32, 8:32] = -750
    >>> lung = find_lung(chest, np.ones(chest.shape), (3.0, 3.0, 3.0))
    >>> bool(lung[20, 20, 20]), bool(lung[4, 20, 20])
    (True, False)
    >>> find_lung(chest[:8], np.ones((8, 40, 40)), (3.0, 3.0, 3.0)) is None
    True
    """
    from scipy import ndimage

    from mr2ct.preprocessing.morphology import bounding_box, dilated, opened

    maybe = (body != 0) & (ct_hu > thresholds.lung_above) & (ct_hu < thresholds.air_below)
    at_least = _fewest_voxels(maybe.shape, spacing_mm, thresholds)
    if np.count_nonzero(maybe) < at_least:
        return None
    # room around the regions: beyond the box nothing would count as outside them
    box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in bounding_box(maybe))
    near = maybe[box]
    regions, _ = ndimage.label(opened(near, spacing_mm, thresholds.lung_radius_mm))
    large = np.bincount(regions.ravel()) >= at_least
    large[0] = False
    if not large.any():
        return None
    # what the opening took from the lung's rim comes back
    lung = np.zeros(maybe.shape, dtype=bool)
    lung[box] = dilated(large[regions], spacing_mm, thresholds.lung_radius_mm) & near
    return lung


def _fewest_voxels(
    shape: tuple[int, ...], spacing_mm: tuple[float, float, float], thresholds: TissueThresholds
) -> float:
    if 1 not in shape:
        return thresholds.lung_at_least_ml * 1000 / float(np.prod(spacing_mm))
    in_plane_mm = [s for n, s in zip(shape, spacing_mm, strict=True) if n > 1]
    return thresholds.lung_at_least_cm2 * 100 / float(np.prod(in_plane_mm))
