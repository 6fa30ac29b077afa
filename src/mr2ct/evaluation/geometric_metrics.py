"""How well structures agree in shape: Dice and the 95th percentile Hausdorff distance, of masks and of label maps.

Empty structures count as in SynthRAD2025's segmentation metrics (github.com/SynthRAD2025/evaluation, which asks MONAI):
what the CT does not have has no value (NaN, left out of means); what only the sCT lacks has Dice 0 and no distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError
from mr2ct.evaluation.surface_distance import Spacing, surface_distances_mm, surface_points_mm

Bool = NDArray[np.bool_]

HD_PERCENTILE = 95


def dice(of_sct: NDArray[Any], of_ct: NDArray[Any]) -> float:
    """Twice the common voxels over the sum of both masks', 0 to 1; any one shape, non-zero inside.

    NaN where `of_ct` is empty, 0 where only `of_sct` is. Source: Dice 1945, doi:10.2307/1932409.

    Raises
    ------
    GeometryError : different shapes.

    Example
    -------
    >>> dice(np.array([1, 1, 0]), np.array([0, 1, 0]))
    0.666666...
    """
    one, other = _same_shape(of_sct, of_ct)
    n_ct = int(np.count_nonzero(other))
    if n_ct == 0:
        return float("nan")
    return 2 * int(np.count_nonzero(one & other)) / (int(np.count_nonzero(one)) + n_ct)


def hd95_mm(of_sct: NDArray[Any], of_ct: NDArray[Any], spacing_mm: Spacing) -> float:
    """95th percentile Hausdorff distance in mm between the surfaces of two masks (i, j, k), non-zero inside.

    The distances of each surface's voxels to the nearest of the other give two 95th percentiles (interpolated); the
    larger counts, as in MONAI. An axis one voxel thick makes no surface. NaN where either mask is empty.

    Raises
    ------
    GeometryError : different shapes.

    Example
    -------
    >>> first, second = np.zeros((2, 9, 9, 9)); first[2:5, 2:5, 2:5] = 1; second[4:7, 2:5, 2:5] = 1
    >>> hd95_mm(first, second, (1.5, 1.0, 1.0))
    3.0
    """
    one, other = _same_shape(of_sct, of_ct)
    one_mm, other_mm = (surface_points_mm(mask, spacing_mm) for mask in (one, other))
    if not (len(one_mm) and len(other_mm)):
        return float("nan")
    there, back = surface_distances_mm(one_mm, other_mm), surface_distances_mm(other_mm, one_mm)
    return float(max(np.percentile(there, HD_PERCENTILE), np.percentile(back, HD_PERCENTILE)))


@dataclass(frozen=True)
class Agreement:
    """Dice (0 to 1) and HD95 (mm) of one structure; NaN where it has no value."""

    dice: float
    hd95_mm: float


def agreement(of_sct: NDArray[Any], of_ct: NDArray[Any], spacing_mm: Spacing) -> Agreement:
    """Both figures for two masks of one shape (i, j, k), counted as `dice` and `hd95_mm` do.

    Example
    -------
    >>> agreement(np.zeros((3, 3, 3)), np.ones((3, 3, 3)), (1.0, 1.0, 1.0))
    Agreement(dice=0.0, hd95_mm=nan)
    """
    return Agreement(dice(of_sct, of_ct), hd95_mm(of_sct, of_ct, spacing_mm))


def label_agreement(labels_sct: NDArray[Any], labels_ct: NDArray[Any], spacing_mm: Spacing) -> dict[int, Agreement]:
    """Dice and HD95 of each label that the CT's label map holds, in ascending order; 0 is background.

    Parameters
    ----------
    labels_sct, labels_ct : (i, j, k), one shape, integers of 0 and up.

    Raises
    ------
    GeometryError : different shapes.

    Example
    -------
    >>> of_ct = np.array([0, 1, 1, 5]).reshape(4, 1, 1)
    >>> label_agreement(np.array([0, 1, 0, 7]).reshape(4, 1, 1), of_ct, (1.0, 1.0, 1.0))
    {1: Agreement(dice=0.666666..., hd95_mm=0.95...), 5: Agreement(dice=0.0, hd95_mm=nan)}
    """
    from scipy.ndimage import find_objects

    _same_shape(labels_sct, labels_ct)
    boxes_sct, boxes_ct = (find_objects(labels.astype(np.int32)) for labels in (labels_sct, labels_ct))
    found = {}
    for label in labels_of(labels_ct):
        box = boxes_ct[label - 1]
        of_sct = boxes_sct[label - 1] if label <= len(boxes_sct) else None
        both = box if of_sct is None else tuple(_hull(*pair) for pair in zip(box, of_sct, strict=True))
        found[label] = agreement(*_cut_out(labels_sct == label, labels_ct == label, both), spacing_mm)
    return found


def labels_of(labels: NDArray[Any]) -> list[int]:
    """The labels a map holds, ascending, without the background, 0.

    Example
    -------
    >>> labels_of(np.array([0, 5, 2, 5]))
    [2, 5]
    """
    return [label for label in np.unique(labels).tolist() if label != 0]


def _cut_out(one: Bool, other: Bool, box: tuple[slice, ...]) -> tuple[Bool, Bool]:
    """Both masks in the box, with a voxel of air around it that keeps thin axes apart from thin structures."""
    room = [(0, 0) if n == 1 else (1, 1) for n in one.shape]
    return np.pad(one[box], room), np.pad(other[box], room)


def _hull(one: slice, other: slice) -> slice:
    return slice(min(one.start, other.start), max(one.stop, other.stop))


def _same_shape(of_sct: NDArray[Any], of_ct: NDArray[Any]) -> tuple[Bool, Bool]:
    if of_sct.shape != of_ct.shape:
        raise GeometryError(
            "structures of different shapes", got=f"{of_sct.shape} and {of_ct.shape}", expected="one grid"
        )
    return np.asarray(of_sct != 0), np.asarray(of_ct != 0)
