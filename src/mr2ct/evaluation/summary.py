"""The figures for machines: `cases.csv`, a row a case, and `summary.json`, over cases, centres and tissues."""

from __future__ import annotations

import csv
import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import mr2ct
from mr2ct.evaluation.comparison import PairedTest, Ranked, paired_tests, rank_table
from mr2ct.evaluation.metric_names import IMAGE_METRICS
from mr2ct.evaluation.scoring import Evaluation, ScoredCase, centre_of
from mr2ct.evaluation.statistics import LEVEL, N_RESAMPLES, Summary, patient_means, summarise
from mr2ct.io.atomic import atomic_file

FIRST_COLUMNS = ("case", "patient", "centre", *IMAGE_METRICS)
"""How every `cases.csv` begins; a metric that the protocol does not have is an empty cell."""

_TISSUE_FIGURES = ("mae_hu", "mean_error_hu", "rmse_hu")
_PACKAGES = ("numpy", "scipy", "SimpleITK", "nibabel", "matplotlib", "pyRadPlan")


def figures_of(case: ScoredCase) -> dict[str, float]:
    """Every figure of a case but those of the tissues: image metrics first, keys as in `summary.json`.

    Example
    -------
    >>> list(figures_of(case))[:2]  # doctest: +SKIP
    ['mae_hu', 'psnr_db']
    """
    figures = dict(case.score.image)
    if "all" in case.score.tissues:
        everywhere = case.score.tissues["all"]
        figures |= {"mean_error_hu": everywhere.mean_error_hu, "rmse_hu": everywhere.rmse_hu}
    figures |= case.score.geometry
    figures["histogram_overlap"] = case.score.histogram_overlap
    return figures | case.extras


def tissue_figures_of(case: ScoredCase) -> dict[str, dict[str, float]]:
    """Tissue -> `mae_hu`, `mean_error_hu`, `rmse_hu` of a case, for the tissues its CT has inside the mask."""
    errors = {tissue: error for tissue, error in case.score.tissues.items() if tissue != "all"}
    return {tissue: {name: getattr(error, name) for name in _TISSUE_FIGURES} for tissue, error in errors.items()}


def keys_in_order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that any of the rows has, in the order they are first met.

    Example
    -------
    >>> keys_in_order([{"a": 1}, {"b": 2, "a": 3}])
    ['a', 'b']
    """
    return list(dict.fromkeys(key for row in rows for key in row))


def summarise_figures(cases: Sequence[ScoredCase], *, seed: int) -> dict[str, Summary]:
    """Key -> summary over `cases` of each figure of `figures_of`; a case without it does not count."""
    return _summaries([figures_of(case) for case in cases], [case.pair.patient for case in cases], seed=seed)


def _summaries(rows: Sequence[Mapping[str, float]], patients: Sequence[str], *, seed: int) -> dict[str, Summary]:
    return {
        key: summarise([row.get(key, math.nan) for row in rows], patients, seed=seed) for key in keys_in_order(rows)
    }


def by_centre(evaluation: Evaluation, *, seed: int) -> dict[str, dict[str, Summary]]:
    """Centre -> key -> summary over that centre's cases."""
    groups = {c: [case for case in evaluation.cases if centre_of(case) == c] for c in evaluation.centres}
    return {centre: summarise_figures(cases, seed=seed) for centre, cases in groups.items()}


def by_tissue(evaluation: Evaluation, *, seed: int) -> dict[str, dict[str, Summary]]:
    """Tissue -> key -> summary over the cases that have the tissue."""
    rows = [tissue_figures_of(case) for case in evaluation.cases]
    return {
        tissue: _summaries([row.get(tissue, {}) for row in rows], evaluation.patients, seed=seed)
        for tissue in keys_in_order(rows)
    }


