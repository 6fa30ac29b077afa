"""What the training images of a model look like, in numbers small enough for `bundle.json`.

Three kinds of score say how an image differs. *Aspects* (outline, contrast, detail, ...) are Mahalanobis distances
from the training slices, with the covariance shrunk towards its diagonal (Ledoit & Wolf, J Multivariate Anal 88, 2004;
here by a fixed share). *Faults* are Fisher's linear discriminants between sound training slices and the same ones made
wrong in a known way; they name what is wrong. *Orientation* is `trust.orientation_check`. Every score is put on one
scale by what patients score that it was not learnt from: 0 is the median, 1 the 95th percentile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import BundleError
from mr2ct.trust.orientation_check import OrientationRule
from mr2ct.trust.slice_features import slice_features
from mr2ct.trust.slice_picture import aligned_picture
from mr2ct.trust.slice_view import SliceView
from mr2ct.trust.stored_arrays import array_from_json, array_to_json

FORMAT_VERSION = 1
FURTHEST = 8.0
"""Standard deviations that one feature may count for, so that a single one does not drown the others."""

APPEARANCE_BEYOND = 5
"""Numbers of a picture's appearance after those along its components."""

_PER_LOG = 4.0
"""Brings the logarithm of a distance to a spread of about 1, like the features'."""

Float = NDArray[np.float32]


@dataclass(frozen=True)
class PlaneReference:
    """Training slices of one plane: mean and spread of features, and of pictures with their principal components."""

    mean: Float
    deviation: Float
    picture_mean: Float
    picture_deviation: Float
    components: Float

    def standardised(self, features: Float, picture: Float) -> Float:
        """(features + appearance,) in training's standard deviations, within ±8."""
        described = np.concatenate([features, self.appearance(picture)])
        return np.asarray(np.clip((described - self.mean) / self.deviation, -FURTHEST, FURTHEST), dtype=np.float32)

    def appearance(self, picture: Float) -> Float:
        """How a picture lies among training's: along their components, beyond these, and at its worst pixels."""
        apart = (picture - self.picture_mean) / self.picture_deviation
        along = self.components @ apart
        beyond = apart - along @ self.components
        extremes = np.quantile(apart, [0.01, 0.1, 0.9, 0.99])
        return np.asarray([*along, np.log(np.sqrt((beyond**2).mean()) + 1e-3), *extremes], dtype=np.float32)


