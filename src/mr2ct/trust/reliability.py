"""Whether stated intervals held: coverage by true tissue and by centre, and predicted against true case MAE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError
from mr2ct.hounsfield import Tissue, tissue_mask
from mr2ct.io.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TISSUES = tuple(Tissue)
STATED_EDGES_HU = np.concatenate([[0], np.geomspace(8, 4096, 25)])
"""Bins of the stated half-width in the reliability plot."""

_ERROR_EDGES_HU = np.concatenate([[0], np.geomspace(1, 4096, 97)])
_DRAWS = 1000
_COLOURS = {Tissue.AIR: "tab:blue", Tissue.SOFT_TISSUE: "tab:green", Tissue.BONE: "tab:orange"}


@dataclass(frozen=True)
class CaseReliability:
    """What one case says about stated intervals.

    Parameters
    ----------
    patient, centre : whose it is. voxels, inside, width_hu : by true tissue (3,): their number, how many of them the
        interval held, the sum of the stated half-widths.
    errors : (tissues, stated half-widths, absolute errors), numbers of voxels.
    predicted_mae_hu, true_mae_hu : of the case.
    """

    patient: str
    centre: str
    voxels: NDArray[np.int64]
    inside: NDArray[np.int64]
    width_hu: NDArray[np.float64]
    errors: NDArray[np.int64]
    predicted_mae_hu: float
    true_mae_hu: float


def case_reliability(
    sct_hu: NDArray[Any],
    half_width_hu: NDArray[Any],
    ct_hu: NDArray[Any],
    mask: NDArray[Any],
    *,
    predicted_mae_hu: float,
    patient: str = "",
    centre: str = "",
) -> CaseReliability:
    """Compare one case with its CT inside `mask`; arrays of one shape.

    Raises
    ------
    DataSetError : an empty mask.

    Example
    -------
    >>> of_case = case_reliability(np.zeros(2), np.full(2, 50), np.array([40, 60]), np.ones(2), predicted_mae_hu=50)
    >>> of_case.inside.tolist(), of_case.true_mae_hu
    ([0, 1, 0], 50.0)
    """
    scored = np.asarray(mask) != 0
    if not scored.any():
        raise DataSetError("nothing to measure", got="an empty mask", expected="a body mask")
    truth, half = np.asarray(ct_hu)[scored].astype(np.float64), np.asarray(half_width_hu)[scored].astype(np.float64)
    error = np.abs(truth - np.asarray(sct_hu)[scored])
    of_tissue = [tissue_mask(truth, tissue) for tissue in TISSUES]
    histograms = [np.histogram2d(half[t], error[t], bins=(STATED_EDGES_HU, _ERROR_EDGES_HU))[0] for t in of_tissue]
    return CaseReliability(
        patient,
        centre,
        np.array([np.count_nonzero(t) for t in of_tissue]),
        np.array([np.count_nonzero(error[t] <= half[t]) for t in of_tissue]),
        np.array([half[t].sum() for t in of_tissue]),
        np.array(histograms).astype(np.int64),
        predicted_mae_hu,
        float(error.mean()),
    )


def coverage(cases: Sequence[CaseReliability]) -> dict[str, float]:
    """The share of voxels inside their interval: "all", and each tissue there is, over all cases' voxels together."""
    voxels, inside = sum(case.voxels for case in cases), sum(case.inside for case in cases)
    found = {"all": float(np.sum(inside) / np.sum(voxels))}
    return found | {
        tissue.value: float(n_inside / n)
        for tissue, n, n_inside in zip(TISSUES, np.atleast_1d(voxels), np.atleast_1d(inside), strict=True)
        if n
    }


def reliability_summary(cases: Sequence[CaseReliability], *, seed: int = 0) -> dict[str, Any]:
    """Coverage overall, by tissue (with a 95 % interval by resampling patients) and by centre; MAE correlations.

    Returns
    -------
    JSON values: `cases`, `patients`, `coverage` and `coverage_ci95` (all, air, soft tissue, bone; None of a single
    patient, of whom no interval can be made), `coverage_by_centre` (centre to the same), `mean_half_width_hu` by
    tissue, `predicted_mae` (Pearson and Spearman correlation over cases and over patients' means, mean of predicted -
    true, mean absolute difference).

    Raises
    ------
    DataSetError : no case.
    """
    if not cases:
        raise DataSetError("nothing to measure", got="no case", expected="held-out patients")
    by_patient, by_centre = _grouped(cases, "patient"), _grouped(cases, "centre")
    voxels, width = sum(case.voxels for case in cases), sum(case.width_hu for case in cases)
    widths = zip(TISSUES, np.atleast_1d(voxels), np.atleast_1d(width), strict=True)
    return {
        "cases": len(cases),
        "patients": len(by_patient),
        "coverage": _rounded(coverage(cases)),
        "coverage_ci95": _confidence(list(by_patient.values()), seed=seed),
        "coverage_by_centre": {centre: _rounded(coverage(found)) for centre, found in sorted(by_centre.items())},
        "mean_half_width_hu": {tissue.value: round(float(w / n), 1) for tissue, n, w in widths if n},
        "predicted_mae": _mae_agreement(cases, by_patient),
    }


def _grouped(cases: Sequence[CaseReliability], by: str) -> dict[str, list[CaseReliability]]:
    groups: dict[str, list[CaseReliability]] = defaultdict(list)
    for case in cases:
        groups[getattr(case, by)].append(case)
    return dict(groups)


