"""Keep a CT inside the range that networks work in: metal and out-of-field padding lie outside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU
from mr2ct.preprocessing.step import Fitted, Images
from mr2ct.volume import Volume


def clip_hu(ct: Volume, *, lowest_hu: int = LOWEST_HU, highest_hu: int = HIGHEST_HU) -> Volume:
    """The CT as int16 HU within [lowest_hu, highest_hu]; a voxel without a number becomes air.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> from mr2ct.volume import Quantity
    >>> ct = Volume(np.full((1, 1, 1), -2048), Geometry((1, 1, 1), np.eye(4)), Quantity.HU)
    >>> clip_hu(ct).voxels.item()
    -1024
    """
    hu = ct.voxels
    if hu.dtype.kind == "f":
        hu = np.rint(np.nan_to_num(hu, nan=lowest_hu, posinf=highest_hu, neginf=lowest_hu))
    return ct.with_voxels(np.clip(hu, lowest_hu, highest_hu).astype(np.int16))


@dataclass(frozen=True)
class ClipHu:
    """Pipeline step: the CT as int16 within a HU range.

    Example
    -------
    >>> ClipHu().lowest_hu
    -1024
    """

    name: ClassVar[str] = "clip_hu"
    lowest_hu: int = LOWEST_HU
    highest_hu: int = HIGHEST_HU

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """The images with a clipped CT; nothing is fitted."""
        if images.ct is None:
            return images, {}
        return Images(
            images.mr, clip_hu(images.ct, lowest_hu=self.lowest_hu, highest_hu=self.highest_hu), images.mask
        ), {}
