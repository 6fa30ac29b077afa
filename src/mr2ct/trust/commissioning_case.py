"""One case of an acceptance test: checked, converted as in routine, written, read again, and compared with its CT.

The sCT that is judged is the one in the file, and the mask is used for scoring alone: routine has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mr2ct.bundles import Bundle, find_bundle
from mr2ct.datasets.case_images import Reading, read_paired
from mr2ct.datasets.cases import PairedCase
from mr2ct.errors import BundleError, InputError
from mr2ct.evaluation.case_score import CaseScore, score_case
from mr2ct.evaluation.image_metrics import masked_mae_hu
from mr2ct.evaluation.path_length import path_length_report
from mr2ct.evaluation.protocols import Protocol
from mr2ct.geometry import difference
from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU
from mr2ct.io import read_volume, write_volume
from mr2ct.io.checksum import sha256
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.trust.commissioning_uncertainty import coverage_figures
from mr2ct.trust.input_check import check_and_prepare
from mr2ct.trust.verdict import InputVerdict
from mr2ct.volume import Quantity, Volume

if TYPE_CHECKING:
    from mr2ct.inference import Translator
    from mr2ct.trust.uncertainty import Uncertain

SCORE = Protocol("commissioning", LOWEST_HU, HIGHEST_HU, ("mae_hu",))
"""Of the image metrics only the MAE, which has a limit."""

_GRID_TOLERANCE_MM = 1e-2


@dataclass(frozen=True)
class CaseOptions:
    """How cases are read and which of the longer comparisons are made.

    Parameters
    ----------
    path_length : compare water-equivalent path lengths. beams : modalities whose dose is compared, of "photon" and
        "proton"; needs the extra `dose`. uncertainty : predict intervals, where the model is calibrated.
    """

    reading: Reading = field(default_factory=Reading)
    path_length: bool = True
    beams: tuple[str, ...] = ()
    uncertainty: bool = True


@dataclass(frozen=True)
class ModelUnderTest:
    """A bundle; its networks are loaded when they are needed."""

    bundle: Bundle
    device: str = "auto"

    @cached_property
    def translator(self) -> Translator:
        """The model itself."""
        from mr2ct.inference import Translator

        return Translator.from_bundle(self.bundle, device=self.device)

    @cached_property
    def ensemble(self) -> tuple[Translator, ...]:
        """The model itself, then the others that its calibration was made with, as far as they are there."""
        from mr2ct.inference import Translator

        own, others = self.bundle.description.name, []
        for name in (self.bundle.description.calibration or {}).get("models", []):
            try:
                others += [] if name == own else [Translator.from_bundle(find_bundle(name), device=self.device)]
            except BundleError:
                # calibrated for the model alone, too
                continue
        return (self.translator, *others)


@dataclass(frozen=True)
class CommissionedCase:
    """What is known of a case.

    Parameters
    ----------
    figures : by key, such as "mae_hu", "mae_bone_hu", "bone_dice"; infinite where the sCT lacks what is measured.
    verdict : of the input check. grid_differs : in words, where the sCT's file is not on the MR's grid.
    sct_file : where the sCT was written. checksums : SHA-256 of the input files by part ("mr", "ct", "mask").
    notes : sentences that a reader of the figures must see.
    """

    case: str
    patient: str
    centre: str
    figures: dict[str, float]
    verdict: InputVerdict
    grid_differs: str | None
    sct_file: Path
    checksums: dict[str, str]
    engine: str = ""
    notes: tuple[str, ...] = ()


def commission_case(case: PairedCase, model: ModelUnderTest, *, options: CaseOptions, folder: Path) -> CommissionedCase:
    """Check, convert and score one case; a refused input is converted all the same, so that its figures count.

    Parameters
    ----------
    folder : the sCT is written there, as `<case>_sct.nii.gz`.

    Raises
    ------
    InputError, GeometryError, DataSetError, BundleError : files that cannot be read, converted or compared.
    MissingDependencyError : dose without the extra.

    Example
    -------
    >>> commission_case(case, model, options=CaseOptions(), folder=out).figures["mae_hu"]  # doctest: +SKIP
    88.4
    """
    pair = read_paired(case, options.reading)
    mr, ct, given = pair.mr, pair.ct, pair.compared
    verdict, prepared = check_and_prepare(mr, model.bundle.description)
    uncertain, notes = _uncertain(mr, model, options)
    if uncertain is None or uncertain.views_left_out:
        translation = model.translator.translate(mr, force=True, prepared=prepared)
    else:
        # its sCT is the model's own, voxel for voxel
        translation = uncertain.translation
    sct_file = write_volume(translation.sct, folder / f"{case.case}_sct.nii.gz")
    sct = read_volume(sct_file, quantity=Quantity.HU)
    grid_differs = difference(sct.geometry, mr.geometry, tolerance_mm=_GRID_TOLERANCE_MM)
    mask = body_mask(ct) if given is None else given
    score = score_case(sct, ct, mask, protocol=SCORE)
    figures = score_figures(score)
    notes += [*translation.warnings, *score.notes]
    if given is None:
        notes.append("no mask given: compared inside the CT's own body outline")
    figures |= _beam_figures(sct, ct, mask, options=options, notes=notes)
    if uncertain:
        figures |= _uncertainty_figures(uncertain, ct, mask)
    files = {"mr": case.mr, "ct": case.ct, "mask": case.mask}
    return CommissionedCase(
        case.case,
        case.patient,
        case.centre,
        figures,
        verdict,
        grid_differs,
        sct_file,
        checksums={part: sha256(path) for part, path in files.items() if path is not None},
        engine=str(translation.record["engine"]),
        notes=tuple(notes),
    )


def score_figures(score: CaseScore) -> dict[str, float]:
    """The figures of a score under one key each: "mae_hu", then "mae_bone_hu" and so on by tissue, then geometry.

    HD95 is infinite where the sCT has no such structure though the CT does.

    Example
    -------
    >>> from mr2ct.evaluation.image_metrics import HuError
    >>> tissues = {"soft tissue": HuError(40.0, -3.0, 60.0, 10)}
    >>> score = CaseScore({"mae_hu": 40.0}, tissues, {"bone_dice": 0.0, "bone_hd95_mm": math.nan}, 0.9, (), ())
    >>> figures = score_figures(score)
    >>> figures["mae_soft_tissue_hu"], figures["bone_hd95_mm"]
    (40.0, inf)
    """
    figures = dict(score.image)
    for tissue, error in score.tissues.items():
        name = "" if tissue == "all" else f"{tissue.replace(' ', '_')}_"
        figures |= {f"mae_{name}hu": error.mae_hu, f"mean_error_{name}hu": error.mean_error_hu}
    for key, value in score.geometry.items():
        lacking = math.isnan(value) and score.geometry.get(key.replace("_hd95_mm", "_dice")) == 0
        figures[key] = math.inf if lacking else value
    return figures | {"histogram_overlap": score.histogram_overlap}


def _beam_figures(sct: Volume, ct: Volume, mask: Volume, *, options: CaseOptions, notes: list[str]) -> dict[str, float]:
    figures = path_length_report(sct, ct, mask) if options.path_length else {}
    for modality in options.beams:
        from mr2ct.evaluation.dose import dose_report

        try:
            dose = dose_report(sct, ct, mask, modality=modality)
        except InputError as error:
            notes.append(f"no {modality} dose: {error}")
            continue
        figures |= {key if key.startswith(modality) else f"{modality}_{key}": value for key, value in dose.items()}
    return figures


def _uncertain(mr: Volume, model: ModelUnderTest, options: CaseOptions) -> tuple[Uncertain | None, list[str]]:
    """The sCT with its interval, where the model states one, else None; and what is to be said of it in words."""
    calibration = model.bundle.description.calibration
    if calibration is None or not options.uncertainty:
        return None, []
    from mr2ct.trust.uncertainty import NOT_TILTED, predict_uncertainty

    try:
        uncertain = predict_uncertainty(mr, model.ensemble, calibration, force=True)
    except BundleError as error:
        return None, [f"no interval: {error}"]
    return uncertain, [NOT_TILTED] if uncertain.views_left_out else []


def _uncertainty_figures(uncertain: Uncertain, ct: Volume, mask: Volume) -> dict[str, float]:
    half_width_hu, inside = uncertain.half_width_hu.voxels, np.asarray(mask.voxels != 0)
    figures = coverage_figures(
        uncertain.sct.voxels, half_width_hu, ct.voxels, inside, promised=float(uncertain.interval)
    )
    figures["predicted_mae_hu"] = float(uncertain.predicted_mae_hu)
    true_mae_hu = masked_mae_hu(uncertain.sct.voxels, ct.voxels, mask.voxels)
    if true_mae_hu > 0:
        figures["predicted_mae_off_percent"] = 100 * abs(float(uncertain.predicted_mae_hu) / true_mae_hu - 1)
    return figures
