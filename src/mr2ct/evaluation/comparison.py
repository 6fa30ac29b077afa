"""Is one model better than another, or luckier? Paired tests on patients, effect sizes, and the challenge's ranks.

Patients, not cases, are the units of the tests: figures are averaged over a patient's cases first, because slices of
one head rise and fall together and would make any p small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.errors import DataSetError
from mr2ct.evaluation.metric_names import HIGHER, metric_name


@dataclass(frozen=True)
class PairedTest:
    """Two models on one metric, patient by patient; differences are `one` minus `other`.

    Parameters
    ----------
    hodges_lehmann : the typical difference, in the metric's unit: median of the Walsh averages.
    rank_biserial : matched-pairs rank-biserial correlation, -1..1: how one-sided the differences are.
    p, p_holm : two-sided Wilcoxon signed-rank test, and corrected for all tests of the comparison; NaN where no two
        figures differ or there are fewer than two patients.
    """

    metric: str
    one: str
    other: str
    n_patients: int
    hodges_lehmann: float
    rank_biserial: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Ranked:
    """A model in the rank table: its score in [0, 1] on each metric, their mean, and its place (1 is best)."""

    model: str
    scores: dict[str, float]
    mean_score: float
    rank: int


def paired_tests(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> tuple[PairedTest, ...]:
    """Test every pair of models on every metric, over the patients that both have.

    Parameters
    ----------
    figures : metric -> model -> patient -> figure.

    Source: Wilcoxon 1945; Holm 1979, Scand. J. Stat. 6:65, over all tests returned; Kerby 2014,
    doi:10.2466/11.IT.3.1 (rank-biserial); Hodges and Lehmann 1963.

    Example
    -------
    >>> first, second = {"p1": 1.0, "p2": 2.0}, {"p1": 2.0, "p2": 4.0}
    >>> paired_tests({"mae_hu": {"first": first, "second": second}})[0].rank_biserial
    -1.0
    """
    tests = []
    for metric, by_model in figures.items():
        for one, other in combinations(by_model, 2):
            both = sorted(by_model[one].keys() & by_model[other].keys())
            apart = np.array([by_model[one][patient] - by_model[other][patient] for patient in both])
            tests.append((metric, one, other, apart))
    ps = [wilcoxon_p(apart) for *_, apart in tests]
    return tuple(
        PairedTest(metric, one, other, len(apart), hodges_lehmann(apart), rank_biserial(apart), p, p_holm)
        for (metric, one, other, apart), p, p_holm in zip(tests, ps, holm(ps), strict=True)
    )


def wilcoxon_p(differences: ArrayLike) -> float:
    """Two-sided p of the Wilcoxon signed-rank test, zeros left out; exact for few and untied differences.

    NaN where fewer than two differences are not zero.

    Example
    -------
    >>> wilcoxon_p([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625
    """
    from scipy.stats import wilcoxon

    apart = np.asarray(differences, dtype=np.float64)
    apart = apart[apart != 0]
    return float(wilcoxon(apart).pvalue) if apart.size > 1 else np.nan


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given; NaN stay NaN and do not count.

    Example
    -------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    array = np.asarray(ps, dtype=np.float64)
    corrected = np.full(array.shape, np.nan)
    order = [int(n) for n in np.argsort(array) if np.isfinite(array[n])]
    highest = 0.0
    for place, n in enumerate(order):
        highest = max(highest, min(1.0, float(array[n]) * (len(order) - place)))
        corrected[n] = highest
    return [float(p) for p in corrected]


def rank_biserial(differences: ArrayLike) -> float:
    """(W+ - W-) / (W+ + W-) of the signed ranks: 1 where every difference is above 0, 0 where they balance.

    Example
    -------
    >>> rank_biserial([1.0, 2.0, -3.0])
    0.0
    """
    from scipy.stats import rankdata

    apart = np.asarray(differences, dtype=np.float64)
    apart = apart[apart != 0]
    if not apart.size:
        return 0.0
    ranks = rankdata(np.abs(apart))
    return float((ranks * np.sign(apart)).sum() / ranks.sum())


def hodges_lehmann(differences: ArrayLike) -> float:
    """The median of all pairwise averages (each with itself too): a typical difference that outliers do not move.

    Example
    -------
    >>> hodges_lehmann([1.0, 2.0, 3.0])
    2.0
    """
    apart: NDArray[np.float64] = np.asarray(differences, dtype=np.float64)
    if not apart.size:
        return np.nan
    upper = np.triu_indices(apart.size)
    return float(np.median(((apart[:, None] + apart[None, :]) / 2)[upper]))


def rank_table(means: Mapping[str, Mapping[str, float]]) -> tuple[Ranked, ...]:
    """Rank models as SynthRAD does: each metric scaled to (v - worst) / (best - worst), then averaged.

    Parameters
    ----------
    means : model -> metric -> mean over cases. Every model has the same metrics. One on which all agree gives 1 to all.

    Returns
    -------
    Best first; equal mean scores share a place.

    Raises
    ------
    DataSetError : models with different metrics.

    Source: SynthRAD2023 challenge report, Huijben et al. 2024, doi:10.1016/j.media.2024.103276.

    Example
    -------
    >>> [row.rank for row in rank_table({"a": {"mae_hu": 60.0}, "b": {"mae_hu": 70.0}})]
    [1, 2]
    """
    if len({frozenset(own) for own in means.values()}) > 1:
        raise DataSetError(
            "models with different metrics cannot be ranked", got={m: list(own) for m, own in means.items()}
        )
    metrics = list(next(iter(means.values()), {}))
    scores: dict[str, dict[str, float]] = {model: {} for model in means}
    for metric in metrics:
        values = [own[metric] for own in means.values()]
        best, worst = max(values), min(values)
        if metric_name(metric).better != HIGHER:
            best, worst = worst, best
        for model, own in means.items():
            scores[model][metric] = 1.0 if best == worst else abs((own[metric] - worst) / (best - worst))
    overall = {model: float(np.mean(list(own.values()))) if own else np.nan for model, own in scores.items()}
    places = {model: 1 + sum(other > mean for other in overall.values()) for model, mean in overall.items()}
    return tuple(
        Ranked(model, scores[model], overall[model], places[model]) for model in sorted(means, key=lambda m: places[m])
    )
