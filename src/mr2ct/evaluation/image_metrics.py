"""How far an sCT is from the true CT, in HU, inside a mask. Pure functions on arrays; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError, GeometryError


@dataclass(frozen=True)
class HuError:
    """Errors in HU over `n_voxels` voxels: mean absolute, mean signed (sCT minus CT), and root mean square."""

    mae_hu: float
    mean_error_hu: float
    rmse_hu: float
    n_voxels: int


def hu_error(sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any]) -> HuError:
    """Compare `sct_hu` with `ct_hu` where `mask` is not zero; all three of one shape, any dimensions.

    Raises
    ------
    GeometryError : arrays of different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> hu_error(np.array([10.0, 0.0, 99.0]), np.array([0.0, 20.0, 0.0]), np.array([1, 1, 0])).mae_hu
    15.0
    """
    if not sct_hu.shape == ct_hu.shape == mask.shape:
        raise GeometryError(
            "sCT, CT and mask of different shapes",
            got=f"{sct_hu.shape}, {ct_hu.shape}, {mask.shape}",
            expected="one grid",
        )
    inside = mask != 0
    n_voxels = int(inside.sum())
    if n_voxels == 0:
        raise DataSetError("no voxel to compare", got="an empty mask", expected="at least one voxel inside")
    # float64: HU differences of 10^7 voxels are summed
    apart_hu = sct_hu[inside].astype(np.float64) - ct_hu[inside].astype(np.float64)
    return HuError(
        mae_hu=float(np.abs(apart_hu).mean()),
        mean_error_hu=float(apart_hu.mean()),
        rmse_hu=float(np.sqrt((apart_hu**2).mean())),
        n_voxels=n_voxels,
    )


def masked_mae_hu(sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any]) -> float:
    """Mean absolute error in HU where `mask` is not zero: the headline figure of the SynthRAD challenges.

    Source: Thummerer et al. 2023, SynthRAD2023, doi:10.5281/zenodo.7260705. Raises as `hu_error` does.

    Example
    -------
    >>> masked_mae_hu(np.zeros(4), np.full(4, -5.0), np.ones(4))
    5.0
    """
    return hu_error(sct_hu, ct_hu, mask).mae_hu
