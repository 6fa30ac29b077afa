"""The gatekeeper: is this input what the model was trained on? Pass, warn or refuse, with reasons in words.

A network answers whatever it is given. So before it is asked, the input's modality, orientation, grid, outline,
contrast, detail, evenness and background are compared with those of the training images (`trust.input_reference`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mr2ct.bundles.description import BundleDescription
from mr2ct.errors import InputError
from mr2ct.preprocessing.pipeline import Pipeline, Prepared
from mr2ct.trust.image_kind import kind_findings
from mr2ct.trust.input_reference import InputReference, joined
from mr2ct.trust.orientation_check import Pose
from mr2ct.trust.slice_picture import square_picture
from mr2ct.trust.slice_view import SliceView, single_plane, slice_views
from mr2ct.trust.verdict import Finding, InputVerdict, Verdict
from mr2ct.volume import Volume

NO_REFERENCE = "the model holds no reference of its training images: only modality and grid were checked"

WORDS: dict[str, str] = {
    "outline": "The outline is not that of a head as in training: another body part, a cut field of view, or voxels of "
    "another size than the header says",
    "contrast": "The brightness of tissues is outside the training range: another sequence or a processed image",
    "detail": "Fine structure and noise are outside the training range",
    "evenness": "Brightness is less even across the head than in training: a strong bias field, or one side differs",
    "signal": "Parts without signal, or saturated ones, are larger than in training: metal, cuts, or another contrast",
    "background": "The surroundings of the head are not as in training: ghosts, wrapped parts, or no dark background",
    "appearance": "The picture does not look like the heads of training",
    "noise": "It is noisier than the training images",
    "blur": "Detail is missing: a lower resolution, thick slices, or smoothing",
    "bias": "A strong bias field: the same tissue is much brighter on one side or at the rim",
    "ghosts": "Ghosts: fainter copies of the head beside it",
    "motion": "It looks as if the head moved during the scan",
    "wrap": "Wrap-around: the field of view is smaller than the head, which comes in again at the other side",
    "void": "A large part without signal, as metal leaves it",
    "sequence": "Another contrast than the model was trained on",
    "crop": "A part of the head is missing: cut off or blacked out",
    "stripped": "Skull and scalp are missing: a brain cut out of its head has no bone to be found",
    "size": "The head is too large or too small: voxels of another size than the header says, or not an adult's",
    "ct": "It looks like a CT, or a picture of one",
}
"""What a score above its level means; the codes of findings are the keys."""

COARSE_MM, TOO_COARSE_MM = 3.5, 8.0
COARSE_IN_PLANE_MM, TOO_COARSE_IN_PLANE_MM = 2.0, 4.0
_MOST_WORDS = 4

DECISIVE = ("outline", "contrast", "appearance", "ct")
"""Scores that speak of what is in the picture: beyond the level of refusal, it is not what the model knows. The others
speak of its quality, which a person should look at; they refuse only three times as far out."""

_QUALITY_FACTOR = 3.0


def check_input(volume: Volume, description: BundleDescription, *, mask: Volume | None = None) -> InputVerdict:
    """Compare an input with what a model was trained on.

    Parameters
    ----------
    volume : what was read as an MR; any grid, a single slice or a whole volume.
    description : of the model; its preprocessing and `input_reference` are used. Without a reference only modality and
        grid are judged, and the verdict's notes say so.
    mask : the user's body mask on the same grid; only the scaling of brightness depends on it.

    Raises
    ------
    GeometryError : a mask of another grid. BundleError : a reference that cannot be read.

    Example
    -------
    >>> check_input(mr, find_bundle("brain-attention-unet").description).verdict  # doctest: +SKIP
    <Verdict.PASS: 'pass'>
    """
    return check_and_prepare(volume, description, mask=mask)[0]


def check_and_prepare(
    volume: Volume, description: BundleDescription, *, mask: Volume | None = None
) -> tuple[InputVerdict, Prepared | None]:
    """`check_input`, and the prepared case that it was judged by (None where it was not needed or not possible).

    `Translator.translate` takes the prepared case, so that a whole head is prepared once.
    """
    findings = kind_findings(volume)
    if findings:
        return InputVerdict.of(findings), None
    findings += grid_findings(volume)
    if any(finding.severity is Verdict.REFUSE for finding in findings):
        # not prepared: millimetres taken for centimetres ask for a thousand times the voxels
        return InputVerdict.of(findings), None
    if description.input_reference is None:
        return InputVerdict.of(findings, notes=(NO_REFERENCE,)), None
    try:
        prepared = Pipeline.from_record(description.preprocessing).apply(volume, mask=mask)
    except InputError as error:
        return InputVerdict.of([*findings, Finding(Verdict.REFUSE, "body", f"No head was found: {error}.")]), None
    reference = InputReference.from_json(description.input_reference)
    views = slice_views(
        prepared,
        axial_depth_mm=reference.axial_depth_mm,
        height_mm=reference.height_mm,
        mask_was_given=mask is not None,
    )
    if not views:
        words = "The image is too small to be compared: its slices are strips."
        return InputVerdict.of([*findings, Finding(Verdict.WARN, "crop", words)]), prepared
    is_volume = single_plane(prepared.mr.geometry.shape) is None
    findings += orientation_findings(views, reference, upended=_upended_views(prepared, reference) if is_volume else {})
    findings += likeness_findings(views, reference, is_volume=is_volume)
    return InputVerdict.of(findings), prepared


def grid_findings(volume: Volume) -> list[Finding]:
    """What voxel sizes say: slices too thick, or pixels too coarse, for bone to be seen.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> from mr2ct.volume import Quantity
    >>> thick = Volume(np.zeros((9, 9, 9)), Geometry((9, 9, 9), np.diag([1.0, 1.0, 6.0, 1.0])), Quantity.MR)
    >>> grid_findings(thick)[0].code
    'resolution'
    """
    *in_plane, thickest = sorted(volume.geometry.spacing_mm)
    thin = volume.geometry.single_slice_axis
    if thin is not None:
        thickest = volume.geometry.spacing_mm[thin]
        in_plane = [mm for axis, mm in enumerate(volume.geometry.spacing_mm) if axis != thin]
    found = []
    limits = (
        (thickest, COARSE_MM, TOO_COARSE_MM, "Slices"),
        (max(in_plane), COARSE_IN_PLANE_MM, TOO_COARSE_IN_PLANE_MM, "Pixels"),
    )
    for size_mm, coarse_mm, too_coarse_mm, name in limits:
        if size_mm > coarse_mm:
            severity = Verdict.REFUSE if size_mm > too_coarse_mm else Verdict.WARN
            sentence = f"{name} of {size_mm:.1f} mm: thin bone is lost between them."
            found.append(Finding(severity, "resolution", sentence, size_mm, f"at most {coarse_mm:g} mm"))
    return found


Views = Mapping[str, tuple[SliceView, ...]]
"""By plane, neighbouring slices."""


def orientation_findings(views: Views, reference: InputReference, *, upended: Views) -> list[Finding]:
    """A finding where the image looks more like a head with its axes turned about than as its header says.

    `upended` are the views of the same volume stood on its head, none of a single slice: which part of a volume is the
    head, and so what the views show, depends on where up is.
    """
    pose, margin = reference.orientation.best_poses(_middle_pictures(views))
    if upended:
        other_way = reference.orientation.best_poses(_middle_pictures(upended))[1]
        if margin < 0 < other_way:
            pose, margin = Pose((0, 1, 2), (False, False, True)), margin - other_way
    if margin >= reference.levels["margin_warn"]:
        return []
    severity = Verdict.REFUSE if margin < reference.levels["margin_refuse"] else Verdict.WARN
    sentence = (
        f"The orientation looks wrong: as the file says, or as pictures are taken, the head seems to lie {pose.words}."
    )
    return [Finding(severity, "orientation", sentence, margin, f"at least {reference.levels['margin_warn']:.2f}")]


def _middle_pictures(views: Views) -> dict[str, NDArray[np.float32]]:
    return {plane: square_picture(ones[len(ones) // 2]) for plane, ones in views.items()}


def _upended_views(prepared: Prepared, reference: InputReference) -> Views:
    turned = [volume.with_voxels(volume.voxels[:, :, ::-1]) for volume in (prepared.mr, prepared.mask)]
    upended = Prepared(turned[0], None, turned[1], prepared.record)
    return slice_views(upended, axial_depth_mm=reference.axial_depth_mm, height_mm=reference.height_mm)


def likeness_findings(views: Views, reference: InputReference, *, is_volume: bool) -> list[Finding]:
    """Where any score is beyond what sound images reach: the likeliest fault first, then the aspects that differ."""
    compared = {plane: [reference.compared(view) for view in ones] for plane, ones in views.items()}
    scores = {plane: joined([found for found, _ in ones]) for plane, ones in compared.items()}
    causes = [joined([likely for _, likely in ones]) for ones in compared.values()]
    suffix = "_volume" if is_volume else ""
    warn, refuse = reference.levels[f"warn{suffix}"], reference.levels[f"refuse{suffix}"]
    names = [*reference.aspects, *reference.faults]
    worst = {name: max((found[name], plane) for plane, found in scores.items()) for name in names}
    beyond = {name: score for name, score in worst.items() if score[0] > warn}
    faults = [name for name in beyond if name in reference.faults]
    found = []
    if faults:
        likeliest = max(faults, key=lambda kind: sum(likely[kind] for likely in causes))
        # how far it is from training does not depend on what it is called
        farthest = max(faults, key=lambda kind: beyond[kind][0] / _refusal_factor(kind))
        found.append(_finding(likeliest, beyond[farthest], warn, refuse * _refusal_factor(farthest)))
    aspects = sorted((name for name in beyond if name in reference.aspects), key=lambda name: -beyond[name][0])
    found += [_finding(name, beyond[name], warn, refuse * _refusal_factor(name)) for name in aspects]
    return found[:_MOST_WORDS]


def _refusal_factor(name: str) -> float:
    return 1.0 if name in DECISIVE else _QUALITY_FACTOR


def _finding(name: str, worst: tuple[float, str], warn: float, refuse: float) -> Finding:
    score, plane = worst
    severity = Verdict.REFUSE if score > refuse else Verdict.WARN
    sentence = f"{WORDS.get(name, name)} ({plane}; {score / warn:.1f} times the limit)."
    return Finding(severity, name, sentence, round(score, 2), f"at most {warn:.2f}")
