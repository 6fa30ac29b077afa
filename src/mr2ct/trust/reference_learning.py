"""Learn an input reference: describe training slices, make copies of them wrong, set levels by cross-validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError, Mr2ctError
from mr2ct.geometry import PLANE_AXIS, voxel_to_world
from mr2ct.preprocessing.orientation import to_canonical
from mr2ct.preprocessing.pipeline import Pipeline, Prepared
from mr2ct.trust.faults import FAULTS, made_wrong, scanner_noise
from mr2ct.trust.input_reference import (
    APPEARANCE_BEYOND,
    InputReference,
    PlaneReference,
    aspect_distances,
    raw_scores,
    scaled,
    with_distances,
)
from mr2ct.trust.orientation_check import OrientationRule, learn_orientation
from mr2ct.trust.slice_features import ASPECTS, slice_features
from mr2ct.trust.slice_picture import aligned_picture, square_picture
from mr2ct.trust.slice_view import SliceView, single_plane, slice_views
from mr2ct.volume import Quantity, Volume

Float = NDArray[np.float32]

WARNED_SHARE = 0.07
"""Of sound training slices, and of sound patients with three planes, that the levels let be warned about."""

_FOLDS = 5
_COMPONENTS = 12
_SHRINKAGE = 0.15
_REFUSE_FACTOR = 3.0
_LEAST = 0.02
_LEAST_OF_BACKGROUND = 0.15
"""Backgrounds that were set to zero in the training files vary less than those that scanners deliver."""
CT = "ct"


@dataclass(frozen=True)
class Described:
    """One slice in numbers: whose it is, its plane, what is wrong with it ("" for nothing), and its features."""

    patient: str
    plane: str
    fault: str
    features: Float
    aligned: Float
    square: Float


@dataclass(frozen=True)
class TrainingSlice:
    """A single-slice MR of a patient, its CT if there is one, on one grid."""

    patient: str
    mr: Volume
    ct: Volume | None = None


def learn_reference(
    slices: Iterable[TrainingSlice], preprocessing: Mapping[str, Any], *, seed: int = 0, faults_a_slice: int = 5
) -> dict[str, Any]:
    """Learn `BundleDescription.input_reference` from single training slices of three planes.

    Each slice counts as it is and with a scanner's ordinary noise: training files often have backgrounds set to zero.

    Parameters
    ----------
    slices : one voxel thick; never of a patient that anything is measured on.
    preprocessing : the bundle's record. seed : of the faults. faults_a_slice : how many kinds each slice is shown with.

    Raises
    ------
    DataSetError : fewer than 10 slices of a plane, or a whole volume.

    Example
    -------
    >>> learn_reference(slices, description.preprocessing)["format_version"]  # doctest: +SKIP
    1
    """
    pipeline, generator = Pipeline.from_record(preprocessing), np.random.default_rng(seed)
    described: list[Described] = []
    tops: dict[str, dict[str, tuple[float, float]]] = {}
    for one in slices:
        prepared = pipeline.apply(to_canonical(one.mr))
        view = _only_view(prepared)
        described.append(_described(view, one.patient, ""))
        tops.setdefault(one.patient, {})[view.plane] = _top_and_height(prepared)
        grainy = scanner_noise(to_canonical(one.mr), pipeline_outline(to_canonical(one.mr), prepared), generator)
        described.append(_described(_only_view(pipeline.apply(grainy)), one.patient, ""))
        described += _described_faults(one, prepared, pipeline, generator, faults_a_slice)
    return reference_from(described, *_usual_window(tops)).to_json()


def reference_from(described: Sequence[Described], axial_depth_mm: float, height_mm: float) -> InputReference:
    """Fit everything on all slices, and the scale and levels on patients held out in turn."""
    _require_enough(described)
    described = _without_rare_faults(described)
    patients = sorted({one.patient for one in described})
    held_out: list[_HeldOut] = []
    for fold in range(_FOLDS):
        ours = set(patients[fold::_FOLDS])
        fitted = _fitted([one for one in described if one.patient not in ours])
        for one in described:
            if one.patient in ours and not one.fault:
                standardised = fitted.planes[one.plane].standardised(one.features, one.aligned)
                raw = raw_scores(standardised, fitted.aspects, fitted.faults)
                held_out.append(_HeldOut(one.patient, raw, fitted.orientation.best_poses({one.plane: one.square})[1]))
    scale = _scale([one.raw for one in held_out])
    levels = _levels(held_out, scale)
    fitted = _fitted(described)
    return InputReference(
        feature_names=feature_names(),
        planes=fitted.planes,
        aspects=fitted.aspects,
        faults=fitted.faults,
        causes=fitted.causes,
        scale=scale,
        levels=levels,
        axial_depth_mm=axial_depth_mm,
        height_mm=height_mm,
        orientation=fitted.orientation,
    )


def feature_names() -> tuple[str, ...]:
    """The names of `slice_features`, in the order of the stored vectors."""
    disc = np.hypot(*np.mgrid[-30:31, -40:41]) < 25
    return tuple(slice_features(SliceView("axial", disc.astype(np.float32) / 2, disc, (1.0, 1.0))))


def _described(view: SliceView, patient: str, fault: str) -> Described:
    features = np.array(list(slice_features(view).values()), dtype=np.float32)
    return Described(patient, view.plane, fault, features, aligned_picture(view), square_picture(view))


def _only_view(prepared: Prepared) -> SliceView:
    if single_plane(prepared.mr.geometry.shape) is None:
        raise DataSetError("not a single slice", got=f"shape {prepared.mr.geometry.shape}", expected="one voxel thick")
    (views,) = slice_views(prepared, axial_depth_mm=0, height_mm=0).values()
    return views[0]


def _described_faults(
    one: TrainingSlice, sound: Prepared, pipeline: Pipeline, generator: np.random.Generator, count: int
) -> list[Described]:
    mr = to_canonical(one.mr)
    outline = pipeline_outline(mr, sound)
    found = []
    kinds = [*FAULTS, *([CT] if one.ct is not None else [])]
    for kind in generator.choice(kinds, size=min(count, len(kinds)), replace=False).tolist():
        wrong = _ct_as_mr(one.ct, generator) if kind == CT and one.ct else made_wrong(mr, outline, kind, generator)
        try:
            found.append(_described(_only_view(pipeline.apply(wrong)), one.patient, kind))
        except Mr2ctError:  # so wrong that there is no body in it: caught elsewhere
            continue
    return found


def pipeline_outline(mr: Volume, prepared: Prepared) -> NDArray[np.bool_]:
    """(i, j, k) bool: the prepared outline on the grid of `mr`."""
    from mr2ct.preprocessing.resampling import resample_to

    return resample_to(prepared.mask, mr.geometry).voxels > 0


def _ct_as_mr(ct: Volume, generator: np.random.Generator) -> Volume:
    """A CT through one of the windows in which it may be exported."""
    hu = to_canonical(ct).voxels.astype(np.float32)
    low, high = ((-1024, 3071), (-1000, 1000), (-160, 240), (-500, 1300))[int(generator.integers(4))]
    scale = generator.uniform(100, 4000)
    voxels = (np.clip(hu, low, high) - low) / (high - low) * scale
    return Volume(voxels.astype(np.float32), to_canonical(ct).geometry, Quantity.MR)


@dataclass(frozen=True)
class _HeldOut:
    """What a sound slice scores by a reference that was learnt without its patient."""

    patient: str
    raw: dict[str, float]
    margin: float


@dataclass(frozen=True)
class _Fitted:
    planes: dict[str, PlaneReference]
    aspects: dict[str, tuple[NDArray[np.intp], Float]]
    faults: dict[str, Float]
    causes: dict[str, tuple[Float, float]]
    orientation: OrientationRule


def _fitted(described: Sequence[Described]) -> _Fitted:
    sound = [one for one in described if not one.fault]
    planes = {p: _plane([one for one in sound if one.plane == p]) for p in PLANE_AXIS}
    clean = np.stack([planes[one.plane].standardised(one.features, one.aligned) for one in sound])
    covariance = _shrunk(np.cov(clean, rowvar=False))
    names = [name.split(".")[0] for name in feature_names()] + ["appearance"] * (_COMPONENTS + APPEARANCE_BEYOND)
    aspects = {}
    for aspect in (*ASPECTS, "appearance"):
        index = np.flatnonzero([name == aspect for name in names])
        aspects[aspect] = (index, np.linalg.inv(covariance[np.ix_(index, index)]).astype(np.float32))
    faults, causes = _discriminants(described, planes, aspects), _causes(described, planes, aspects)
    squares = {p: [one.square for one in sound if one.plane == p] for p in PLANE_AXIS}
    return _Fitted(planes, aspects, faults, causes, learn_orientation(squares))


def _discriminants(
    described: Sequence[Described],
    planes: Mapping[str, PlaneReference],
    aspects: Mapping[str, tuple[NDArray[np.intp], Float]],
) -> dict[str, Float]:
    """Fisher's: from the mean of sound slices to that of a fault, in units of how sound slices scatter."""
    by_fault = _by_fault(described, planes, aspects)
    sound = by_fault.pop("")
    precision = np.linalg.inv(_shrunk(np.cov(sound, rowvar=False)))
    return {
        kind: (precision @ (wrong.mean(axis=0) - sound.mean(axis=0))).astype(np.float32)
        for kind, wrong in by_fault.items()
    }


