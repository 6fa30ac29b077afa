"""Is the anatomy in its place? How far the inner outline of the skull, which holds the brain, moved from CT to sCT.

An unpaired network may draw a convincing CT of a slightly other head. Dice of bone hardly tells that from thin bone
that is missed; the outline of what bone encloses does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.evaluation.image_metrics import voxels_to_compare
from mr2ct.evaluation.surface_distance import Bool, Float64, Spacing, surface, surface_distances_mm
from mr2ct.hounsfield import Tissue, tissue_mask

GAPS_MM = (4.0, 8.0, 14.0, 24.0, 36.0)
"""Widths of gaps in bone that are bridged in turn: sutures and nerves first, the foramen magnum last."""

_AT_LEAST_ML, _AT_LEAST_CM2 = 300.0, 30.0
_SHARE_WALLED = 0.65


@dataclass(frozen=True)
class SkullInside:
    """What bone encloses (i, j, k), its outline, and that part of the outline which lies beside bone."""

    whole: Bool
    outline: Bool
    walled: Bool

    @property
    def share_walled(self) -> float:
        """How much of the outline lies beside bone, 0 to 1."""
        return float(np.count_nonzero(self.walled) / np.count_nonzero(self.outline))


def brain_outline_moved_mm(sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], spacing_mm: Spacing) -> float:
    """Mean distance in mm between the outlines of what the skull encloses, in the sCT and in the CT.

    Inside the mask of both images, gaps in bone are bridged as in `skull_inside`, by that width of `GAPS_MM` at which
    most of the outline lies beside bone (in the image with the less). The rest of the outline, where there was a gap
    or the mask ends, is not compared: each voxel beside bone is, to the other image's nearest outline voxel. The
    mean of both directions is returned.

    Parameters
    ----------
    sct_hu, ct_hu, mask : (i, j, k), one shape; HU, HU, non-zero inside. An axis one voxel thick takes no part.

    Returns
    -------
    NaN where either image has no inside of a skull: slices that miss the brain, or a skull drawn with wide holes.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> x, y = np.mgrid[-49:50, -49:50]; r = np.hypot(x, y)[..., None]
    >>> ct = np.where(r < 40, 35, np.where(r < 46, 900, -1000)); thinner = np.where((r >= 40) & (r < 42), 35, ct)
    >>> brain_outline_moved_mm(thinner, ct, np.ones(ct.shape), (1.0, 1.0, 1.0))
    2.0
    """
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    best: tuple[SkullInside, SkullInside] | None = None
    share = 0.0
    for gap_mm in GAPS_MM:
        of_sct, of_ct = (skull_inside(hu, inside, spacing_mm, gap_mm=gap_mm) for hu in (sct_hu, ct_hu))
        if of_sct is None or of_ct is None:
            continue
        own = min(of_sct.share_walled, of_ct.share_walled)
        if own > share:
            best, share = (of_sct, of_ct), own
    return float("nan") if best is None else _mean_distance_mm(*best, spacing_mm)


def skull_inside(hu: NDArray[Any], inside: Bool, spacing_mm: Spacing, *, gap_mm: float) -> SkullInside | None:
    """What bone encloses in one image (HU, (i, j, k)) where gaps in bone up to `gap_mm` wide are bridged.

    Soft tissue in which a ball of that width has no room is taken away, so that the rest falls into parts; the largest
    with bone beside 65 % of its outline is the inside of the skull, its holes (calcifications) filled. None where
    that is smaller than 30 cm2 (300 ml in a volume), or there is none.

    Example
    -------
    >>> skull_inside(np.zeros((80, 80, 1)), np.ones((80, 80, 1), dtype=bool), (1.0, 1.0, 1.0), gap_mm=4) is None
    True
    """
    from scipy import ndimage

    from mr2ct.preprocessing.morphology import depth_mm, dilated

    soft = inside & tissue_mask(hu, Tissue.SOFT_TISSUE)
    beside_bone = ndimage.binary_dilation(inside & tissue_mask(hu, Tissue.BONE), np.ones((3, 3, 3), dtype=bool))
    parts, _ = ndimage.label(depth_mm(soft, spacing_mm) > gap_mm / 2)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    at_least = _fewest_voxels(hu.shape, spacing_mm)
    for part in np.argsort(sizes)[::-1]:
        if not sizes[part]:
            break
        whole = _filled(dilated(parts == part, spacing_mm, gap_mm / 2) & soft)
        if np.count_nonzero(whole) < at_least:
            break
        outline = surface(whole)
        found = SkullInside(whole, outline, outline & beside_bone)
        if found.share_walled >= _SHARE_WALLED:
            return found
    return None


def _fewest_voxels(shape: tuple[int, ...], spacing_mm: Spacing) -> float:
    in_plane_mm = [s for n, s in zip(shape, spacing_mm, strict=True) if n > 1]
    least_mm = _AT_LEAST_ML * 1000 if len(in_plane_mm) == len(shape) else _AT_LEAST_CM2 * 100
    return least_mm / float(np.prod(in_plane_mm))


def _filled(mask: Bool) -> Bool:
    from scipy import ndimage

    # along an axis one voxel thick every hole would be open
    return np.asarray(ndimage.binary_fill_holes(mask.squeeze())).reshape(mask.shape)


def _mean_distance_mm(of_sct: SkullInside, of_ct: SkullInside, spacing_mm: Spacing) -> float:
    there, back = (
        surface_distances_mm(_points_mm(own.walled, spacing_mm), _points_mm(other.outline, spacing_mm))
        for own, other in ((of_sct, of_ct), (of_ct, of_sct))
    )
    return float((there.mean() + back.mean()) / 2)


def _points_mm(voxels: Bool, spacing_mm: Spacing) -> Float64:
    return np.asarray(np.argwhere(voxels) * np.asarray(spacing_mm), dtype=np.float64)
