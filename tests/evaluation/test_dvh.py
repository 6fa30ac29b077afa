"""Dose-volume figures against a plain sorted list, and what they must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mr2ct.errors import DataSetError, GeometryError
from mr2ct.evaluation.dvh import dose_at_volume, mean_dose, volume_at_dose

doses = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 80))


@given(doses, st.floats(0, 100))
def test_dose_at_volume_against_a_sorted_list(dose: np.ndarray, percent: float):
    found = dose_at_volume(dose, np.ones_like(dose), percent)
    ranked = sorted(dose)
    place = (100 - percent) / 100 * (len(ranked) - 1)
    below, above = ranked[int(place)], ranked[min(int(place) + 1, len(ranked) - 1)]
    assert found == pytest.approx(below + (above - below) * (place - int(place)), abs=1e-6)


@given(doses, st.floats(0.5, 2))
def test_properties(dose: np.ndarray, factor: float):
    whole = np.ones_like(dose)
    slack = 1e-9
    assert dose.min() - slack <= dose_at_volume(dose, whole, 98) <= dose_at_volume(dose, whole, 2) + slack
    assert dose_at_volume(dose, whole, 2) <= dose.max() + slack
    assert volume_at_dose(dose, whole, 0) == 100
    assert volume_at_dose(dose, whole, 81) == 0
    assert mean_dose(factor * dose, whole) == pytest.approx(factor * mean_dose(dose, whole))
    with_more = np.append(dose, 1e6)
    assert mean_dose(with_more, np.append(whole, 0)) == pytest.approx(mean_dose(dose, whole))


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(DataSetError, match="without a voxel"):
        mean_dose(np.ones(3), np.zeros(3))
    with pytest.raises(GeometryError, match="different shapes"):
        volume_at_dose(np.ones(3), np.ones(4), 1)
    with pytest.raises(DataSetError, match="no such volume"):
        dose_at_volume(np.ones(3), np.ones(3), 101)
