"""Intervals from bin probabilities, against sampling and a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.hounsfield import Tissue, tissue_mask
from mr2ct.trust.hu_distribution import (
    EDGES_HU,
    N_BINS,
    TISSUE_OF_BIN,
    TISSUES,
    bin_of,
    expected_error_hu,
    half_widths_hu,
    reweighted,
    tissue_shares,
)


def rows(seed, n=5):
    return np.random.default_rng(seed).dirichlet(np.full(N_BINS, 0.2), size=n).astype(np.float32)


def probability_within(row, low, high):
    """Of one row, added up bin by bin."""
    total = 0.0
    for b, share in enumerate(row):
        a, e = EDGES_HU[b], EDGES_HU[b + 1]
        total += share * max(0.0, min(e, high) - max(a, low)) / (e - a)
    return total


@given(hu=st.integers(-3000, 4000))
def test_a_bin_is_of_the_tissue_that_its_hu_are_of(hu):
    tissue = TISSUES[TISSUE_OF_BIN[bin_of(np.array([hu]))[0]]]
    assert tissue_mask(np.array([hu]), tissue)[0]


@given(seed=st.integers(0, 999), centre=st.integers(-1024, 3071), share=st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_the_half_width_holds_the_share_that_was_asked_for(seed, centre, share):
    probabilities = rows(seed, 1)
    half = float(half_widths_hu(probabilities, np.float32([centre]), share)[0])
    assert probability_within(probabilities[0], centre - half, centre + half) >= share - 1e-3
    # the search ends within half an HU, and no bin is thinner than 10 HU
    assert probability_within(probabilities[0], centre - half + 0.6, centre + half - 0.6) <= share + 1e-3


@given(seed=st.integers(0, 999), low=st.floats(0.1, 0.5), more=st.floats(0, 0.4))
@settings(max_examples=25, deadline=None)
def test_more_probability_needs_no_less_width(seed, low, more):
    probabilities, centre = rows(seed), np.zeros(5, np.float32)
    assert (half_widths_hu(probabilities, centre, low + more) >= half_widths_hu(probabilities, centre, low)).all()


def test_each_row_may_have_its_own_share():
    probabilities, centre = rows(3), np.float32([0, 50, -900, 700, 30])
    shares = np.float32([0.5, 0.6, 0.7, 0.8, 0.9])
    one_by_one = [half_widths_hu(probabilities[n : n + 1], centre[n : n + 1], float(shares[n]))[0] for n in range(5)]
    np.testing.assert_allclose(half_widths_hu(probabilities, centre, shares), one_by_one)


def test_the_expected_error_is_that_of_samples():
    probabilities, rng = rows(1, 1), np.random.default_rng(0)
    bins = rng.choice(N_BINS, 200_000, p=probabilities[0].astype(float) / probabilities[0].sum(dtype=float))
    drawn = EDGES_HU[bins] + rng.random(len(bins)) * (EDGES_HU[bins + 1] - EDGES_HU[bins])
    centre = 475.0  # an edge, so that within every bin the error is linear
    assert expected_error_hu(probabilities, np.float32([centre]))[0] == pytest.approx(
        np.abs(drawn - centre).mean(), rel=0.02
    )


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_weights_of_one_change_nothing_and_a_heavier_tissue_gains(seed):
    probabilities = rows(seed)
    np.testing.assert_allclose(reweighted(probabilities, (1, 1, 1)), probabilities, rtol=1e-4, atol=1e-7)
    bone = TISSUES.index(Tissue.BONE)
    heavier = tissue_shares(reweighted(probabilities, (1, 1, 5)))
    assert (heavier[:, bone] >= tissue_shares(probabilities)[:, bone] - 1e-6).all()
    np.testing.assert_allclose(heavier.sum(axis=1), 1, rtol=1e-4)
