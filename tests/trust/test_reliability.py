"""Coverage and its summary, against plain counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mr2ct.errors import DataSetError
from mr2ct.trust.reliability import case_reliability, coverage, reliability_summary, write_reliability_picture


def case(seed, *, patient="p", centre="A", scale=1.0):
    rng = np.random.default_rng(seed)
    ct = rng.choice([-900.0, 40.0, 700.0], 400) + rng.normal(0, 30, 400)
    error = rng.normal(0, 50, 400)
    mask = rng.random(400) < 0.8
    arrays = (ct + error, np.full(400, 82.0 * scale), ct, mask)
    return arrays, case_reliability(*arrays, predicted_mae_hu=40 + seed, patient=patient, centre=centre)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_coverage_is_a_plain_count(seed):
    (sct, half, ct, mask), found = case(seed)
    held = np.abs(sct - ct) <= half
    shares = coverage([found])
    assert shares["all"] == pytest.approx(held[mask].mean())
    assert shares["bone"] == pytest.approx(held[mask & (ct > 250)].mean())
    assert shares["air"] == pytest.approx(held[mask & (ct < -250)].mean())
    assert found.true_mae_hu == pytest.approx(np.abs(sct - ct)[mask].mean())


@given(seed=st.integers(0, 99), scale=st.floats(1, 3))
@settings(max_examples=15, deadline=None)
def test_wider_intervals_cover_no_less(seed, scale):
    assert coverage([case(seed, scale=scale)[1]])["all"] >= coverage([case(seed)[1]])["all"]


def test_what_is_outside_the_mask_does_not_count():
    (sct, half, ct, mask), found = case(1)
    again = case_reliability(np.where(mask, sct, 3000), half, ct, mask, predicted_mae_hu=41)
    assert np.array_equal(again.inside, found.inside)
    assert np.array_equal(again.errors, found.errors)


def test_the_summary_pools_voxels_by_centre_and_bounds_the_mean():
    cases = [case(n, patient=f"p{n}", centre="AB"[n % 2])[1] for n in range(8)]
    summary = reliability_summary(cases)
    assert summary["patients"] == summary["cases"] == 8
    assert summary["coverage_by_centre"]["B"]["all"] == pytest.approx(coverage(cases[1::2])["all"], abs=1e-4)
    low, high = summary["coverage_ci95"]["bone"]
    assert low <= summary["coverage"]["bone"] <= high
    true = [one.true_mae_hu for one in cases]
    expected = np.corrcoef([40 + n for n in range(8)], true)[0, 1]
    assert summary["predicted_mae"]["pearson_cases"] == pytest.approx(expected, abs=1e-3)


def test_one_case_has_no_correlation():
    assert reliability_summary([case(0)[1]])["predicted_mae"]["pearson_cases"] is None


def test_of_one_patient_no_interval_is_stated():
    alone = reliability_summary([case(n, patient="p")[1] for n in range(3)])
    assert set(alone["coverage_ci95"].values()) == {None}
    # only one of two patients has bone
    ct = np.array([-900.0, 40.0])
    boneless = case_reliability(ct, np.ones(2), ct, np.ones(2), predicted_mae_hu=1, patient="q")
    found = reliability_summary([case(0)[1], boneless])["coverage_ci95"]
    assert found["bone"] is None
    assert found["all"][0] < found["all"][1]


def test_the_picture_is_written(tmp_path):
    cases = [case(n, patient=f"p{n}", centre="AB"[n % 2])[1] for n in range(8)]
    write_reliability_picture(cases, tmp_path / "plot.png", title="a model")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width > 800


def test_nothing_to_measure_is_an_error():
    with pytest.raises(DataSetError, match="empty mask"):
        case_reliability(np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3), predicted_mae_hu=0)
    with pytest.raises(DataSetError, match="no case"):
        reliability_summary([])
