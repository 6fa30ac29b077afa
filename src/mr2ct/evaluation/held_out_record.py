"""What a model's bundle keeps of its evaluation: the figures of a report, small enough for `bundle.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mr2ct.bundles.evaluation_record import EvaluationRecord, Figure, Figures, WorstCase
from mr2ct.errors import DataSetError
from mr2ct.evaluation.scoring import Evaluation, ScoredCase
from mr2ct.evaluation.statistics import LEVEL, N_RESAMPLES, Summary, patient_means
from mr2ct.evaluation.summary import by_centre, by_tissue, summarise_figures
from mr2ct.io import read_volume
from mr2ct.io.display import Plane, single_plane
from mr2ct.volume import Quantity

_DIGITS = 6
_N_WORST = 3


@dataclass(frozen=True)
class HeldOutSide:
    """Whose cases were scored: the side of the split, how many patients each side has, and what is to be said of it."""

    side: Literal["test", "validation"]
    split: Mapping[str, int]
    caveat: str = ""


def held_out_record(evaluations: Sequence[Evaluation], of: HeldOutSide, *, seed: int) -> EvaluationRecord:
    """The record of one model's cases, scored by one protocol or more.

    Parameters
    ----------
    evaluations : of the same cases; a figure that several protocols give is that of the first.
    seed : of the bootstrap.

    Raises
    ------
    DataSetError : nothing was scored, or the protocols have different cases.

    Example
    -------
    >>> held_out_record([evaluation], HeldOutSide("test", {"test": 24}), seed=0).overall["mae_hu"]  # doctest: +SKIP
    Figure(value=82.05, low=78.92, high=85.31, cases=72, patients=24)
    """
    _require_same_cases(evaluations)
    cases = evaluations[0].cases
    planes = planes_of(cases)
    groups = {plane.value: _chosen(evaluations, planes, plane) for plane in Plane if plane in planes}
    mae_hu = [case.score.image["mae_hu"] for case in cases]
    return EvaluationRecord(
        protocols=tuple(evaluation.protocol for evaluation in evaluations),
        side=of.side,
        split=dict(of.split),
        interval=LEVEL,
        resamples=N_RESAMPLES,
        seed=seed,
        caveat=of.caveat,
        overall=_first_of([summarise_figures(evaluation.cases, seed=seed) for evaluation in evaluations]),
        by_plane={
            plane: _first_of([summarise_figures(own.cases, seed=seed) for own in group])
            for plane, group in groups.items()
        },
        by_centre={
            centre: _first_of([by_centre(evaluation, seed=seed)[centre] for evaluation in evaluations])
            for centre in evaluations[0].centres
        },
        by_tissue={tissue: _figures(own) for tissue, own in by_tissue(evaluations[0], seed=seed).items()},
        mae_hu_by_patient={
            patient: _short(value) for patient, value in patient_means(mae_hu, evaluations[0].patients).items()
        },
        worst=tuple(_worst(case, plane) for case, plane in worst_cases(cases, planes)),
    )


def planes_of(cases: Sequence[ScoredCase]) -> tuple[Plane | None, ...]:
    """The plane of each case, None of a volume. Raises what `read_volume` does where a CT is gone."""
    return tuple(single_plane(read_volume(case.pair.ct, quantity=Quantity.HU).geometry) for case in cases)


def worst_cases(
    cases: Sequence[ScoredCase], planes: Sequence[Plane | None]
) -> tuple[tuple[ScoredCase, Plane | None], ...]:
    """The case of highest MAE in each plane there is, or the three highest where the cases are volumes.

    Example
    -------
    >>> worst_cases([], [])
    ()
    """
    ranked = sorted(zip(cases, planes, strict=True), key=lambda pair: -pair[0].score.image["mae_hu"])
    of_planes = [next(((c, p) for c, p in ranked if p is plane), None) for plane in Plane]
    found = tuple(pair for pair in of_planes if pair is not None)
    return found or tuple(ranked[:_N_WORST])


def _require_same_cases(evaluations: Sequence[Evaluation]) -> None:
    names = {tuple(case.pair.case for case in evaluation.cases) for evaluation in evaluations}
    if len(names) != 1 or not evaluations[0].cases:
        raise DataSetError("no record of an evaluation", got=f"{len(names)} sets of cases", expected="one, not empty")


def _chosen(evaluations: Sequence[Evaluation], planes: Sequence[Plane | None], wanted: Plane) -> list[Evaluation]:
    return [
        Evaluation(
            evaluation.model,
            evaluation.protocol,
            tuple(case for case, plane in zip(evaluation.cases, planes, strict=True) if plane is wanted),
        )
        for evaluation in evaluations
    ]


def _first_of(found: Sequence[Mapping[str, Summary]]) -> Figures:
    return _figures({key: own for summaries in reversed(found) for key, own in summaries.items()})


def _figures(summaries: Mapping[str, Summary]) -> Figures:
    """The finite figures; one that no case has says nothing."""
    return {
        key: Figure(
            value=_short(own.mean),
            low=_short_or_none(own.ci95[0]),
            high=_short_or_none(own.ci95[1]),
            cases=own.n_cases,
            patients=own.n_patients,
        )
        for key, own in summaries.items()
        if math.isfinite(own.mean)
    }


def _worst(case: ScoredCase, plane: Plane | None) -> WorstCase:
    tissues = {tissue: _short(error.mae_hu) for tissue, error in case.score.tissues.items() if tissue != "all"}
    return WorstCase(
        case=case.pair.case,
        patient=case.pair.patient,
        centre=case.pair.centre,
        plane="" if plane is None else plane.value,
        mae_hu=_short(case.score.image["mae_hu"]),
        tissues_mae_hu=tissues,
    )


def _short(value: float) -> float:
    """What a bootstrap can tell apart, and more; all digits would only bloat the file."""
    return float(f"{value:.{_DIGITS}g}")


def _short_or_none(value: float) -> float | None:
    return _short(value) if math.isfinite(value) else None
