"""How far each voxel of an sCT may be off: a map of half-widths in HU, and the MAE to expect of the case.

The models answer for several views of the body; how the answers differ, and what lies around a voxel, says how its HU
is distributed, and that says how wide an interval must be. See docs/explanation/uncertainty.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import BundleError
from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference.body_region import air_outside
from mr2ct.inference.planes import fuse
from mr2ct.inference.translator import PreparedBody, StageProgress, Translation, Translator
from mr2ct.inference.views import VIEWS, view_answer
from mr2ct.trust.calibration import MEAN, OWN, Calibration, Variant
from mr2ct.trust.uncertainty_features import Float32, in_plane_spacing_mm, slice_features
from mr2ct.volume import Volume

_PATCHES_ARE_SHOWN_AS = "axial"

REACH_MM = 20.0
"""How far round the outline half-widths are worked out voxel by voxel: an outline found in an MR misses dark tissue,
and where the sCT is air already, tissue may be."""

NOT_TILTED = (
    "intervals are calibrated without tilted views: with --uncertainty a whole head in one plane is not shown tilted, "
    "so its sCT is another than without"
)


@dataclass(frozen=True)
class Uncertain:
    """An sCT with how far to trust it.

    Parameters
    ----------
    sct : HU, int16, on the MR's grid: what the first model's `Translator.translate` gives, voxel for voxel, or that of
        the ensemble; of a volume in one plane, without its tilted views.
    half_width_hu : HU, int16, on the same grid: of the CT's voxels of each tissue (air, soft tissue, bone), the share
        `interval` lies within sct - half_width to sct + half_width, over many patients.
    predicted_mae_hu : the MAE inside the body that cases of this kind had.
    members : the models that were asked. translation : the sCT with its record and warnings.
    views_left_out : the tilted views that `Translator.translate` asks for, too; with some, the warnings say so.
    """

    sct: Volume
    half_width_hu: Volume
    predicted_mae_hu: float
    interval: float
    members: tuple[str, ...]
    translation: Translation
    views_left_out: tuple[str, ...] = ()


def predict_uncertainty(
    mr: Volume,
    translators: Sequence[Translator],
    calibration: Mapping[str, Any],
    *,
    mask: Volume | None = None,
    planes: str = "all",
    force: bool = False,
    progress: StageProgress | None = None,
) -> Uncertain:
    """Convert an MR, and say how far each voxel and the whole may be off.

    Parameters
    ----------
    mr : MR on any grid; a slice or a volume.
    translators : the model whose sCT it is, then others whose disagreement informs; those that the calibration was not
        made with are left out. One is enough. Of an ensemble: its members.
    calibration : the key `calibration` of the first model's bundle.json, or an ensemble's calibration.json, which says
        that the sCT is the mean of all.
    mask, planes, force, progress : as in `Translator.translate`.

    In a volume seen in three planes, a voxel's half-width is the mean of the planes' half-widths: the error of a mean
    of answers is at most the mean of their errors.

    Raises
    ------
    BundleError : no calibration, or one of other weights; a model that was trained without flips; and what
        `Translator.translate` raises.

    Example
    -------
    >>> predict_uncertainty(mr, [translator], bundle.description.calibration).predicted_mae_hu  # doctest: +SKIP
    84.1
    """
    known = Calibration.from_record(calibration)
    first = known.choose(translators)[1][0]
    body = first.prepare(mr, mask=mask, force=force)
    return body_uncertainty(body, translators, known, planes=planes, progress=progress)


def body_uncertainty(
    body: PreparedBody,
    translators: Sequence[Translator],
    calibration: Calibration,
    *,
    planes: str = "all",
    progress: StageProgress | None = None,
) -> Uncertain:
    """`predict_uncertainty` of an MR that the first translator has prepared already; parameters and errors likewise.

    Example
    -------
    >>> body_uncertainty(translator.prepare(mr), [translator], known).predicted_mae_hu  # doctest: +SKIP
    84.1
    """
    started = time.perf_counter()
    variant, members = calibration.choose(translators)
    first = members[0]
    planes_run = first.planes_for(body, planes)
    asked = first.views_in(planes_run, body)
    views, left_out = [view for view in asked if view in VIEWS], tuple(view for view in asked if view not in VIEWS)
    in_planes, half_width_hu, expected_hu = [], np.zeros(body.weight.shape, np.float32), 0.0
    for plane in planes_run or (None,):
        answers = member_answers(members, body, plane, progress=progress)
        shown = (
            answers[0] if calibration.sct == MEAN else [a for v, a in zip(VIEWS, answers[0], strict=True) if v in views]
        )
        in_planes.append(fuse(sct_answers([shown, *answers[1:]], calibration.sct)))
        in_plane_hu, mean_error_hu = _plane_half_widths(
            variant, slices_of(members, answers, body, plane, sct=calibration.sct), body
        )
        half_width_hu += in_plane_hu / max(len(planes_run), 1)
        expected_hu += mean_error_hu / max(len(planes_run), 1)
    sct = first.compose(in_planes, body)
    seconds = {"uncertainty": time.perf_counter() - started}
    translation = first.translation(sct, body, planes_run, planes_wanted=planes, views=views, seconds=seconds)
    if left_out:
        translation = replace(translation, warnings=(*translation.warnings, NOT_TILTED))
    return Uncertain(
        sct,
        first.on_input_grid(half_width_hu, body, outside=variant.outside_half_width_hu),
        max(variant.mae_offset + variant.mae_slope * expected_hu, 0.0),
        calibration.interval,
        tuple(member.description.name for member in members),
        translation,
        left_out,
    )


def member_answers(
    members: Sequence[Translator], body: PreparedBody, plane: str | None, *, progress: StageProgress | None = None
) -> list[list[Float32]]:
    """Every member's answer to every view, in `VIEWS`' order: (i, j, k) network units each.

    Raises
    ------
    BundleError : a member that was trained without flips, whose answer to a mirrored body says nothing.
    """
    for member in members:
        if not member.description.flips:
            raise BundleError(
                "an interval comes from answers to the body and its mirror image",
                got=f"{member.description.name}, which was trained without flips",
                expected="a model that was trained with flips",
                remedy="convert without --uncertainty",
            )
    return [
        [
            view_answer(member, body, plane, view=view, on_progress=_reporting(progress, member, plane, view))
            for view in VIEWS
        ]
        for member in members
    ]


def sct_answers(
    answers: Sequence[Sequence[Float32]], sct: str, *, views: Sequence[str] = tuple(VIEWS)
) -> list[Float32]:
    """Those of `member_answers` whose mean is the sCT: the first model's to `views`, or all; `sct` is OWN or MEAN."""
    if sct == MEAN:
        return [units for of_member in answers for units in of_member]
    return [units for view, units in zip(VIEWS, answers[0], strict=True) if view in views]


