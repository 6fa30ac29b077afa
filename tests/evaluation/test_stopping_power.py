"""HU to stopping power: the table's points, straight lines between them, and curves of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.evaluation.stopping_power import CURVES, StoppingPowerCurve, stopping_power_ratio


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_goes_through_its_points_and_says_where_they_are_from(name: str):
    curve = CURVES[name]
    np.testing.assert_allclose(stopping_power_ratio(np.array(curve.hu), curve=name), curve.ratio, rtol=1e-6)
    assert stopping_power_ratio(np.zeros(1), curve=name)[0] == pytest.approx(1)
    assert curve.source


def test_the_default_is_the_table_that_doses_are_calculated_with():
    default_hlut = pytest.importorskip("pyRadPlan.ct", reason="pyRadPlan is not installed (mr2ct[dose])").default_hlut
    np.testing.assert_array_equal(default_hlut(), np.column_stack([CURVES["matrad"].hu, CURVES["matrad"].ratio]))


@given(st.lists(st.floats(-1024, 3071), min_size=2, max_size=2))
def test_more_hu_is_never_less_stopping_power(two: list[float]):
    low, high = stopping_power_ratio(np.sort(np.array(two)))
    assert 0 <= low <= high


def test_a_scanner_s_own_curve():
    own = StoppingPowerCurve("ours", (-1000, 0, 1000), (0.0, 1.0, 1.5), source="phantom of 2026-02-01")
    assert stopping_power_ratio(np.array([[-2000, 500]]), curve=own).tolist() == [[0.0, 1.25]]


@pytest.mark.parametrize("points", [((0, 0), (1, 1)), ((0,), (1,)), ((0, 1), (1,)), ((0, 1), (-1, 1))])
def test_curves_that_are_none_are_refused(points):
    with pytest.raises(InputError, match="unusable stopping power curve 'bad'"):
        StoppingPowerCurve("bad", *points, source="nowhere")


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(InputError, match="expected one of matrad"):
        stopping_power_ratio(np.zeros(1), curve="schneider")