def _causes(
    described: Sequence[Described],
    planes: Mapping[str, PlaneReference],
    aspects: Mapping[str, tuple[NDArray[np.intp], Float]],
) -> dict[str, tuple[Float, float]]:
    """Linear discriminant analysis between the faults, in units of how slices of one fault scatter: weights, offset."""
    by_fault = _by_fault(described, planes, aspects)
    by_fault.pop("")
    apart = np.concatenate([wrong - wrong.mean(axis=0) for wrong in by_fault.values()])
    precision = np.linalg.inv(_shrunk(np.cov(apart, rowvar=False)))
    found = {}
    for kind, wrong in by_fault.items():
        weights = precision @ wrong.mean(axis=0)
        found[kind] = (weights.astype(np.float32), float(-weights @ wrong.mean(axis=0) / 2))
    return found


def _by_fault(
    described: Sequence[Described],
    planes: Mapping[str, PlaneReference],
    aspects: Mapping[str, tuple[NDArray[np.intp], Float]],
) -> dict[str, Float]:
    """(slices, numbers) by fault, "" for sound ones: what `raw_scores` weighs."""
    found: dict[str, list[Float]] = {}
    for one in sorted(described, key=lambda one: one.fault):
        standardised = planes[one.plane].standardised(one.features, one.aligned)
        extended = with_distances(standardised, aspect_distances(standardised, aspects))
        found.setdefault(one.fault, []).append(extended)
    return {fault: np.stack(vectors) for fault, vectors in found.items()}


