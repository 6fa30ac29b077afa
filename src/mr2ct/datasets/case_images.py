"""The images of a case, read and brought onto one grid: the MR's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.errors import DataSetError
from mr2ct.geometry import Geometry
from mr2ct.hounsfield import LOWEST_HU
from mr2ct.io import read_volume
from mr2ct.io.checks import require_mask_fits, require_mr, require_not_constant
from mr2ct.io.images import describes_itself, holds_pictures, usable_spacing, usable_window
from mr2ct.volume import Quantity, Volume

ALIGNMENTS = ("same", "resample", "rigid")


@dataclass(frozen=True)
class Reading:
    """How the files of a data set are read, and how a CT is brought onto its MR's grid.

    Parameters
    ----------
    align : "same": CT and MR lie on one grid, or it is an error; "resample": they lie in one frame, and the CT is
        resampled; "rigid": the CT is registered to the MR, then resampled.
    picture_spacing_mm : for pictures, mm per pixel. picture_hu_window : the HU of black and white in CT pictures.
    force : accept images that look like another modality.

    Example
    -------
    >>> Reading(align="rigid").force
    False
    """

    align: str = "same"
    picture_spacing_mm: float | None = None
    picture_hu_window: tuple[float, float] | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise DataSetError("unknown alignment", got=repr(self.align), expected=f"one of {', '.join(ALIGNMENTS)}")
        if self.picture_spacing_mm is not None:
            usable_spacing(self.picture_spacing_mm)
        if self.picture_hu_window is not None:
            usable_window(self.picture_hu_window)

    def to_record(self) -> dict[str, Any]:
        """What changes the voxels of a case, as JSON values; `force` only decides whether it is taken."""
        window = self.picture_hu_window
        return {
            "align": self.align,
            "picture_spacing_mm": self.picture_spacing_mm,
            "picture_hu_window": None if window is None else list(window),
        }


def require_told(cases: Iterable[PairedCase | UnpairedCase], reading: Reading) -> None:
    """Raise DataSetError where pictures are among the cases and `reading` does not say what they need to be read."""
    for case in cases:
        if isinstance(case, UnpairedCase):
            _require_told(case.path, case.quantity, reading)
        else:
            _require_told(case.mr, Quantity.MR, reading)
            _require_told(case.ct, Quantity.HU, reading)


@dataclass(frozen=True)
class Pair:
    """The images of a paired case, on its MR's grid.

    Parameters
    ----------
    mask : the body; None where the data set has none.
    covered : mask, 1 where a CT that was resampled was imaged; None where it lies on the MR's grid by itself.
    found : what the alignment found, JSON-able.
    """

    mr: Volume
    ct: Volume
    mask: Volume | None
    covered: Volume | None
    found: dict[str, Any]

    @property
    def compared(self) -> Volume | None:
        """The part of the mask in which the CT is the truth; None where there is no mask."""
        if self.mask is None or self.covered is None:
            return self.mask
        return self.mask.with_voxels(np.where(self.covered.voxels > 0, self.mask.voxels, 0).astype(np.uint8))


def read_paired(case: PairedCase, reading: Reading) -> Pair:
    """The images of a case on the MR's grid; a CT that is resampled is -1024 HU where it was not imaged.

    Raises
    ------
    InputError, GeometryError : as `read_volume`; a constant image, a CT for an MR, a mask on another grid.
    """
    mr, mask = read_mr(case, reading)
    ct = _read(case.ct, Quantity.HU, reading)
    if case.side_by_side:
        ct = _half(ct, 1)
    require_not_constant(ct)
    if reading.align == "same":
        return Pair(mr, ct, mask, covered=None, found={})
    from mr2ct.preprocessing.resampling import resample_to

    world_transform, found = None, {}
    if reading.align == "rigid":
        from mr2ct.preprocessing.registration import register_rigid

        transform = register_rigid(mr, ct)
        world_transform, found = transform.matrix, {"registration": transform.to_dict()}
    imaged = ct.with_voxels(np.ones(ct.voxels.shape, dtype=np.uint8), quantity=Quantity.MASK)
    covered = resample_to(imaged, mr.geometry, outside=0, world_transform=world_transform)
    ct = resample_to(ct, mr.geometry, outside=LOWEST_HU, world_transform=world_transform)
    return Pair(mr, ct, mask, covered, found)


def read_mr(case: PairedCase | UnpairedCase, reading: Reading) -> tuple[Volume, Volume | None]:
    """MR and mask (or None) of a case that has an MR; errors as `read_paired`."""
    if isinstance(case, UnpairedCase):
        mr, mask = _read(case.path, Quantity.MR, reading), None
    else:
        mr = _read(case.mr, Quantity.MR, reading)
        mask = None if case.mask is None else _read(case.mask, Quantity.MASK, reading)
        if case.side_by_side:
            mr = _half(mr, 0)
    require_mr(mr, force=reading.force)
    if mask is not None:
        require_mask_fits(mask, mr)
    return mr, mask


def read_ct(case: UnpairedCase, reading: Reading) -> Volume:
    """The CT of an unpaired case; errors as `read_paired`."""
    ct = _read(case.path, Quantity.HU, reading)
    require_not_constant(ct)
    return ct


def _read(path: Path, quantity: Quantity, reading: Reading) -> Volume:
    _require_told(path, quantity, reading)
    return read_volume(
        path,
        quantity=quantity,
        spacing_mm=reading.picture_spacing_mm,
        hu_window=reading.picture_hu_window if quantity is Quantity.HU else None,
        force=reading.force,
    )


def _require_told(path: Path, quantity: Quantity, reading: Reading) -> None:
    """Pictures say neither how large their pixels are nor, of a CT, what their greys mean, unless mr2ct wrote them."""
    if not holds_pictures(path) or describes_itself(path):
        return
    if reading.picture_spacing_mm is None:
        raise DataSetError(f"{path} does not say how large its pixels are", remedy="give --picture-spacing-mm")
    if quantity is Quantity.HU and reading.picture_hu_window is None:
        raise DataSetError(f"{path} does not say which HU black and white are", remedy="give --hu-window LOW HIGH")


def _half(picture: Volume, number: int) -> Volume:
    """The left (0) or right (1) half of a picture, both on the grid of the left one."""
    columns = picture.voxels.shape[0]
    if columns % 2:
        raise DataSetError(
            "a picture of two halves has an odd width", got=f"{columns} columns", expected="MR and CT of one width"
        )
    half = columns // 2
    shape = (half, picture.voxels.shape[1], picture.voxels.shape[2])
    voxels = np.ascontiguousarray(picture.voxels[number * half : (number + 1) * half])
    return Volume(voxels, Geometry(shape, picture.geometry.affine), picture.quantity)
