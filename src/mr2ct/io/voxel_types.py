"""From the numbers in a file to the number types of a Volume, and back to those a file should hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume

_FINITE_REMEDY = "mend the file: replace those voxels, for instance by the background's value"


def require_finite(voxels: NDArray[Any], *, name: str) -> None:
    """Raise InputError, with the count, where a voxel is NaN or infinite. Any shape; integers pass at once.

    Example
    -------
    >>> require_finite(np.zeros((2, 2, 2)), name="mr.nii.gz")
    """
    # min and max carry NaN through, and need no array of booleans as large as the volume
    if voxels.dtype.kind == "f" and not (np.isfinite(voxels.min()) and np.isfinite(voxels.max())):
        n_bad = int(voxels.size - np.isfinite(voxels).sum())
        raise InputError(
            f"{name} has NaN or infinite voxels",
            got=f"{n_bad} of {voxels.size}",
            expected="finite numbers",
            remedy=_FINITE_REMEDY,
        )


def volume_from_file(voxels: NDArray[Any], geometry: Geometry, quantity: Quantity, *, name: str) -> Volume:
    """A Volume of what a reader found: int16 and float32 stay, labels become uint8, all else becomes float32.

    Parameters
    ----------
    voxels : (i, j, k), real numbers of any type.
    name : of the file, for error messages.

    Raises
    ------
    InputError : NaN or infinite voxels, or a mask whose values are not 0 to 255.
    """
    if quantity is Quantity.MASK:
        return Volume(_labels(voxels, name), geometry, quantity)
    if voxels.dtype.kind == "f" and voxels.dtype != np.float32:
        with np.errstate(over="ignore"):
            voxels = voxels.astype(np.float32)
    require_finite(voxels, name=name)
    return Volume(_native(voxels), geometry, quantity)


def _native(voxels: NDArray[Any]) -> NDArray[Any]:
    return voxels if voxels.dtype.isnative else voxels.astype(voxels.dtype.newbyteorder("="))


def _labels(voxels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    require_finite(voxels, name=name)
    lowest, highest = float(voxels.min()), float(voxels.max())
    if lowest < 0 or highest > 255:
        raise InputError(
            f"{name} does not look like a mask",
            got=f"values from {lowest:g} to {highest:g}",
            expected="0 outside and 1 to 255 inside",
        )
    rounded = np.rint(voxels) if voxels.dtype.kind == "f" else voxels
    return np.asarray(rounded, dtype=np.uint8)


def voxels_for_file(volume: Volume) -> NDArray[Any]:
    """The numbers to write: HU as rounded int16, masks as uint8, MR as it is (float32 or int16)."""
    if volume.quantity is Quantity.HU and volume.voxels.dtype != np.int16:
        limits = np.iinfo(np.int16)
        return np.asarray(np.rint(np.clip(volume.voxels, limits.min, limits.max)), dtype=np.int16)
    return volume.voxels
