"""A volume: voxels, where they lie, and what they mean; the one value that every room passes on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry


class Quantity(StrEnum):
    """What a voxel's number means."""

    MR = "mr"
    HU = "hu"
    MASK = "mask"


_DTYPES = {
    Quantity.MR: (np.float32, np.int16),
    Quantity.HU: (np.float32, np.int16),
    Quantity.MASK: (np.uint8,),
}


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (i, j, k) on a grid, in a stated quantity. Frozen, and its voxels are a read-only view.

    Parameters
    ----------
    voxels : (i, j, k); float32 or int16 for MR (arbitrary units) and HU, uint8 (0 outside, 1 and up inside) for MASK.
        Other number types are converted: booleans and labels to uint8, all else to float32.
    geometry : the grid; its shape must be that of the voxels.
    quantity : what the numbers mean.

    Raises
    ------
    InputError : voxels that are not real numbers. GeometryError : voxels and grid of different shape.

    Example
    -------
    >>> Volume(np.zeros((2, 3, 4)), Geometry((2, 3, 4), np.eye(4)), Quantity.MR).voxels.dtype.name
    'float32'
    """

    voxels: NDArray[Any]
    geometry: Geometry
    quantity: Quantity

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels)
        if voxels.dtype.kind not in "biuf":
            raise InputError("voxels are not real numbers", got=f"type {voxels.dtype}", expected="integers or floats")
        if voxels.shape != self.geometry.shape:
            raise GeometryError(
                "voxels do not fit their grid", got=f"shape {voxels.shape}", expected=f"shape {self.geometry.shape}"
            )
        allowed = _DTYPES[self.quantity]
        if voxels.dtype.type not in allowed:
            voxels = voxels.astype(allowed[0])
        view = voxels.view()
        view.flags.writeable = False
        object.__setattr__(self, "voxels", view)

    def with_voxels(self, voxels: NDArray[Any], *, quantity: Quantity | None = None) -> Volume:
        """Other voxels on the same grid; the quantity stays unless another is named."""
        return Volume(voxels, self.geometry, self.quantity if quantity is None else quantity)
