"""Figures over cases that hold for patients: mean, median, spread, and intervals that know who belongs together.

Three slices of one head are not three patients. Intervals resample patients, each with all their cases (cluster
bootstrap: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.errors import DataSetError

N_RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """One figure over cases; those without it (NaN) are left out and not counted.

    Parameters
    ----------
    n_cases, n_patients : how many have the figure; with 0 all else is NaN.
    mean, median, sd, q25, q75, lowest, highest : over cases; `sd` with n - 1, NaN for a single case.
    ci95 : of the mean, by `bootstrap_ci`; NaN for a single patient, of whom no interval can be made.
    """

    n_cases: int
    n_patients: int
    mean: float
    median: float
    sd: float
    q25: float
    q75: float
    lowest: float
    highest: float
    ci95: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, `ci95` as a list; NaN stays NaN."""
        return {**asdict(self), "ci95": list(self.ci95)}


def summarise(values: ArrayLike, patients: Sequence[str], *, seed: int = 0) -> Summary:
    """Summarise a figure over cases.

    Parameters
    ----------
    values : (n,), one a case, NaN where the case does not have it.
    patients : (n,), whose each case is.

    Raises
    ------
    DataSetError : different lengths.

    Example
    -------
    >>> summarise([1.0, 2.0, 6.0], ["a", "a", "b"]).median
    2.0
    """
    array = np.asarray(values, dtype=np.float64)
    _require_one_each(array, patients)
    there = np.isfinite(array)
    kept = array[there]
    who = [patient for patient, is_there in zip(patients, there, strict=True) if is_there]
    if not kept.size:
        return Summary(0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, (np.nan, np.nan))
    q25, median, q75 = (float(q) for q in np.percentile(kept, (25, 50, 75)))
    return Summary(
        n_cases=int(kept.size),
        n_patients=len(set(who)),
        mean=float(kept.mean()),
        median=median,
        sd=float(kept.std(ddof=1)) if kept.size > 1 else np.nan,
        q25=q25,
        q75=q75,
        lowest=float(kept.min()),
        highest=float(kept.max()),
        ci95=bootstrap_ci(kept, who, seed=seed),
    )


def bootstrap_ci(
    values: ArrayLike, patients: Sequence[str], *, seed: int, n_resamples: int = N_RESAMPLES, level: float = LEVEL
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over cases, patients resampled with all their cases.

    Parameters
    ----------
    values : (n,) finite. patients : (n,). The order of the cases does not matter: patients are drawn in sorted order.

    Returns
    -------
    Lower and upper bound; two NaN where there are fewer than two patients.

    Example
    -------
    >>> low, high = bootstrap_ci([1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"], seed=1)
    >>> 1.0 <= low < 2.5 < high <= 4.0
    True
    """
    array = np.asarray(values, dtype=np.float64)
    _require_one_each(array, patients)
    names, owner = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    if len(names) < 2:
        return (np.nan, np.nan)
    sums, counts = np.bincount(owner, weights=array), np.bincount(owner)
    drawn = np.random.default_rng(seed).integers(0, len(names), (n_resamples, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return (float(low), float(high))


def patient_means(values: ArrayLike, patients: Sequence[str]) -> dict[str, float]:
    """Patient -> mean over their cases that have the figure; patients without any are left out.

    Example
    -------
    >>> patient_means([1.0, 3.0, float("nan")], ["a", "a", "b"])
    {'a': 2.0}
    """
    array: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    _require_one_each(array, patients)
    found: dict[str, list[float]] = {}
    for value, patient in zip(array, patients, strict=True):
        if np.isfinite(value):
            found.setdefault(patient, []).append(float(value))
    return {patient: float(np.mean(own)) for patient, own in sorted(found.items())}


def _require_one_each(values: NDArray[np.float64], patients: Sequence[str]) -> None:
    if values.shape != (len(patients),):
        raise DataSetError("a value and a patient for each case", got=f"{values.shape} and {len(patients)}")
