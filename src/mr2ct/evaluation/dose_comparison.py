"""How far two dose distributions of one plan are apart: one from the CT, one from the sCT. Arrays only, no planning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError
from mr2ct.evaluation.dvh import dose_at_volume, mean_dose, volume_at_dose
from mr2ct.evaluation.gamma import gamma_index, gamma_pass_rate

HIGH_DOSE_SHARE = 0.9
"""The high-dose region: where the CT's dose is at least this share of the prescribed (as in SynthRAD2023)."""

GAMMA_CRITERIA = ((2.0, 2.0), (3.0, 3.0))
"""Percent of the highest dose, global, and millimetres; voxels below 10 % of the highest dose are not scored."""


def dose_figures(
    sct_dose: NDArray[Any],
    ct_dose: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    *,
    prescribed: float,
    target: NDArray[Any],
    organs: Mapping[str, NDArray[Any]],
) -> dict[str, float]:
    """What to say of a plan made on a CT and calculated again on its sCT; differences are sCT minus CT.

    Parameters
    ----------
    sct_dose, ct_dose : (i, j, k), in the unit of `prescribed`. target : non-zero inside. organs : by name, likewise.

    Returns
    -------
    In percent of the prescribed dose: `high_dose_mae_percent` and `high_dose_mean_error_percent` where the CT's dose
    is at least 90 % of the prescribed; `target_d98_error_percent`, `target_mean_error_percent`; `NAME_d2_error_percent`
    and `NAME_mean_error_percent` of each organ. In percent of the target's volume: `target_v95_error_percent`. In
    percent of the scored voxels: `gamma_pass_2_2_percent` and `gamma_pass_3_3_percent`. NaN where a region is empty.

    Raises
    ------
    GeometryError : different shapes. InputError : no dose, or dose that is not finite.

    Example
    -------
    >>> dose, ones = np.full((3, 3, 3), 2.0), np.ones((3, 3, 3))
    >>> figures = dose_figures(dose * 1.01, dose, (3.0, 3.0, 3.0), prescribed=2.0, target=ones, organs={})
    >>> round(figures["high_dose_mae_percent"], 6), figures["gamma_pass_2_2_percent"]
    (1.0, 100.0)
    """
    for name, array in {"sCT dose": sct_dose, "target": target, **organs}.items():
        if array.shape != ct_dose.shape:
            raise GeometryError(f"{name} and CT dose of different shapes", got=array.shape, expected=ct_dose.shape)
    both = (sct_dose, ct_dose)
    percent = 100 / prescribed
    apart = (sct_dose.astype(np.float64) - ct_dose)[ct_dose >= HIGH_DOSE_SHARE * prescribed] * percent
    figures = {
        "high_dose_mae_percent": float(np.abs(apart).mean()) if apart.size else float("nan"),
        "high_dose_mean_error_percent": float(apart.mean()) if apart.size else float("nan"),
    }
    d98, mean, v95 = (float("nan"),) * 3
    if np.any(target):
        d98 = _difference(*(dose_at_volume(dose, target, 98) for dose in both)) * percent
        mean = _difference(*(mean_dose(dose, target) for dose in both)) * percent
        v95 = _difference(*(volume_at_dose(dose, target, 0.95 * prescribed) for dose in both))
    figures |= {"target_d98_error_percent": d98, "target_v95_error_percent": v95, "target_mean_error_percent": mean}
    for name, organ in organs.items():
        figures |= {f"{name}_{key}": value * percent for key, value in _organ(sct_dose, ct_dose, organ).items()}
    for dose_percent, distance_mm in GAMMA_CRITERIA:
        gamma = gamma_index(ct_dose, sct_dose, spacing_mm, dose_percent=dose_percent, distance_mm=distance_mm)
        figures[f"gamma_pass_{dose_percent:.0f}_{distance_mm:.0f}_percent"] = gamma_pass_rate(gamma)
    return figures


def _organ(sct_dose: NDArray[Any], ct_dose: NDArray[Any], organ: NDArray[Any]) -> dict[str, float]:
    if not np.any(organ):
        return {"d2_error_percent": float("nan"), "mean_error_percent": float("nan")}
    both = (sct_dose, ct_dose)
    return {
        "d2_error_percent": _difference(*(dose_at_volume(dose, organ, 2) for dose in both)),
        "mean_error_percent": _difference(*(mean_dose(dose, organ) for dose in both)),
    }


def _difference(of_sct: float, of_ct: float) -> float:
    return of_sct - of_ct