def _plane(slices: Sequence[Described]) -> PlaneReference:
    pictures = np.stack([one.aligned for one in slices])
    mean, deviation = pictures.mean(axis=0), np.maximum(pictures.std(axis=0), 0.05)
    components = np.linalg.svd((pictures - mean) / deviation, full_matrices=False)[2][:_COMPONENTS]
    none = np.zeros(0, dtype=np.float32)
    plain = PlaneReference(none, none, mean, deviation, components.astype(np.float32))
    vectors = np.stack([np.concatenate([one.features, plain.appearance(one.aligned)]) for one in slices])
    return replace(
        plain, mean=vectors.mean(axis=0), deviation=np.maximum(vectors.std(axis=0), _least_deviations(vectors))
    )


def _least_deviations(vectors: Float) -> Float:
    """(numbers,) the spread that each number is granted at least, where training is uniform by its making."""
    names = feature_names()
    floors = [_LEAST_OF_BACKGROUND if name.startswith("background") else _LEAST for name in names]
    return np.asarray(floors + [_LEAST] * (vectors.shape[1] - len(names)), dtype=np.float32)


def _shrunk(covariance: NDArray[Any]) -> NDArray[Any]:
    diagonal = np.diag(np.diag(covariance))
    return np.asarray((1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal + 0.02 * np.eye(len(covariance)))


def _scale(sound: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    ends = {name: np.quantile([raw[name] for raw in sound], [0.5, 0.95]) for name in sound[0]}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _levels(sound: Sequence[_HeldOut], scale: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The score of a slice, and of a patient, that a stated share of sound ones exceeds; refusal lies beyond all."""
    worst = [(one.patient, max(scaled(one.raw[name], scale[name]) for name in one.raw)) for one in sound]
    patients = sorted({one.patient for one in sound})
    of_patients = [max(score for whose, score in worst if whose == patient) for patient in patients]
    margins = [one.margin for one in sound]
    warn = float(np.quantile([score for _, score in worst], 1 - WARNED_SHARE))
    warn_volume = float(np.quantile(of_patients, 1 - WARNED_SHARE))
    return {
        "warn": warn,
        "refuse": max(_REFUSE_FACTOR * warn, 1.2 * max(score for _, score in worst)),
        "warn_volume": warn_volume,
        "refuse_volume": max(_REFUSE_FACTOR * warn_volume, 1.2 * max(of_patients)),
        "margin_warn": min(-0.05, float(np.quantile(margins, 0.015))),
        "margin_refuse": min(-0.2, 1.2 * float(np.quantile(margins, 0.004))),
    }


def _top_and_height(prepared: Prepared) -> tuple[float, float]:
    """The height of the highest point of the body in RAS mm, and how far down from there it reaches."""
    occupied = np.argwhere(prepared.mask.voxels)
    low, high = (voxel_to_world(prepared.mr.geometry.affine, end)[2] for end in (occupied.min(0), occupied.max(0)))
    return float(high), float(high - low)


def _usual_window(tops: Mapping[str, Mapping[str, tuple[float, float]]]) -> tuple[float, float]:
    """Medians over patients: how far below the vertex axial slices lie, and how far down the others reach."""
    sides = [[found[p] for p in ("coronal", "sagittal") if p in found] for found in tops.values()]
    heights = [height for found in sides for _, height in found]
    depths = [
        max(top for top, _ in found) - planes["axial"][0]
        for found, planes in zip(sides, tops.values(), strict=True)
        if found and "axial" in planes
    ]
    return float(np.median(depths or [90.0])), float(np.median(heights or [180.0]))


def _without_rare_faults(described: Sequence[Described]) -> list[Described]:
    """Without faults that were made of so few patients that holding a part of them out might leave none."""
    most_held_out = -(-len({one.patient for one in described}) // _FOLDS)
    shown_on = {kind: {one.patient for one in described if one.fault == kind} for kind in {o.fault for o in described}}
    return [one for one in described if len(shown_on[one.fault]) > most_held_out]


def _require_enough(described: Sequence[Described]) -> None:
    for plane in PLANE_AXIS:
        count = sum(one.plane == plane and not one.fault for one in described)
        if count < 2 * _FOLDS:
            raise DataSetError(f"too few {plane} slices to learn from", got=count, expected=f"at least {2 * _FOLDS}")
