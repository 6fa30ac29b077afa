"""Dose-volume figures of a structure: what a plan is judged by (ICRU Report 83, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError, GeometryError


def dose_at_volume(dose: NDArray[Any], structure: NDArray[Any], volume_percent: float) -> float:
    """D_v: the least dose that the most exposed `volume_percent` of a structure get; D98 is near its minimum, D2 near
    its maximum.

    Parameters
    ----------
    dose : any unit, any shape. structure : non-zero inside, the same shape, voxels of one size.
    volume_percent : 0 to 100.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty structure, or a volume that is no percentage.

    Example
    -------
    >>> dose_at_volume(np.arange(101.0), np.ones(101), 98)
    2.0
    """
    if not 0 <= volume_percent <= 100:
        raise DataSetError("no such volume", got=f"{volume_percent} %", expected="0 to 100 %")
    return float(np.percentile(_inside(dose, structure), 100 - volume_percent))


def volume_at_dose(dose: NDArray[Any], structure: NDArray[Any], at_least: float) -> float:
    """V_d: the percentage of a structure that gets `at_least` so much dose; V95 with 95 % of the prescribed dose.

    Raises as `dose_at_volume` does.

    Example
    -------
    >>> volume_at_dose(np.array([50.0, 60.0, 57.0, 0.0]), np.array([1, 1, 1, 0]), 57.0)
    66.7
    """
    return float(100 * np.mean(_inside(dose, structure) >= at_least))


def mean_dose(dose: NDArray[Any], structure: NDArray[Any]) -> float:
    """The mean dose of a structure. Raises as `dose_at_volume` does.

    Example
    -------
    >>> mean_dose(np.array([1.0, 3.0, 9.0]), np.array([1, 1, 0]))
    2.0
    """
    return float(_inside(dose, structure).mean())


def _inside(dose: NDArray[Any], structure: NDArray[Any]) -> NDArray[np.float64]:
    if dose.shape != structure.shape:
        raise GeometryError(
            "dose and structure of different shapes", got=f"{dose.shape}, {structure.shape}", expected="one grid"
        )
    inside = np.asarray(dose[structure != 0], dtype=np.float64)
    if inside.size == 0:
        raise DataSetError("a structure without a voxel", got="an empty mask", expected="at least one voxel inside")
    return inside
