"""How well does a CT lie on its MR? Pose, agreement of edges, mutual information, outlines, and a map of shifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.preprocessing.morphology import Bool, dilated, eroded
from mr2ct.trust.pair_edges import EdgeTensors, agreement_by_shift, edge_tensors, peak
from mr2ct.trust.pair_images import PairImages
from mr2ct.trust.pair_local_shift import LocalShifts, local_shifts
from mr2ct.trust.pair_pose import REACH_MM, Pose, find_pose, in_place

_BINS = 24
_HU_RANGE = (-1000.0, 1000.0)
_RIM_MM = 8.0


@dataclass(frozen=True)
class RegistrationQuality:
    """The registration of one pair in numbers.

    Parameters
    ----------
    pose : where the CT lies. local : the map of shifts. edge_agreement : as the images lie; `pose.agreement` at best.
    mutual_information : in nats, within 8 mm of the MR's body, as the images lie; `mutual_information_in_place` with
        the CT brought to its place. outline_mm : the median distance from the MR's outline to the CT's, as they lie;
        NaN where the CT has no body. outline_in_place_mm : with the CT brought to its place.
    mirrored_gain : the best agreement with the CT turned round along one axis, relative to the best as it is;
        `mirrored_axis` says along which of the array's axes.
    """

    pose: Pose
    local: LocalShifts
    edge_agreement: float
    mutual_information: float
    mutual_information_in_place: float
    outline_mm: float
    outline_in_place_mm: float
    mirrored_gain: float
    mirrored_axis: int


def registration_quality(pair: PairImages) -> RegistrationQuality:
    """Measure the registration of a pair.

    Example
    -------
    >>> registration_quality(pair_images(mr, ct)).pose.displacement_mm  # doctest: +SKIP
    0.6
    """
    tensors = edge_tensors(pair)
    pose = find_pose(pair, tensors)
    placed = in_place(pair, pose)
    gain, axis = _mirrored(pair, tensors)
    # a turned CT is compared as it agrees when it is turned back
    gain *= min(pose.unturned_agreement / max(pose.agreement, 1e-6), 1.0)
    return RegistrationQuality(
        pose=pose,
        local=local_shifts(pair, tensors, pose),
        edge_agreement=tensors.agreement(),
        mutual_information=mutual_information(pair),
        mutual_information_in_place=mutual_information(placed),
        outline_mm=outline_distance_mm(pair),
        outline_in_place_mm=outline_distance_mm(placed),
        mirrored_gain=gain,
        mirrored_axis=axis,
    )


def mutual_information(pair: PairImages) -> float:
    """Mutual information in nats of 24 x 24 grey levels within 8 mm of the MR's body (Viola and Wells, IJCV 24, 1997).

    MR between its 0.5th and 99.5th percentile there, CT between -1000 and 1000 HU.

    Example
    -------
    >>> mutual_information(pair)  # doctest: +SKIP
    0.42
    """
    near = _near_body(pair)
    mr, ct = pair.mr[near], pair.ct[near]
    low, high = (float(v) for v in np.percentile(mr, [0.5, 99.5]))
    levels = [_levels(mr, low, max(high, low + 1e-6)), _levels(ct, *_HU_RANGE)]
    joint = np.bincount(levels[0] * _BINS + levels[1], minlength=_BINS**2).reshape(_BINS, _BINS) / max(mr.size, 1)
    return float(_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint.ravel()))


def _near_body(pair: PairImages) -> Bool:
    wide = dilated(np.atleast_3d(pair.mr_body), (pair.spacing_mm,) * 3, _RIM_MM)
    return wide.reshape(pair.mr.shape)


def _levels(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.int64]:
    return np.asarray(np.clip((values - low) / (high - low) * _BINS, 0, _BINS - 1), dtype=np.int64)


def _entropy(shares: NDArray[np.floating]) -> float:
    some = shares[shares > 0]
    return -float((some * np.log(some)).sum())


def outline_distance_mm(pair: PairImages) -> float:
    """The median distance from the MR's outline to the nearest point of the CT's; the image's border is no outline.

    Example
    -------
    >>> outline_distance_mm(pair)  # doctest: +SKIP
    0.8
    """
    from scipy import ndimage

    of_mr, of_ct = _outline(pair.mr_body), _outline(pair.ct_body)
    if not of_mr.any() or not of_ct.any():
        return float("nan")
    return float(np.median(ndimage.distance_transform_edt(~of_ct)[of_mr])) * pair.spacing_mm


def _outline(body: Bool) -> Bool:
    """Pixels of the body that touch what is not body; beyond the image lies neither."""
    return body & ~eroded(np.atleast_3d(body), (1.0, 1.0, 1.0), 1.0).reshape(body.shape)


def _mirrored(pair: PairImages, tensors: EdgeTensors) -> tuple[float, int]:
    """The best agreement with the CT turned round along one axis, relative to that without, and which axis it was."""
    reach = round(REACH_MM / pair.spacing_mm)
    weights = [tensors.weight(n) for n in range(len(tensors.pairs))]
    heights = []
    for axis in (None, *range(pair.mr.ndim)):
        turned = tensors.ct if axis is None else _turned_round(pair, tensors, axis)
        padded = [np.pad(array, reach) for array in turned]
        heights.append(peak(agreement_by_shift(tensors.mr, padded, weights, reach=reach))[1])
    best = int(np.argmax(heights[1:]))
    return heights[1 + best] / max(heights[0], 1e-6), best


def _turned_round(pair: PairImages, tensors: EdgeTensors, axis: int) -> list[NDArray[np.float32]]:
    """The CT's tensors mirrored about the middle of the MR's body."""
    within = np.flatnonzero(pair.mr_body.any(axis=tuple(a for a in range(pair.mr.ndim) if a != axis)))
    shift = int(within[0] + within[-1]) - (pair.mr.shape[axis] - 1)
    mirrored = []
    for (a, b), array in zip(tensors.pairs, tensors.ct, strict=True):
        sign = -1.0 if (a == axis) != (b == axis) else 1.0
        mirrored.append(_moved(np.flip(array, axis), shift, axis) * np.float32(sign))
    return mirrored


def _moved(array: NDArray[np.float32], shift: int, axis: int) -> NDArray[np.float32]:
    moved = np.zeros_like(array)
    n = array.shape[axis]
    into, of = [slice(None)] * array.ndim, [slice(None)] * array.ndim
    into[axis], of[axis] = slice(max(shift, 0), n + min(shift, 0)), slice(max(-shift, 0), n + min(-shift, 0))
    moved[tuple(into)] = array[tuple(of)]
    return moved
