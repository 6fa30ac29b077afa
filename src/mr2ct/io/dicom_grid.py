"""From the positions of DICOM frames to one grid, or to the reason why there is none.

The stacking rule is that of DICOM PS3.3 C.7.6.2.1.1: frames are sorted by ImagePositionPatient along the normal of
ImageOrientationPatient. Nothing is believed about file names, instance numbers or SpacingBetweenSlices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io.dicom_frames import Frame

_SAME_DIRECTION = 1e-3
_SAME_SPACING_MM = 1e-3
_SPACING_TOLERANCE = 0.02
_SPACING_TOLERANCE_MM = 0.05
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DUPLICATES_REMEDY = "keep one image a position: give the files of one echo, time point or copy a folder of their own"

Float64 = NDArray[np.float64]


def stack(frames: Sequence[Frame], *, frame_of_reference_uid: str | None) -> tuple[list[Frame], Geometry]:
    """Sort frames along their normal and return them with their grid: i along rows, j down columns, k along the stack.

    The step along k is the mean one, so a stack sheared by gantry tilt keeps its shear. A single frame is as thick as
    its SliceThickness, or 1 mm.

    Raises
    ------
    InputError : frames of different size.
    GeometryError : mixed orientations or pixel spacings, duplicate positions, missing slices, uneven spacing.
    """
    _require_one_plane(frames)
    orientation = np.array(frames[0].orientation)
    normal = _normal(orientation)
    ordered = sorted(frames, key=lambda frame: float(np.dot(frame.position_lps_mm, normal)))
    positions = np.array([frame.position_lps_mm for frame in ordered])
    _require_even(ordered, positions @ normal)
    step = _step(ordered, positions, normal)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * ordered[0].spacing_mm[0]
    affine[:3, 1] = orientation[3:] * ordered[0].spacing_mm[1]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    shape = (ordered[0].columns, ordered[0].rows, len(ordered))
    return ordered, Geometry(shape, _LPS_TO_RAS @ affine + 0.0, frame_of_reference_uid)


def _normal(orientation: Float64) -> Float64:
    lengths = np.linalg.norm(orientation.reshape(2, 3), axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(np.dot(orientation[:3], orientation[3:])) > 0.01:
        raise GeometryError(
            "singular affine: ImageOrientationPatient is not two perpendicular unit vectors",
            got=orientation.tolist(),
            remedy="export the series again",
        )
    normal = np.cross(orientation[:3], orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def _require_one_plane(frames: Sequence[Frame]) -> None:
    first = frames[0]
    for frame in frames[1:]:
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            raise InputError(
                "slices of different size in one series",
                got=f"{first.columns} x {first.rows} in {first.path}, {frame.columns} x {frame.rows} in {frame.path}",
                remedy="move what does not belong to the volume to another folder",
            )
        _require_close(first, frame, ("orientation", _SAME_DIRECTION, "mixed orientations in one series"))
        _require_close(first, frame, ("spacing_mm", _SAME_SPACING_MM, "mixed pixel spacings in one series"))


def _require_close(first: Frame, frame: Frame, rule: tuple[str, float, str]) -> None:
    attribute, tolerance, what = rule
    one, other = getattr(first, attribute), getattr(frame, attribute)
    if max(abs(a - b) for a, b in zip(one, other, strict=True)) > tolerance:
        raise GeometryError(
            what,
            got=f"{list(one)} in {first.path}, {list(other)} in {frame.path}",
            expected="parallel slices on one grid",
            remedy="move what does not belong to the volume, such as a localizer, to another folder",
        )


def _require_even(ordered: Sequence[Frame], heights_mm: Float64) -> None:
    """Raise for duplicates, gaps and uneven steps; `heights_mm` are the sorted positions along the normal."""
    if len(ordered) < 2:
        return
    steps = np.diff(heights_mm)
    if steps.min() < 1e-3:
        at = int(steps.argmin())
        raise GeometryError(
            "duplicate DICOM slices",
            got=f"{int((steps < 1e-3).sum()) + 1} images that share positions, such as {_names(ordered, at)}",
            expected="one image a position",
            remedy=_DUPLICATES_REMEDY,
        )
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() <= _tolerance_mm(usual):
        return
    n_missing, usual = _missing_slices(steps, usual)
    at = int(np.argmax(np.abs(steps - usual)))
    where = f"{steps[at]:.3f} mm between {_names(ordered, at)}, {usual:.3f} mm elsewhere"
    if n_missing:
        what = "1 DICOM slice is missing" if n_missing == 1 else f"{n_missing} DICOM slices are missing"
        raise GeometryError(what, got=where, remedy="copy or export the whole series again")
    raise GeometryError(
        "uneven slice spacing",
        got=where,
        expected=f"steps equal to {_tolerance_mm(usual):.2g} mm",
        remedy="export the whole series again, or resample it to even slices",
    )


def _tolerance_mm(step_mm: float) -> float:
    return max(_SPACING_TOLERANCE * step_mm, _SPACING_TOLERANCE_MM)


def _missing_slices(steps: Float64, usual: float) -> tuple[int, float]:
    """How many slices are missing where every step is a multiple of the smallest (else 0), and the step of the rest."""
    multiples = np.rint(steps / steps.min())
    # the mean over all steps is more exact than the smallest one
    single = float(steps.sum() / multiples.sum())
    if np.abs(steps - multiples * single).max() > _tolerance_mm(single):
        return 0, usual
    return int(multiples.sum()) - len(steps), single


def _step(ordered: Sequence[Frame], positions: Float64, normal: Float64) -> Float64:
    """The vector from slice to slice; every position must lie on the line it spans."""
    if len(ordered) == 1:
        return normal * (ordered[0].thickness_mm or 1.0)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    apart_mm = np.linalg.norm(positions - (positions[0] + np.arange(len(ordered))[:, None] * step), axis=1)
    # steps that are each off by the tolerance add up
    allowed_mm = 2 * _tolerance_mm(float(np.linalg.norm(step)))
    if apart_mm.max() > allowed_mm:
        at = int(apart_mm.argmax())
        raise GeometryError(
            "uneven slice spacing",
            got=f"{ordered[at].path.name} {apart_mm[at]:.3f} mm off the line of the others",
            expected=f"at most {allowed_mm:.2g} mm",
            remedy="export the whole series again, or resample it to even slices",
        )
    return np.asarray(step, dtype=np.float64)


def _names(ordered: Sequence[Any], at: int) -> str:
    def name(frame: Frame) -> str:
        return f"{frame.path.name} frame {frame.index + 1}" if _share_a_file(ordered) else frame.path.name

    return f"{name(ordered[at])} and {name(ordered[at + 1])}"


def _share_a_file(ordered: Sequence[Frame]) -> bool:
    return len({frame.path for frame in ordered}) < len(ordered)