@dataclass(frozen=True)
class InputReference:
    """What a model was trained on, ready to be compared with.

    Parameters
    ----------
    feature_names : of `slice_features`, in the order of the vectors.
    planes : by plane. aspects : by name, which of the standardised numbers, and their precision matrix.
    faults : by kind, (numbers,) weights of the discriminant from sound images. causes : by kind, weights and offset of
        the discriminant between faults, which names the likeliest. scale : by score, its median and 95th percentile.
    levels : "warn" and "refuse" for a single slice, "warn_volume" and "refuse_volume" for three planes.
    axial_depth_mm, height_mm : see `slice_views`. orientation : the rule, and "margins" below which it speaks.
    """

    feature_names: tuple[str, ...]
    planes: Mapping[str, PlaneReference]
    aspects: Mapping[str, tuple[NDArray[np.intp], Float]]
    faults: Mapping[str, Float]
    causes: Mapping[str, tuple[Float, float]]
    scale: Mapping[str, tuple[float, float]]
    levels: Mapping[str, float]
    axial_depth_mm: float
    height_mm: float
    orientation: OrientationRule

    def compared(self, view: SliceView) -> tuple[dict[str, float], dict[str, float]]:
        """Every score of a slice on the common scale, and how well each fault would explain it (more is better).

        Raises
        ------
        BundleError : a plane that training has not.
        """
        if view.plane not in self.planes:
            raise BundleError("the model's reference lacks a plane", got=view.plane, expected=", ".join(self.planes))
        found = slice_features(view)
        vector = np.array([found[name] for name in self.feature_names], dtype=np.float32)
        standardised = self.planes[view.plane].standardised(vector, aligned_picture(view))
        raw = raw_scores(standardised, self.aspects, self.faults)
        extended = with_distances(standardised, aspect_distances(standardised, self.aspects))
        likely = {kind: float(weights @ extended) + offset for kind, (weights, offset) in self.causes.items()}
        return {name: scaled(value, self.scale[name]) for name, value in raw.items()}, likely

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for `BundleDescription.input_reference`."""
        return {
            "format_version": FORMAT_VERSION,
            "feature_names": list(self.feature_names),
            "planes": {
                name: {key: array_to_json(value) for key, value in vars(plane).items()}
                for name, plane in self.planes.items()
            },
            "aspects": {
                name: {"index": array_to_json(index), "precision": array_to_json(precision)}
                for name, (index, precision) in self.aspects.items()
            },
            "faults": {kind: array_to_json(weights) for kind, weights in self.faults.items()},
            "causes": {
                kind: {"weights": array_to_json(weights), "offset": offset}
                for kind, (weights, offset) in self.causes.items()
            },
            "scale": {name: list(ends) for name, ends in self.scale.items()},
            "levels": dict(self.levels),
            "axial_depth_mm": self.axial_depth_mm,
            "height_mm": self.height_mm,
            "orientation": self.orientation.to_json(),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> InputReference:
        """The inverse of `to_json`.

        Raises
        ------
        BundleError : another format, or a part that is missing.

        Example
        -------
        >>> InputReference.from_json({"format_version": 0})
        Traceback (most recent call last):
        mr2ct.errors.BundleError: the model's input reference has another format; got 0; expected 1; ...
        """
        if said.get("format_version") != FORMAT_VERSION:
            raise BundleError(
                "the model's input reference has another format",
                got=said.get("format_version"),
                expected=FORMAT_VERSION,
                remedy="upgrade mr2ct, or learn it anew",
            )
        try:
            return cls(
                feature_names=tuple(said["feature_names"]),
                planes={name: _plane_from(part) for name, part in said["planes"].items()},
                aspects={
                    name: (array_from_json(part["index"]).astype(np.intp), array_from_json(part["precision"]))
                    for name, part in said["aspects"].items()
                },
                faults={kind: array_from_json(weights) for kind, weights in said["faults"].items()},
                causes={
                    kind: (array_from_json(part["weights"]), float(part["offset"]))
                    for kind, part in said["causes"].items()
                },
                scale={name: (float(low), float(high)) for name, (low, high) in said["scale"].items()},
                levels={name: float(level) for name, level in said["levels"].items()},
                axial_depth_mm=float(said["axial_depth_mm"]),
                height_mm=float(said["height_mm"]),
                orientation=OrientationRule.from_json(said["orientation"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError("the model's input reference is incomplete", got=repr(error)) from error


def raw_scores(
    standardised: Float, aspects: Mapping[str, tuple[NDArray[np.intp], Float]], faults: Mapping[str, Float]
) -> dict[str, float]:
    """Distances by aspect and discriminants by fault, on scales of their own.

    Example
    -------
    >>> raw_scores(np.float32([1, 7]), {"detail": (np.array([0, 1]), np.eye(2))}, {"noise": np.float32([1, 0, 0])})
    {'detail': 5.0, 'noise': 1.0}
    """
    distances = aspect_distances(standardised, aspects)
    extended = with_distances(standardised, distances)
    return distances | {kind: float(weights @ extended) for kind, weights in faults.items()}


def aspect_distances(standardised: Float, aspects: Mapping[str, tuple[NDArray[np.intp], Float]]) -> dict[str, float]:
    """Mahalanobis distance by aspect, divided by the root of its number of features: about 1 for sound images."""
    squared = {
        name: float(standardised[i] @ inverse @ standardised[i]) / len(i) for name, (i, inverse) in aspects.items()
    }
    return {name: max(value, 0.0) ** 0.5 for name, value in squared.items()}


def with_distances(standardised: Float, distances: Mapping[str, float]) -> Float:
    """The numbers that faults are told by: features, which say in which direction, and distances, which say how far."""
    far = [_PER_LOG * np.log(value + 0.05) for value in distances.values()]
    return np.concatenate([standardised, np.clip(far, -FURTHEST, FURTHEST)]).astype(np.float32)


def scaled(value: float, ends: tuple[float, float]) -> float:
    """0 at the lower end, 1 at the upper."""
    return (value - ends[0]) / max(ends[1] - ends[0], 1e-6)


def joined(slices: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The scores of neighbouring slices of one plane as one: the median of each.

    Example
    -------
    >>> joined([{"noise": 0.0}, {"noise": 0.5}, {"noise": 9.0}])
    {'noise': 0.5}
    """
    return {name: float(np.median([scores[name] for scores in slices])) for name in slices[0]}


def _plane_from(said: Mapping[str, Any]) -> PlaneReference:
    return PlaneReference(**{key: array_from_json(value) for key, value in said.items()})