def _reporting(
    progress: StageProgress | None, member: Translator, plane: str | None, view: str
) -> partial[None] | None:
    return None if progress is None else partial(progress, f"{member.description.name}, {plane or 'patches'}, {view}")


def near_body(body: PreparedBody) -> NDArray[np.bool_]:
    """(i, j, k) of the body's box: in the outline, within `REACH_MM` of it, or where a network has a say."""
    from scipy import ndimage

    spacing_mm = body.prepared.mr.geometry.spacing_mm
    distance_mm = ndimage.distance_transform_edt(~body.outline, sampling=spacing_mm)
    return np.asarray((distance_mm <= REACH_MM) | (body.weight > 0))


def slices_of(
    members: Sequence[Translator],
    answers: Sequence[Sequence[Float32]],
    body: PreparedBody,
    plane: str | None,
    *,
    sct: str = OWN,
) -> Iterator[tuple[tuple[int | slice, ...], NDArray[np.bool_], Float32, Float32]]:
    """Slice by slice where the body is near: the slice's index into (i, j, k), where the body is near in it, features
    (rows, columns, features), and the sCT in HU.

    `answers` are those of `member_answers`; the sCT is the mean of the first member's, or with `sct` MEAN of all, with
    air outside.
    """
    shown_as = plane or _PATCHES_ARE_SHOWN_AS
    axis = PLANE_AXIS[shown_as]
    spacing_mm = in_plane_spacing_mm(body.prepared.mr.geometry.spacing_mm, shown_as)
    others = tuple(other for other in range(3) if other != axis)
    near = near_body(body)
    for number in np.flatnonzero(near.any(axis=others)):
        at = tuple(int(number) if other == axis else slice(None) for other in range(3))
        answers_hu = np.stack(
            [
                np.stack([_hu(member, units[at], body.weight[at]) for units in of_member])
                for member, of_member in zip(members, answers, strict=True)
            ]
        )
        sct_hu = _hu(members[0], fuse([units[at] for units in sct_answers(answers, sct)]), body.weight[at])
        features = slice_features(
            answers_hu,
            np.asarray(body.mr_units[at]),
            body.outline[at],
            spacing_mm=spacing_mm,
            plane=shown_as,
            sct_hu=sct_hu,
        )
        yield at, near[at], features, sct_hu


def _hu(member: Translator, units: Float32, weight: Float32) -> Float32:
    scaling = member.description.hu_scaling
    return air_outside(scaling.to_hu(units), weight, air_hu=scaling.lowest_hu)


def _plane_half_widths(
    variant: Variant,
    slices: Iterable[tuple[tuple[int | slice, ...], NDArray[np.bool_], Float32, Float32]],
    body: PreparedBody,
) -> tuple[Float32, float]:
    """Half-widths in the body's box, and the mean expected error inside the outline, from one plane's `slices_of`."""
    outside_hu = np.float32(variant.outside_half_width_hu)
    half_width_hu = np.full(body.weight.shape, outside_hu)
    total_error, n_inside = 0.0, 0
    for at, asked, features, sct_hu in slices:
        half, error = variant.half_widths_hu(features[asked], sct_hu[asked])
        half_width_hu[at][asked] = half
        inside = body.outline[at][asked]
        total_error, n_inside = total_error + float(error[inside].sum()), n_inside + int(np.count_nonzero(inside))
    return half_width_hu, total_error / max(n_inside, 1)
