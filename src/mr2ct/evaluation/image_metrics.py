"""How far an sCT is from the true CT, in HU and in dB, inside a mask. Pure functions on arrays; no torch."""

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
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    # float64: HU differences of 10^7 voxels are summed
    apart_hu = sct_hu[inside].astype(np.float64)
    apart_hu -= ct_hu[inside]
    return HuError(
        mae_hu=float(np.abs(apart_hu).mean()),
        mean_error_hu=float(apart_hu.mean()),
        rmse_hu=float(np.sqrt(np.dot(apart_hu, apart_hu) / apart_hu.size)),
        n_voxels=apart_hu.size,
    )


def voxels_to_compare(sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Where `mask` is not zero, once it is sure that the three arrays fit and that there is a voxel to compare.

    Raises
    ------
    GeometryError : arrays of different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> voxels_to_compare(np.zeros(2), np.ones(2), np.array([0, 3])).tolist()
    [False, True]
    """
    if not sct_hu.shape == ct_hu.shape == mask.shape:
        raise GeometryError(
            "sCT, CT and mask of different shapes",
            got=f"{sct_hu.shape}, {ct_hu.shape}, {mask.shape}",
            expected="one grid",
        )
    inside = np.asarray(mask != 0)
    if not inside.any():
        raise DataSetError("no voxel to compare", got="an empty mask", expected="at least one voxel inside")
    return inside


def masked_mae_hu(sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any]) -> float:
    """Mean absolute error in HU where `mask` is not zero: the headline figure of the SynthRAD challenges.

    Source: Thummerer et al. 2023, SynthRAD2023, doi:10.5281/zenodo.7260705. Raises as `hu_error` does.

    Example
    -------
    >>> masked_mae_hu(np.zeros(4), np.full(4, -5.0), np.ones(4))
    5.0
    """
    return hu_error(sct_hu, ct_hu, mask).mae_hu


def psnr_db(
    sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], *, lowest_hu: float, highest_hu: float
) -> float:
    """Peak signal-to-noise ratio in dB where `mask` is not zero, both images clipped to [lowest_hu, highest_hu].

    10 log10(range^2 / mean squared difference), the range being highest_hu - lowest_hu, as in the SynthRAD2023 and
    SynthRAD2025 challenges. Infinite where the clipped images agree in every voxel. Raises as `hu_error` does.

    Example
    -------
    >>> round(psnr_db(np.zeros(3), np.full(3, 40.0), np.ones(3), lowest_hu=-1000, highest_hu=3000), 6)
    40.0
    """
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    # float64 before clipping: a limit such as 3000.5 does not fit an int16
    apart_hu = np.clip(sct_hu[inside].astype(np.float64), lowest_hu, highest_hu)
    apart_hu -= np.clip(ct_hu[inside].astype(np.float64), lowest_hu, highest_hu)
    mean_squared = float(np.dot(apart_hu, apart_hu) / apart_hu.size)
    if mean_squared == 0:
        return float("inf")
    return float(10 * np.log10((highest_hu - lowest_hu) ** 2 / mean_squared))
