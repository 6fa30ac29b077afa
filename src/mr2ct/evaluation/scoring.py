"""From pairs of files to figures: each pair read, checked and scored, several at once; one that fails is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mr2ct.datasets.processes import in_processes
from mr2ct.errors import DataSetError, DiskSpaceError, MissingDependencyError, Mr2ctError
from mr2ct.evaluation.case_score import CaseScore, score_case
from mr2ct.evaluation.pairing import CasePair, Exclusion
from mr2ct.evaluation.slice_profile import SliceProfile, slice_profile
from mr2ct.evaluation.tissue_metrics import DEFAULT_THRESHOLDS, TissueThresholds
from mr2ct.geometry import require_same_geometry
from mr2ct.io import read_volume
from mr2ct.io.checks import require_mask_fits
from mr2ct.io.checksum import sha256
from mr2ct.volume import Quantity, Volume

SKULL_FIGURES = ("bone_gradient_energy_percent", "brain_outline_moved_mm")
"""The figures that `ScoringOptions.skull` adds."""

_NO_AIR_ABOVE_HU = -100


@dataclass(frozen=True)
class ScoringOptions:
    """What is asked of every pair: the protocol's name, and which of the longer comparisons.

    Parameters
    ----------
    thresholds : what of the CT counts as which tissue.
    path_length : compare water-equivalent path lengths. beams : modalities whose dose is compared, of "photon" and
        "proton"; needs the extra `dose`.
    target_label : which label of the CT's label map the dose is planned on; none has a target of its own made.
    skull : compare how sharp bone is, and where the outline of the brain lies; for heads.
    """

    protocol: str
    thresholds: TissueThresholds = DEFAULT_THRESHOLDS
    path_length: bool = False
    beams: tuple[str, ...] = ()
    target_label: int | None = None
    skull: bool = False


@dataclass(frozen=True)
class ScoredCase:
    """A pair and all that is known of it.

    Parameters
    ----------
    mask_from : where the mask comes from, in words.
    profile : the MAE of each axial level.
    extras : figures of skull, path lengths and dose, by key.
    checksums : SHA-256 of the files, by part ("sct", "ct", "mask").
    notes : what a reader of the figures must know, beyond `score.notes`.
    """

    pair: CasePair
    score: CaseScore
    mask_from: str
    profile: SliceProfile
    extras: dict[str, float] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """One model's cases, scored by one protocol, sorted by case, and what was left out."""

    model: str
    protocol: str
    cases: tuple[ScoredCase, ...]
    excluded: tuple[Exclusion, ...] = ()

    @property
    def patients(self) -> tuple[str, ...]:
        """Whose each case is, in the order of the cases."""
        return tuple(case.pair.patient for case in self.cases)

    @property
    def centres(self) -> tuple[str, ...]:
        """The centres of the cases, sorted, each once; "unknown" where a case has none."""
        return tuple(sorted({centre_of(case) for case in self.cases}))


def centre_of(case: ScoredCase) -> str:
    """The centre of a case, "unknown" where it is not known."""
    return case.pair.centre or "unknown"


def score_pairs(
    pairs: Sequence[CasePair],
    options: ScoringOptions,
    *,
    jobs: int = 1,
    report: Callable[[str], None] | None = None,
) -> tuple[tuple[ScoredCase, ...], tuple[Exclusion, ...]]:
    """Score every pair. One that cannot be scored becomes an exclusion with its reason, and the others go on.

    Parameters
    ----------
    jobs : processes, see `mr2ct.datasets.processes.in_processes`. report : called with each case's name when done.

    Raises
    ------
    Mr2ctError : the reason itself where there is only one pair; DataSetError where none of several could be scored.
    MissingDependencyError : dose without the extra. DiskSpaceError.

    Example
    -------
    >>> score_pairs(find_pairs(sources).pairs, ScoringOptions("synthrad2025"))  # doctest: +SKIP
    """
    if len(pairs) == 1:
        # nothing else can be done, so its own error is the answer
        return (score_pair(pairs[0], options),), ()
    scored, failed = [], []
    for result in in_processes(partial(_score_or_say, options=options), pairs, jobs=jobs, died=_died):
        name = result.pair.case if isinstance(result, ScoredCase) else result.case
        if isinstance(result, ScoredCase):
            scored.append(result)
        else:
            failed.append(result)
        if report is not None:
            report(name)
    if not scored:
        reasons = "; ".join(f"{e.case}: {e.reason}" for e in failed[:5])
        raise DataSetError(f"none of {len(pairs)} cases could be scored", got=reasons)
    return tuple(sorted(scored, key=lambda case: case.pair.case)), tuple(sorted(failed, key=lambda e: e.case))


def _died(pair: CasePair) -> ScoredCase | Exclusion:
    return Exclusion(pair.case, "its process died, as it does when memory runs out", pair.patient)


def _score_or_say(pair: CasePair, *, options: ScoringOptions) -> ScoredCase | Exclusion:
    try:
        return score_pair(pair, options)
    except (MissingDependencyError, DiskSpaceError):
        raise
    except Mr2ctError as error:
        return Exclusion(pair.case, str(error), pair.patient)
    except Exception as error:
        # one strange file must not cost the other cases
        return Exclusion(pair.case, f"{type(error).__name__}: {error}", pair.patient)