def common_cases(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """The cases that every model has, sorted."""
    names = [{case.pair.case for case in evaluation.cases} for evaluation in evaluations]
    return tuple(sorted(set.intersection(*names))) if names else ()


def compare(evaluations: Sequence[Evaluation]) -> tuple[tuple[PairedTest, ...], tuple[Ranked, ...]]:
    """Paired tests and rank table of two or more models, on the cases they share and the metrics of the protocol.

    On each metric only the cases on which every model has a finite figure count; a metric without any is left out (PSNR
    where a model is perfect).

    Example
    -------
    >>> tests, ranks = compare([first, second])  # doctest: +SKIP
    """
    figures: dict[str, dict[str, dict[str, float]]] = {}
    means: dict[str, dict[str, float]] = {}
    shared = common_cases(evaluations)
    by_name = {each.model: {case.pair.case: case for case in each.cases} for each in evaluations}
    cases = {model: [own[name] for name in shared] for model, own in by_name.items()}
    for metric in keys_in_order([case.score.image for evaluation in evaluations for case in evaluation.cases]):
        values = {model: [case.score.image.get(metric, math.nan) for case in own] for model, own in cases.items()}
        finite = np.flatnonzero(np.isfinite(list(values.values())).all(axis=0))
        if not finite.size:
            continue
        figures[metric] = {}
        for model, own in cases.items():
            kept = [values[model][n] for n in finite]
            figures[metric][model] = patient_means(kept, [own[n].pair.patient for n in finite])
            means.setdefault(model, {})[metric] = sum(kept) / len(kept)
    return paired_tests(figures), rank_table(means)


def software() -> dict[str, str]:
    """Versions of mr2ct, Python and the packages that figures depend on, as far as they are installed.

    Example
    -------
    >>> software()["mr2ct"] == mr2ct.__version__
    True
    """
    found = {"mr2ct": mr2ct.__version__, "Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def summary_of(evaluation: Evaluation, *, seed: int) -> dict[str, Any]:
    """The statistics of one model, JSON-able: `overall`, `by_centre`, `by_tissue`, and who is in and who is not."""
    return {
        "model": evaluation.model,
        "n_cases": len(evaluation.cases),
        "n_patients": len(set(evaluation.patients)),
        "overall": _plain(summarise_figures(evaluation.cases, seed=seed)),
        "by_centre": {centre: _plain(own) for centre, own in by_centre(evaluation, seed=seed).items()},
        "by_tissue": {tissue: _plain(own) for tissue, own in by_tissue(evaluation, seed=seed).items()},
        "excluded": [{"case": e.case, "reason": e.reason} for e in evaluation.excluded],
        "notes": {case.pair.case: list(case.notes + case.score.notes) for case in evaluation.cases},
    }


def write_summary(path: Path, evaluations: Sequence[Evaluation], *, seed: int) -> None:
    """Write `summary.json`: that of the first model, and those of the others under `models`, with their comparison.

    Numbers that are not finite become null.
    """
    first, *others = evaluations
    record = {
        "protocol": first.protocol,
        **summary_of(first, seed=seed),
        "files": {
            case.pair.case: {
                part: {"path": str(getattr(case.pair, part)), "sha256": digest}
                for part, digest in case.checksums.items()
            }
            for case in first.cases
        },
        "statistics": {"interval": LEVEL, "resamples": N_RESAMPLES, "seed": seed, "resampled": "patients"},
        "software": software(),
    }
    if others:
        tests, ranks = compare(evaluations)
        record["models"] = {other.model: summary_of(other, seed=seed) for other in others}
        record["comparison"] = {
            "cases": list(common_cases(evaluations)),
            "paired_tests": [vars(test) for test in tests],
            "ranks": [vars(rank) for rank in ranks],
        }
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(_finite(record), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_cases(path: Path, evaluation: Evaluation) -> None:
    """Write `cases.csv`: `FIRST_COLUMNS`, every other figure, figures by tissue, where the mask is from, and files."""
    rows = [_row(case) for case in evaluation.cases]
    columns = [*FIRST_COLUMNS, *(key for key in keys_in_order(rows) if key not in FIRST_COLUMNS)]
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _row(case: ScoredCase) -> dict[str, str]:
    figures = figures_of(case)
    for tissue, own in tissue_figures_of(case).items():
        figures |= {f"{tissue.replace(' ', '_')}_{name}": value for name, value in own.items()}
    pair = case.pair
    row = {"case": pair.case, "patient": pair.patient, "centre": pair.centre}
    row |= {key: "" if math.isnan(value) else f"{value:.10g}" for key, value in figures.items()}
    row |= {"mask_from": case.mask_from, "notes": "; ".join(case.notes + case.score.notes)}
    for part, digest in case.checksums.items():
        row |= {part: str(getattr(pair, part)), f"{part}_sha256": digest}
    return row


def _plain(summaries: Mapping[str, Summary]) -> dict[str, Any]:
    return {key: own.to_dict() for key, own in summaries.items()}


def _finite(value: Any) -> Any:
    """The same JSON value with null for every number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: _finite(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
