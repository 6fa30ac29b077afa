"""Summaries and intervals: against plain NumPy, and what must hold for any figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import DataSetError
from mr2ct.evaluation.statistics import bootstrap_ci, patient_means, summarise

FIGURES = st.lists(
    st.tuples(st.floats(-1000, 1000), st.sampled_from(["a", "b", "c", "d"])), min_size=2, max_size=20
).filter(lambda rows: len({patient for _, patient in rows}) > 1)


def test_the_interval_agrees_with_a_plain_bootstrap():
    """Resampled patient by patient in a loop, as one would write it down."""
    rng = np.random.default_rng(3)
    patients = [f"p{n // 3}" for n in range(30)]
    values = rng.normal(60, 10, 30) + np.repeat(rng.normal(0, 15, 10), 3)
    own = {p: [v for v, q in zip(values, patients, strict=True) if q == p] for p in patients}
    draw, means = np.random.default_rng(5), []
    for _ in range(4000):
        chosen = draw.choice(list(own), len(own))
        means.append(np.mean([v for p in chosen for v in own[p]]))
    assert bootstrap_ci(values, patients, seed=1) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.8)


def test_patients_that_differ_make_a_wider_interval_than_cases_would():
    values = np.repeat([10.0, 20.0, 30.0, 40.0], 5)
    low, high = bootstrap_ci(values, [f"p{n // 5}" for n in range(20)], seed=0)
    low_cases, high_cases = bootstrap_ci(values, [f"p{n}" for n in range(20)], seed=0)
    assert high - low > 1.5 * (high_cases - low_cases)


@given(FIGURES, st.floats(-100, 100))
def test_a_shift_shifts_everything(rows, shift):
    values, patients = np.array([v for v, _ in rows]), [p for _, p in rows]
    one, other = summarise(values, patients, seed=2), summarise(values + shift, patients, seed=2)
    assert other.mean == pytest.approx(one.mean + shift, abs=1e-6)
    assert other.ci95 == pytest.approx(tuple(end + shift for end in one.ci95), abs=1e-6)
    assert other.sd == pytest.approx(one.sd, abs=1e-6)


@given(FIGURES, st.randoms())
def test_the_order_of_cases_does_not_matter(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = (summarise([v for v, _ in r], [p for _, p in r], seed=4) for r in (rows, shuffled))
    assert one.ci95 == pytest.approx(other.ci95, abs=1e-6)
    assert (one.median, one.n_cases, one.n_patients) == (other.median, other.n_cases, other.n_patients)


@given(FIGURES)
def test_the_interval_holds_the_extremes_at_most(rows):
    values, patients = [v for v, _ in rows], [p for _, p in rows]
    low, high = bootstrap_ci(values, patients, seed=0)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_missing_figures_do_not_count():
    summary = summarise([1.0, np.nan, 3.0, np.inf], ["a", "b", "c", "d"])
    assert (summary.n_cases, summary.n_patients, summary.mean) == (2, 2, 2.0)
    assert summarise([np.nan], ["a"]).n_cases == 0


def test_one_patient_has_no_interval():
    assert np.isnan(summarise([1.0, 2.0], ["a", "a"]).ci95).all()
    assert np.isnan(summarise([1.0], ["a"]).sd)


def test_a_patient_s_mean_is_over_own_cases():
    assert patient_means([1.0, 2.0, 6.0, np.nan], ["b", "a", "b", "c"]) == {"a": 2.0, "b": 3.5}


def test_values_and_patients_must_be_as_many():
    with pytest.raises(DataSetError, match="a value and a patient for each case"):
        summarise([1.0], ["a", "b"])
