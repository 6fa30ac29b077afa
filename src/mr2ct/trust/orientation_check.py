"""Whether an image lies the way its header says: learnt from slices that do, against the same slices turned about.

A wrong label does not change how an image looks, only where its axes are said to lead. So every way of turning the
axes is tried, and the one that looks most like a head is taken for the true one. Left and right cannot be told apart:
heads are too symmetric for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.geometry import PLANE_AXIS
from mr2ct.trust.stored_arrays import array_from_json, array_to_json

Float = NDArray[np.float32]
_AXES = ("left-right", "front-back", "head-foot")


@dataclass(frozen=True)
class Pose:
    """How axes may truly lead: anatomical axis n is the labelled axis `axes[n]`, turned round where `flipped[n]`.

    Example
    -------
    >>> Pose((0, 1, 2), (False, False, True)).words
    'upside-down'
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @property
    def words(self) -> str:
        """What is wrong with the labels if this is the truth."""
        if self.axes != (0, 1, 2):
            swapped = [_AXES[n] for n in range(3) if self.axes[n] != n]
            return f"with the axes {' and '.join(swapped)} exchanged"
        said = [words for words, wrong in zip(("", "front to back", "upside-down"), self.flipped, strict=True) if wrong]
        return " and ".join(word for word in said if word) or "as labelled"


ALL_POSES = tuple(
    Pose((a[0], a[1], a[2]), (f[0], f[1], f[2]))
    for a in permutations(range(3))
    for f in product((False, True), repeat=3)
)


@dataclass(frozen=True)
class OrientationRule:
    """Linear scores of a square picture, one a plane: how much it looks like an upright slice of that plane.

    Parameters
    ----------
    weights : by plane, (3 * 20 * 20,). offsets : by plane.
    """

    weights: Mapping[str, Float]
    offsets: Mapping[str, float]

    def best_poses(self, pictures: Mapping[str, Float]) -> tuple[Pose, float]:
        """The likeliest pose that is not the labelled one, and by how much the labelled pose is likelier than it.

        Parameters
        ----------
        pictures : by labelled plane, (3, 20, 20); one for a single slice.
        """
        scores: dict[tuple[Any, ...], tuple[float, Pose]] = {}
        for pose in ALL_POSES:
            seen = _seen(pose, pictures)
            scores.setdefault(seen, (self._score(seen, pictures), pose))
        right = {_seen(pose, pictures) for pose in ALL_POSES if pose.axes == (0, 1, 2) and not any(pose.flipped[1:])}
        labelled = max(scores[seen][0] for seen in right)
        best, pose = max((scores[seen] for seen in scores if seen not in right), key=lambda found: found[0])
        return pose, labelled - best

    def _score(self, seen: tuple[Any, ...], pictures: Mapping[str, Float]) -> float:
        values = [
            float(self.weights[plane] @ _turned(pictures[source], turn).ravel()) + self.offsets[plane]
            for plane, source, turn in seen
        ]
        return float(np.mean(values))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {p: {"weights": array_to_json(w), "offset": self.offsets[p]} for p, w in self.weights.items()}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> OrientationRule:
        """The inverse of `to_json`."""
        weights = {plane: array_from_json(part["weights"]) for plane, part in said.items()}
        return cls(weights, {plane: float(part["offset"]) for plane, part in said.items()})


Turn = tuple[bool, bool, bool]
"""Whether the two axes of a slice are exchanged, and whether each of the resulting two is then reversed."""


def _turned(picture: Float, turn: Turn) -> Float:
    swapped, first, second = turn
    turned = picture.swapaxes(1, 2) if swapped else picture
    return turned[:, :: -1 if first else 1, :: -1 if second else 1]


def _seen(pose: Pose, pictures: Mapping[str, Float]) -> tuple[tuple[str, str, Turn], ...]:
    """Which true plane each labelled slice would be under a pose, and how it would have to be turned."""
    seen = []
    for plane, axis in PLANE_AXIS.items():
        source = next(name for name, labelled in PLANE_AXIS.items() if labelled == pose.axes[axis])
        if source in pictures:
            first, second = (n for n in range(3) if n != axis)
            swapped = pose.axes[first] > pose.axes[second]
            seen.append((plane, source, (swapped, pose.flipped[first], pose.flipped[second])))
    return tuple(seen)


def learn_orientation(
    pictures: Mapping[str, Sequence[Float]], *, seed: int = 0, ridge: float = 0.02
) -> OrientationRule:
    """Ridge regression of "upright slice of this plane" against all other turns and planes.

    Parameters
    ----------
    pictures : by plane, square pictures (3, 20, 20) of slices that lie as they should. Each is also shown darker,
        inverted in brightness, or cut at a side, so that pose is told from shape and edges more than from contrast.
    ridge : as a share of the mean eigenvalue.

    Example
    -------
    >>> learn_orientation({"axial": slices}).best_poses({"axial": slices[0]})  # doctest: +SKIP
    (Pose(...), 0.9)
    """
    generator = np.random.default_rng(seed)
    turns: list[Turn] = [(a, b, c) for a, b, c in product((False, True), repeat=3)]
    rows, labels = [], []
    for plane, ones in pictures.items():
        mirrored_too = {(False, True, False)} if plane != "sagittal" else set()
        for one in ones:
            for picture in (one, _varied(one, generator), _varied(one, generator)):
                for turn in turns:
                    rows.append(_turned(picture, turn).ravel())
                    labels.append(plane if turn in {(False, False, False), *mirrored_too} else "")
    matrix = np.asarray(rows, dtype=np.float32)
    said = np.asarray(labels)
    mean = matrix.mean(axis=0)
    matrix -= mean
    gram = matrix.T @ matrix
    gram[np.diag_indices_from(gram)] += ridge * len(matrix) * float(np.trace(gram)) / gram.shape[0] / len(matrix)
    weights, offsets = {}, {}
    for plane in pictures:
        wanted = (said == plane).astype(np.float32)
        weights[plane] = np.linalg.solve(gram, matrix.T @ (wanted - wanted.mean())).astype(np.float32)
        offsets[plane] = float(wanted.mean() - mean @ weights[plane])
    return OrientationRule(weights, offsets)


def _varied(picture: Float, generator: np.random.Generator) -> Float:
    """The head nodding, tilted or smaller, in another contrast, and perhaps with a side cut off."""
    bright, outline, edges = _tilted(picture, generator)
    kind = generator.integers(3)
    if kind == 0:
        bright = bright ** np.float32(generator.uniform(0.5, 1.8))
    elif kind == 1:
        bright = outline * np.clip(np.float32(generator.uniform(0.8, 1.2)) - bright, 0, 1.5)
    varied = np.stack([bright, outline, edges * np.float32(generator.uniform(0.6, 1.5))])
    if generator.random() < 0.4:
        cut = int(generator.integers(2, 6))
        side = np.moveaxis(varied, int(generator.integers(1, 3)), 0)
        side[slice(-cut, None) if generator.random() < 0.5 else slice(None, cut)] = 0
    return np.ascontiguousarray(varied, dtype=np.float32)


def _tilted(picture: Float, generator: np.random.Generator) -> Float:
    """Turned by up to 15 degrees, scaled by up to 12 %, shifted by up to a pixel and a half."""
    from scipy import ndimage

    angle, scale = np.deg2rad(generator.uniform(-15, 15)), generator.uniform(0.88, 1.12)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    centre = (np.array(picture.shape[1:]) - 1) / 2
    offset = centre - matrix @ centre + generator.uniform(-1.5, 1.5, 2)
    return np.stack([ndimage.affine_transform(channel, matrix, offset, order=1) for channel in picture])