def _confidence(patients: Sequence[Sequence[CaseReliability]], *, seed: int) -> dict[str, list[float] | None]:
    voxels = np.array([sum(case.voxels for case in of_one) for of_one in patients])
    inside = np.array([sum(case.inside for case in of_one) for of_one in patients])
    drawn = np.random.default_rng(seed).integers(0, len(patients), (_DRAWS, len(patients)))
    names = ["all", *(tissue.value for tissue in TISSUES)]
    of_patients = np.concatenate([voxels.sum(axis=1, keepdims=True), voxels], axis=1)
    n = of_patients[drawn].sum(axis=1)
    held = np.concatenate([inside.sum(axis=1, keepdims=True), inside], axis=1)[drawn].sum(axis=1)
    found: dict[str, list[float] | None] = {}
    for column, name in enumerate(names):
        n_patients, there = np.count_nonzero(of_patients[:, column]), n[:, column] > 0
        if n_patients == 1:
            found[name] = None
        elif n_patients:
            ends = np.quantile(held[there, column] / n[there, column], [0.025, 0.975])
            found[name] = [round(float(end), 4) for end in ends]
    return found


def _mae_agreement(
    cases: Sequence[CaseReliability], by_patient: dict[str, list[CaseReliability]]
) -> dict[str, float | None]:
    pairs = np.array([(case.predicted_mae_hu, case.true_mae_hu) for case in cases])
    means = np.array(
        [
            np.mean([(case.predicted_mae_hu, case.true_mae_hu) for case in of_one], axis=0)
            for of_one in by_patient.values()
        ]
    )
    difference = pairs[:, 0] - pairs[:, 1]
    return {
        "pearson_cases": _pearson(pairs),
        "spearman_cases": _pearson(_ranks(pairs)),
        "pearson_patients": _pearson(means),
        "spearman_patients": _pearson(_ranks(means)),
        "mean_difference_hu": round(float(difference.mean()), 2),
        "mean_absolute_difference_hu": round(float(np.abs(difference).mean()), 2),
    }


def _pearson(pairs: NDArray[Any]) -> float | None:
    if len(pairs) < 3 or min(np.ptp(pairs, axis=0)) == 0:
        return None
    return round(float(np.corrcoef(pairs.T)[0, 1]), 3)


def _ranks(pairs: NDArray[Any]) -> NDArray[Any]:
    from scipy.stats import rankdata

    return np.asarray(rankdata(pairs, axis=0))


def _rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(share, 4) for name, share in shares.items()}


def write_reliability_picture(
    cases: Sequence[CaseReliability], path: Path, *, interval: float = 0.9, title: str = ""
) -> None:
    """Three panels, PNG: stated half-width against the one that would have held; coverage; predicted against true MAE.

    Raises
    ------
    DataSetError : no case. InputError : the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    summary = reliability_summary(cases)
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    needed, covered, agreement = figure.subplots(1, 3)
    _draw_needed(needed, cases, interval)
    _draw_coverage(covered, summary, interval)
    _draw_agreement(agreement, cases, summary)
    figure.suptitle(title)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw_needed(axes: Axes, cases: Sequence[CaseReliability], interval: float) -> None:
    stated = np.sqrt(np.maximum(STATED_EDGES_HU[:-1], 4) * STATED_EDGES_HU[1:])
    for tissue, counts in zip(TISSUES, np.sum([case.errors for case in cases], axis=0), strict=True):
        many = counts.sum(axis=1) >= 500
        below = np.cumsum(counts, axis=1) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        needed = _ERROR_EDGES_HU[1:][np.argmax(below >= interval, axis=1)]
        axes.plot(stated[many], needed[many], "o-", color=_COLOURS[tissue], label=f"truly {tissue.value}", markersize=4)
    axes.plot([8, 3000], [8, 3000], "k:", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="stated half-width [HU]")
    axes.set(ylabel=f"{interval:.0%} of the voxels have an |error| below [HU]", title="Stated and needed half-widths")
    axes.legend(fontsize=8)


def _draw_coverage(axes: Axes, summary: dict[str, Any], interval: float) -> None:
    groups = {"all": summary["coverage"]} | {f"centre {c}": s for c, s in summary["coverage_by_centre"].items()}
    width = 0.8 / 4
    for n, name in enumerate(["all", *(tissue.value for tissue in TISSUES)]):
        colour = "0.4" if name == "all" else _COLOURS[Tissue(name)]
        heights = [shares.get(name, np.nan) for shares in groups.values()]
        axes.bar(np.arange(len(groups)) + (n - 1.5) * width, heights, width, color=colour, label=name)
    axes.axhspan(interval - 0.03, interval + 0.03, color="0.85", zorder=0)
    axes.axhline(interval, color="k", linewidth=1, linestyle=":")
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set(ylim=(0.75, 1), ylabel="share of voxels inside", title=f"Coverage of the {interval:.0%} interval")
    axes.legend(fontsize=8, ncols=2, loc="upper right")


def _draw_agreement(axes: Axes, cases: Sequence[CaseReliability], summary: dict[str, Any]) -> None:
    for centre, found in sorted(_grouped(cases, "centre").items()):
        pairs = np.array([(case.predicted_mae_hu, case.true_mae_hu) for case in found])
        axes.plot(pairs[:, 0], pairs[:, 1], "o", markersize=4, label=f"centre {centre}" if centre else None)
    top = 1.05 * max(max(case.predicted_mae_hu, case.true_mae_hu) for case in cases)
    axes.plot([0, top], [0, top], "k:", linewidth=1)
    found = summary["predicted_mae"]["pearson_cases"]
    words = "" if found is None else f" (r = {found:.2f})"
    axes.set(xlabel="predicted MAE [HU]", ylabel="true MAE [HU]", title=f"MAE of each case{words}")
    axes.legend(fontsize=8)
