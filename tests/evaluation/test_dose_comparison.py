"""What is said of two doses of one plan, on doses made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.errors import GeometryError
from mr2ct.evaluation.dose_comparison import dose_figures

SPACING_MM = (3.0, 3.0, 3.0)


@pytest.fixture
def ct_dose() -> np.ndarray:
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, 12)] * 3, indexing="ij")
    return 2.0 / (1 + np.exp((np.sqrt(i**2 + j**2 + k**2) - 0.6) / 0.08))


def figures(sct_dose: np.ndarray, ct_dose: np.ndarray, organs=None) -> dict[str, float]:
    return dose_figures(sct_dose, ct_dose, SPACING_MM, prescribed=2.0, target=ct_dose > 1.9, organs=organs or {})


def test_the_same_dose_has_no_errors(ct_dose: np.ndarray):
    found = figures(ct_dose, ct_dose, {"body": ct_dose > 0.1})
    gammas = {name: value for name, value in found.items() if name.startswith("gamma")}
    assert gammas == {"gamma_pass_2_2_percent": 100, "gamma_pass_3_3_percent": 100}
    assert all(value == 0 for name, value in found.items() if name not in gammas)


def test_a_hot_plan_is_hot_by_so_much(ct_dose: np.ndarray):
    found = figures(1.04 * ct_dose, ct_dose, {"body": ct_dose > 0.1})
    high = ct_dose[ct_dose >= 1.8]
    assert found["high_dose_mae_percent"] == pytest.approx(4 * high.mean() / 2)
    assert found["high_dose_mean_error_percent"] == pytest.approx(found["high_dose_mae_percent"])
    assert found["target_mean_error_percent"] == pytest.approx(4 * ct_dose[ct_dose > 1.9].mean() / 2)
    assert found["target_d98_error_percent"] > 3
    assert found["target_v95_error_percent"] == 0
    assert found["body_d2_error_percent"] == pytest.approx(4, abs=0.2)
    hotter = figures(1.1 * ct_dose, ct_dose)
    assert hotter["gamma_pass_2_2_percent"] <= hotter["gamma_pass_3_3_percent"] < 100


def test_a_cold_plan_misses_the_target(ct_dose: np.ndarray):
    found = figures(0.9 * ct_dose, ct_dose)
    assert found["target_v95_error_percent"] == -100
    assert found["high_dose_mean_error_percent"] == -found["high_dose_mae_percent"] < -8


def test_an_organ_outside_the_planning_grid_has_no_figures(ct_dose: np.ndarray):
    found = figures(ct_dose, ct_dose, {"liver": np.zeros(ct_dose.shape, dtype=bool)})
    assert np.isnan(found["liver_mean_error_percent"])
    assert np.isnan(found["liver_d2_error_percent"])


def test_no_high_dose_and_no_target_are_no_numbers(ct_dose: np.ndarray):
    low = dose_figures(
        ct_dose, ct_dose, SPACING_MM, prescribed=60.0, target=np.zeros(ct_dose.shape, dtype=bool), organs={}
    )
    assert np.isnan(low["high_dose_mae_percent"])
    assert np.isnan(low["target_d98_error_percent"])


def test_other_grids_are_refused(ct_dose: np.ndarray):
    with pytest.raises(GeometryError, match="liver and CT dose"):
        figures(ct_dose, ct_dose, {"liver": np.zeros((2, 2, 2))})
