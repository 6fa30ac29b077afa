"""Everything mr2ct says of one sCT against its CT, in one value: what a row and a page of a report are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError, InputError
from mr2ct.evaluation.body_outline import body_outline
from mr2ct.evaluation.bone_distance import DistanceBin, hu_error_by_bone_distance
from mr2ct.evaluation.geometric_metrics import Agreement, agreement, label_agreement, labels_of
from mr2ct.evaluation.histogram import histogram_overlap
from mr2ct.evaluation.image_metrics import HuError
from mr2ct.evaluation.protocols import Protocol, score_image
from mr2ct.evaluation.tissue_metrics import DEFAULT_THRESHOLDS, TissueThresholds, find_lung, hu_error_by_tissue
from mr2ct.geometry import require_same_geometry
from mr2ct.volume import Quantity, Volume


@dataclass(frozen=True)
class CaseScore:
    """How one sCT compares with its CT.

    image : the protocol's metrics by name ("mae_hu", "psnr_db", "ssim" or "ms_ssim"); NaN and infinity have a note.
    tissues : errors over "all", then "air", "lung", "soft tissue", "bone", as far as the CT has them in the mask.
    geometry : "bone_dice", "bone_hd95_mm", "body_dice", "body_hd95_mm"; with label maps also "label_<n>_dice" and
        "label_<n>_hd95_mm" for each label of the CT, and "labels_dice", "labels_hd95_mm", their means. May be NaN.
    histogram_overlap : 0 to 1.
    by_bone_distance : errors by distance from the CT's bone surface, deepest in bone first; empty without bone.
    notes : sentences that a reader of the figures must see.
    """

    image: dict[str, float]
    tissues: dict[str, HuError]
    geometry: dict[str, float]
    histogram_overlap: float
    by_bone_distance: tuple[DistanceBin, ...]
    notes: tuple[str, ...]


def score_case(
    sct: Volume,
    ct: Volume,
    mask: Volume | None = None,
    *,
    protocol: Protocol | str,
    labels_sct: Volume | None = None,
    labels_ct: Volume | None = None,
    thresholds: TissueThresholds = DEFAULT_THRESHOLDS,
) -> CaseScore:
    """Score `sct` against `ct` inside `mask`: image, tissue, geometry and histogram figures.

    Parameters
    ----------
    sct, ct : HU, on one grid; one axis may be a single voxel.
    mask : non-zero where to compare, on the same grid; without one, the CT's own body outline, which the notes say.
    protocol : one of `protocols.PROTOCOLS`, or its name.
    labels_sct, labels_ct : label maps of both, 0 background, on the same grid; both or neither.

    Raises
    ------
    InputError : no such protocol, images not in HU, one label map without the other, a CT without a body.
    GeometryError : different grids. DataSetError : an empty mask, one that holds only air of the CT, NaN inside it.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> hu = np.full((30, 30, 9), -1000.0); hu[5:25, 5:25] = 40; hu[8:12, 8:12] = 900
    >>> ct = Volume(hu, Geometry((30, 30, 9), np.eye(4)), Quantity.HU)
    >>> score = score_case(ct.with_voxels(ct.voxels + 10), ct, protocol="synthrad2025")
    >>> score.image["mae_hu"], score.tissues["bone"].mean_error_hu, score.geometry["bone_dice"], score.notes[0]
    (10.0, 10.0, 1.0, "no mask given: compared inside the CT's own body outline")
    """
    _require_images(sct, ct, mask)
    _require_labels(ct, labels_sct, labels_ct)
    notes = [] if mask is not None else ["no mask given: compared inside the CT's own body outline"]
    inside = _voxels_inside(ct, mask, thresholds)
    image = score_image(sct.voxels, ct.voxels, inside, protocol=protocol)
    spacing_mm = ct.geometry.spacing_mm
    body_sct, body_ct = (body_outline(volume, inside) for volume in (sct, ct))
    structures = {"bone": _bone(sct, ct, inside, thresholds), "body": agreement(body_sct, body_ct, spacing_mm)}
    if labels_sct is not None and labels_ct is not None:
        structures |= _labels(labels_sct, labels_ct)
        notes += _labels_only_in_sct(labels_sct, labels_ct)
    lung = find_lung(ct.voxels, body_ct, spacing_mm, thresholds=thresholds)
    return CaseScore(
        image=image.values,
        tissues=hu_error_by_tissue(sct.voxels, ct.voxels, inside, thresholds=thresholds, lung=lung),
        geometry=_figures(structures),
        histogram_overlap=histogram_overlap(sct.voxels, ct.voxels, inside),
        by_bone_distance=hu_error_by_bone_distance(
            sct.voxels, ct.voxels, inside, spacing_mm, bone_above=thresholds.bone_above
        ),
        notes=(*notes, *image.notes, *_missing(structures)),
    )


def _require_images(sct: Volume, ct: Volume, mask: Volume | None) -> None:
    for name, image in (("sCT", sct), ("CT", ct)):
        if image.quantity is not Quantity.HU:
            raise InputError(f"the {name} is not in HU", got=f"an image of {image.quantity}", expected="HU")
    require_same_geometry(sct.geometry, ct.geometry, names="sCT and CT")
    if mask is not None:
        require_same_geometry(mask.geometry, ct.geometry, names="mask and CT")


def _require_labels(ct: Volume, labels_sct: Volume | None, labels_ct: Volume | None) -> None:
    if (labels_sct is None) != (labels_ct is None):
        missing = "sCT" if labels_sct is None else "CT"
        raise InputError("one label map without the other", got=f"none of the {missing}", expected="both or neither")
    for name, labels in (("sCT", labels_sct), ("CT", labels_ct)):
        if labels is not None:
            require_same_geometry(labels.geometry, ct.geometry, names=f"label map of the {name} and CT")


def _voxels_inside(ct: Volume, mask: Volume | None, thresholds: TissueThresholds) -> NDArray[np.bool_]:
    if mask is None:
        from mr2ct.preprocessing.body_mask import body_mask

        mask = body_mask(ct)
    inside = np.asarray(mask.voxels != 0)
    if not inside.any():
        raise DataSetError("no voxel to compare", got="an empty mask", expected="at least one voxel inside")
    if not np.any(inside & (ct.voxels >= thresholds.air_below)):
        raise DataSetError(
            "mask and CT do not overlap",
            got="nothing but air of the CT inside the mask",
            expected="a mask of the body",
            remedy="check that the mask belongs to this CT",
        )
    return inside


def _bone(sct: Volume, ct: Volume, inside: NDArray[np.bool_], thresholds: TissueThresholds) -> Agreement:
    of_sct, of_ct = (inside & (image.voxels > thresholds.bone_above) for image in (sct, ct))
    return agreement(of_sct, of_ct, ct.geometry.spacing_mm)


def _labels(labels_sct: Volume, labels_ct: Volume) -> dict[str, Agreement]:
    found = label_agreement(labels_sct.voxels, labels_ct.voxels, labels_ct.geometry.spacing_mm)
    return {"labels": _mean(list(found.values()))} | {f"label_{label}": both for label, both in found.items()}


def _labels_only_in_sct(labels_sct: Volume, labels_ct: Volume) -> list[str]:
    of_ct = labels_of(labels_ct.voxels)
    return [
        f"label {label}: the CT has none, so it is not compared"
        for label in labels_of(labels_sct.voxels)
        if label not in of_ct
    ]


def _figures(structures: dict[str, Agreement]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, both in structures.items():
        figures |= {f"{name}_dice": both.dice, f"{name}_hd95_mm": both.hd95_mm}
    return figures


def _mean(labels: list[Agreement]) -> Agreement:
    """Over the labels that have a value, as the challenge does; NaN where none has."""
    dices = [both.dice for both in labels if not np.isnan(both.dice)]
    distances_mm = [both.hd95_mm for both in labels if not np.isnan(both.hd95_mm)]
    nothing = float("nan")
    return Agreement(float(np.mean(dices or [nothing])), float(np.mean(distances_mm or [nothing])))


def _missing(structures: dict[str, Agreement]) -> list[str]:
    notes = []
    for name, both in structures.items():
        if np.isnan(both.dice):
            notes.append(f"{name.replace('_', ' ')}: the CT has none, so it is not compared")
        elif np.isnan(both.hd95_mm) and name != "labels":
            notes.append(f"{name.replace('_', ' ')}: the sCT has none, so Dice is 0 and HD95 has no value")
    return notes
