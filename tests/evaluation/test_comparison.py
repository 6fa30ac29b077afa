"""Tests, effect sizes and ranks: against implementations written out plainly, and their symmetries."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import DataSetError
from mr2ct.evaluation.comparison import hodges_lehmann, holm, paired_tests, rank_biserial, rank_table, wilcoxon_p

DIFFERENCES = st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=12)


def test_p_counts_all_signs():
    """The exact null distribution: every one of the 2^n ways to sign the ranks."""
    apart = np.array([3.0, -1.0, 7.0, 4.5, -2.0, 9.0, 6.0])
    ranks = np.argsort(np.argsort(np.abs(apart))) + 1
    statistic = min(ranks[apart > 0].sum(), ranks[apart < 0].sum())
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in product((0, 1), repeat=7)]
    expected = np.mean([min(total, ranks.sum() - total) <= statistic for total in sums])
    assert wilcoxon_p(apart) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_its_definition(ps):
    corrected = holm(ps)
    ascending = sorted(ps)
    for p, own in zip(ps, corrected, strict=True):
        place = max(n for n, q in enumerate(ascending) if q == p)
        expected = max(min(1.0, q * (len(ps) - n)) for n, q in enumerate(ascending[: place + 1]))
        assert own == pytest.approx(expected)
        assert p <= own <= 1


def test_holm_leaves_out_what_is_no_number():
    assert holm([0.01, np.nan, 0.04])[0] == pytest.approx(0.02)
    assert np.isnan(holm([0.01, np.nan])[1])


@given(DIFFERENCES)
def test_effects_change_sign_with_the_models(apart):
    swapped = [-own for own in apart]
    assert rank_biserial(swapped) == pytest.approx(-rank_biserial(apart), abs=1e-12)
    assert hodges_lehmann(swapped) == pytest.approx(-hodges_lehmann(apart), abs=1e-12)
    assert -1 <= rank_biserial(apart) <= 1


@given(DIFFERENCES)
def test_the_typical_difference_is_the_median_of_walsh_averages(apart):
    walsh = [(one + other) / 2 for one, other in combinations_with_replacement(apart, 2)]
    assert hodges_lehmann(apart) == pytest.approx(np.median(walsh))


def test_only_patients_of_both_models_are_tested():
    figures = {"mae_hu": {"a": {"p1": 1.0, "p2": 2.0, "p3": 3.0}, "b": {"p1": 2.0, "p2": 4.0, "p9": 0.0}}}
    [test] = paired_tests(figures)
    assert (test.n_patients, test.hodges_lehmann, test.rank_biserial) == (2, -1.5, -1.0)


def test_equal_models_have_no_p():
    same = {f"p{n}": float(n) for n in range(5)}
    [test] = paired_tests({"mae_hu": {"a": same, "b": dict(same)}})
    assert np.isnan(test.p)
    assert np.isnan(test.p_holm)


def test_three_models_make_three_tests_a_metric_corrected_together():
    rng = np.random.default_rng(0)
    models = {m: {f"p{n}": rng.normal(shift, 1) for n in range(12)} for m, shift in (("a", 0), ("b", 1), ("c", 5))}
    tests = paired_tests({"mae_hu": models, "psnr_db": models})
    assert len(tests) == 6
    assert holm([test.p for test in tests]) == [test.p_holm for test in tests]


def test_ranks_are_scaled_from_worst_to_best():
    """The challenge's normalisation by hand: MAE 60, 80, 70; PSNR 30, 28, 26."""
    means = {
        "a": {"mae_hu": 60.0, "psnr_db": 30.0},
        "b": {"mae_hu": 80.0, "psnr_db": 28.0},
        "c": {"mae_hu": 70.0, "psnr_db": 26.0},
    }
    table = rank_table(means)
    assert [(row.model, row.rank) for row in table] == [("a", 1), ("b", 2), ("c", 2)]
    assert [row.scores for row in table] == [
        {"mae_hu": 1.0, "psnr_db": 1.0},
        {"mae_hu": 0.0, "psnr_db": 0.5},
        {"mae_hu": 0.5, "psnr_db": 0.0},
    ]


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(1, 100), min_size=2, max_size=6))
def test_the_best_model_has_the_lowest_error(maes):
    table = rank_table({model: {"mae_hu": mae} for model, mae in maes.items()})
    assert maes[table[0].model] == pytest.approx(min(maes.values()))  # scores of two models may round alike
    assert table[0].mean_score == 1.0
    assert all(0 <= row.mean_score <= 1 for row in table)


def test_models_with_different_metrics_cannot_be_ranked():
    with pytest.raises(DataSetError, match="cannot be ranked"):
        rank_table({"a": {"mae_hu": 1.0}, "b": {"ssim": 1.0}})