def score_pair(pair: CasePair, options: ScoringOptions) -> ScoredCase:
    """Read and score one pair.

    Raises
    ------
    InputError, GeometryError, DataSetError : files that cannot be read or compared, see `score_case`.

    Example
    -------
    >>> score_pair(pair, ScoringOptions("synthrad2023")).score.image["mae_hu"]  # doctest: +SKIP
    61.2
    """
    sct, ct = (read_volume(path, quantity=Quantity.HU) for path in (pair.sct, pair.ct))
    require_same_geometry(sct.geometry, ct.geometry, names="sCT and CT")
    mask, mask_from = mask_of(pair.mask, ct)
    labels = {part: _labels(path, ct) for part, path in (("sct", pair.labels_sct), ("ct", pair.labels_ct))}
    both = {f"labels_{part}": own for part, own in labels.items() if None not in labels.values()}
    score = score_case(sct, ct, mask, protocol=options.protocol, thresholds=options.thresholds, **both)
    extras, why_not = _extras(sct, ct, mask, labels=labels["ct"], options=options)
    files = {"sct": pair.sct, "ct": pair.ct, "mask": pair.mask}
    return ScoredCase(
        pair,
        score,
        mask_from,
        slice_profile(sct, ct, mask),
        extras=extras,
        checksums={part: sha256(path) for part, path in files.items() if path is not None},
        notes=(*_doubts("sCT", sct), *_doubts("CT", ct), *why_not),
    )


def mask_of(path: Path | None, ct: Volume) -> tuple[Volume, str]:
    """The mask a case is scored in and where it is from, in words: the file's, else the body outline of `ct`.

    Raises
    ------
    InputError : a file that cannot be read, an empty mask, a CT without a body. GeometryError : another grid.
    """
    if path is not None:
        mask = read_volume(path, quantity=Quantity.MASK)
        require_mask_fits(mask, ct, names="mask and CT")
        return mask, "mask file"
    from mr2ct.preprocessing.body_mask import body_mask

    return body_mask(ct), "body outline of the CT"


def _labels(path: Path | None, ct: Volume) -> Volume | None:
    if path is None:
        return None
    labels = read_volume(path, quantity=Quantity.MASK)
    require_same_geometry(labels.geometry, ct.geometry, names=f"{path} and CT")
    return labels


def _extras(
    sct: Volume, ct: Volume, mask: Volume, *, labels: Volume | None, options: ScoringOptions
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Figures of skull, path lengths and dose, and why there are none where they cannot be had."""
    figures: dict[str, float] = {}
    notes = []
    if options.skull:
        figures |= skull_figures(sct, ct, mask, thresholds=options.thresholds)
    try:
        if options.path_length:
            from mr2ct.evaluation.path_length import path_length_report

            figures |= path_length_report(sct, ct, mask)
        for modality in options.beams:
            from mr2ct.evaluation.dose import dose_report

            structures = structures_of(labels, target=options.target_label)
            own = dose_report(sct, ct, mask, labels=structures, modality=modality)
            figures |= {f"{modality}_{key}": value for key, value in own.items()}
    except MissingDependencyError:
        raise
    except Mr2ctError as error:
        # the images are compared all the same
        notes.append(str(error))
    return figures, tuple(notes)


def skull_figures(sct: Volume, ct: Volume, mask: Volume, *, thresholds: TissueThresholds) -> dict[str, float]:
    """`SKULL_FIGURES` of a head: how sharp its bone is, and how far the outline of its brain moved; NaN where unknown.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> air = Volume(np.full((9, 9, 9), -1000.0), Geometry((9, 9, 9), np.eye(4)), Quantity.HU)
    >>> skull_figures(air, air, air, thresholds=DEFAULT_THRESHOLDS)
    {'bone_gradient_energy_percent': nan, 'brain_outline_moved_mm': nan}
    """
    from mr2ct.evaluation.brain_outline import brain_outline_moved_mm
    from mr2ct.evaluation.sharpness import bone_gradient_energy_percent

    images, spacing_mm = (sct.voxels, ct.voxels, mask.voxels), ct.geometry.spacing_mm
    sharpness = bone_gradient_energy_percent(*images, spacing_mm, bone_above=thresholds.bone_above)
    return dict(zip(SKULL_FIGURES, (sharpness, brain_outline_moved_mm(*images, spacing_mm)), strict=True))


def structures_of(labels: Volume | None, *, target: int | None) -> dict[str, Volume]:
    """A label map as masks by name: `target` for the label of that number, `label_<n>` for every other.

    Raises
    ------
    DataSetError : a target without a label map, or one that the map does not hold.

    Example
    -------
    >>> structures_of(None, target=None)
    {}
    """
    found = [] if labels is None else [int(n) for n in np.unique(labels.voxels) if n]
    if target is not None and target not in found:
        raise DataSetError("no such target", got=f"label {target}", expected=f"one of {found} in the CT's label map")
    if labels is None:
        return {}
    names = {n: "target" if n == target else f"label_{n}" for n in found}
    return {name: labels.with_voxels((labels.voxels == n).astype(np.uint8)) for n, name in names.items()}


def _doubts(name: str, volume: Volume) -> tuple[str, ...]:
    """What makes one doubt that a volume is in HU."""
    lowest, highest = float(volume.voxels.min()), float(volume.voxels.max())
    if lowest == highest:
        return (f"the {name} is constant: every voxel {lowest:g} HU",)
    if lowest >= _NO_AIR_ABOVE_HU:
        return (f"the {name} holds nothing below {lowest:g}; is it in HU, with air at -1000?",)
    return ()
