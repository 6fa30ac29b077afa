"""How far is a CT from where it should lie on its MR? A shift and a rotation, found by laying edges on edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.trust.pair_edges import EdgeTensors, agreement_by_shift, peak
from mr2ct.trust.pair_images import Floats, PairImages

REACH_MM = 20.0

_TURNS_DEGREES = (-8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0)
_POINTS = {2: 4000, 3: 8000}
_RADIUS_MM = 80.0
_BLUR_3D = 0.8

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Where the CT lies relative to the MR.

    Parameters
    ----------
    shift_mm : (2 or 3,) along the array's axes, of the body's centre. turn : (2 or 3, 2 or 3), a rotation about it.
    centre : (2 or 3,) of the body, in pixels. agreement : of the edges there, as `EdgeTensors.agreement`;
        unturned_agreement : at the best shift without a rotation.
    displacement_mm : how far the points of the body are from their place, averaged.
    """

    shift_mm: Float64
    turn: Float64
    centre: Float64
    agreement: float
    unturned_agreement: float
    displacement_mm: float

    @property
    def rotation_degrees(self) -> float:
        """The angle of the rotation, 0 or more."""
        n = len(self.shift_mm)
        cosine = self.turn[0, 0] if n == 2 else (np.trace(self.turn) - 1) / 2
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def find_pose(pair: PairImages, tensors: EdgeTensors) -> Pose:
    """The pose at which edges agree best: the best of all shifts within 20 mm, then of small turns, then both refined.

    Example
    -------
    >>> find_pose(pair, edge_tensors(pair)).displacement_mm  # doctest: +SKIP
    0.4
    """
    from scipy import optimize

    start = best_shift(tensors, reach=round(REACH_MM / pair.spacing_mm)) * pair.spacing_mm
    body = np.argwhere(pair.mr_body)
    seen = _Edges(tensors, pair.spacing_mm, body.mean(axis=0))
    n_turns = 1 if pair.mr.ndim == 2 else 3
    tried = [np.concatenate([start, np.zeros(n_turns)])]
    for axis in range(n_turns):
        for degrees in _TURNS_DEGREES:
            tried.append(tried[0].copy())
            tried[-1][pair.mr.ndim + axis] = np.radians(degrees) * _RADIUS_MM
    best = max(tried, key=seen.agreement)
    # scipy's stubs ask for more than scipy does
    minimise: Any = optimize.minimize
    found = minimise(
        lambda pose: -seen.agreement(pose), best, method="Powell", options={"xtol": 0.05, "ftol": 1e-4, "maxiter": 6}
    )
    pose = found.x if -found.fun > seen.agreement(tried[0]) else tried[0]
    shift, turn = pose[: pair.mr.ndim], rotation(pose[pair.mr.ndim :] / _RADIUS_MM)
    some = (body[:: max(1, len(body) // 5000)] - seen.centre) * pair.spacing_mm
    moved = some @ turn.T + shift - some
    unturned = seen.agreement(tried[0])
    return Pose(shift, turn, seen.centre, seen.agreement(pose), unturned, float(np.linalg.norm(moved, axis=1).mean()))


def best_shift(tensors: EdgeTensors, *, reach: int) -> Float64:
    """The shift in pixels, at most `reach` along each axis, at which edges agree best."""
    padded = [np.pad(array, reach) for array in tensors.ct]
    weights = [tensors.weight(n) for n in range(len(tensors.pairs))]
    return peak(agreement_by_shift(tensors.mr, padded, weights, reach=reach))[0]


def rotation(angles: Float64) -> Float64:
    """A rotation matrix: (2, 2) of one angle, (3, 3) of a rotation vector (Rodrigues), in radians.

    Example
    -------
    >>> rotation(np.array([np.pi / 2])).round(3).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    if len(angles) == 1:
        c, s = np.cos(angles[0]), np.sin(angles[0])
        return np.array([[c, -s], [s, c]])
    angle = float(np.linalg.norm(angles))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = angles / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def in_place(pair: PairImages, pose: Pose) -> PairImages:
    """The pair with the CT moved to its place; where nothing came from inside the CT, its border's values go on.

    Example
    -------
    >>> in_place(pair, find_pose(pair, edge_tensors(pair))).ct.shape == pair.ct.shape  # doctest: +SKIP
    True
    """
    if pose.displacement_mm < pair.spacing_mm / 2:
        return pair
    body = _moved(pair.ct_body.astype(np.float32), pose, pair.spacing_mm) > 0.5
    return replace(pair, ct=_moved(pair.ct, pose, pair.spacing_mm), ct_body=body)


def _moved(image: Floats, pose: Pose, spacing_mm: float) -> Floats:
    from scipy import ndimage

    offset = pose.centre - pose.turn @ pose.centre + pose.shift_mm / spacing_mm
    return np.asarray(ndimage.affine_transform(image, pose.turn, offset=offset, order=1, mode="nearest"))


class _Edges:
    """The strongest edges of the MR as points, and the CT's tensors to look them up in."""

    def __init__(self, tensors: EdgeTensors, spacing_mm: float, centre: Float64) -> None:
        from scipy import ndimage

        edges = np.argwhere(tensors.energy > 0.3)
        edges = edges if len(edges) else np.argwhere(tensors.energy > 0)
        points = edges[:: max(1, len(edges) // _POINTS[tensors.energy.ndim])]
        at = tuple(points.T)
        self.centre, self._spacing_mm, self._tensors = centre, spacing_mm, tensors
        self._points_mm = (points - centre) * spacing_mm
        n = tensors.energy.ndim
        self._products = np.zeros((len(points), n, n))
        for (a, b), array in zip(tensors.pairs, tensors.mr, strict=True):
            self._products[:, a, b] = self._products[:, b, a] = array[at]
        self._energy = max(float(tensors.energy[at].sum()), 1e-6)
        # interpolation blurs between voxels, so whole-voxel shifts would win; at 2 mm that is too coarse an answer
        blur = _BLUR_3D if n == 3 else 0.0
        self._ct = [ndimage.gaussian_filter(array, blur) if blur else array for array in tensors.ct]

    def agreement(self, pose: Any) -> float:
        from scipy import ndimage

        n = self._tensors.energy.ndim
        turn = rotation(np.asarray(pose[n:]) / _RADIUS_MM)
        where = (self._points_mm @ turn.T + pose[:n]) / self._spacing_mm + self.centre
        turned = turn @ self._products @ turn.T
        total = 0.0
        for number, ((a, b), array) in enumerate(zip(self._tensors.pairs, self._ct, strict=True)):
            found = ndimage.map_coordinates(array, where.T, order=1, mode="constant", cval=0.0)
            total += self._tensors.weight(number) * float((turned[:, a, b] * found).sum())
        return total / self._energy
