"""Hounsfield units: the range mr2ct works in, the map to network units and back, and tissue classes.

Water is 0 HU and air -1000 HU by definition; a CT file stores 12 bits, -1024 to 3071.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import Mr2ctError

LOWEST_HU = -1024
HIGHEST_HU = 3071

AIR_HU = -1000
"""Of air, by definition: what an sCT holds where there is no body. A file's lowest value, -1024, is for padding."""

AIR_BELOW_HU = -250
BONE_ABOVE_HU = 250


class Tissue(StrEnum):
    """Tissue classes by HU alone: air below -250, bone above 250, soft tissue (fat included) between."""

    AIR = "air"
    SOFT_TISSUE = "soft tissue"
    BONE = "bone"


def tissue_mask(
    hu: NDArray[Any], tissue: Tissue, *, air_below: float = AIR_BELOW_HU, bone_above: float = BONE_ABOVE_HU
) -> NDArray[np.bool_]:
    """Where `hu` (any shape) is of the tissue class; the three classes cover everything and do not overlap.

    Example
    -------
    >>> tissue_mask(np.array([-1000, 40, 900]), Tissue.BONE).tolist()
    [False, False, True]
    """
    if tissue is Tissue.AIR:
        return np.asarray(hu < air_below)
    if tissue is Tissue.BONE:
        return np.asarray(hu > bone_above)
    return np.asarray((hu >= air_below) & (hu <= bone_above))


@dataclass(frozen=True)
class HuScaling:
    """The linear map between HU in [lowest_hu, highest_hu] and network units in [-1, 1].

    Example
    -------
    >>> HuScaling(-1000, 1000).to_network(np.array([0.0, 5000.0])).tolist()
    [0.0, 1.0]
    """

    lowest_hu: float = LOWEST_HU
    highest_hu: float = HIGHEST_HU

    def __post_init__(self) -> None:
        if not self.lowest_hu < self.highest_hu:
            raise Mr2ctError(
                "empty HU range", got=f"[{self.lowest_hu}, {self.highest_hu}]", expected="lowest below highest"
            )

    @property
    def hu_per_unit(self) -> float:
        """How many HU one network unit stands for."""
        return (self.highest_hu - self.lowest_hu) / 2

    def to_network(self, hu: NDArray[Any]) -> NDArray[np.float32]:
        """Clip HU to the range and scale it to [-1, 1], float32, any shape."""
        clipped = np.clip(np.asarray(hu, dtype=np.float32), self.lowest_hu, self.highest_hu)
        return ((clipped - self.lowest_hu) / self.hu_per_unit - 1).astype(np.float32)

    def to_hu(self, units: NDArray[Any]) -> NDArray[np.float32]:
        """Clip network units to [-1, 1] and scale them to HU, float32, any shape."""
        clipped = np.clip(np.asarray(units, dtype=np.float32), -1, 1)
        return ((clipped + 1) * np.float32(self.hu_per_unit) + np.float32(self.lowest_hu)).astype(np.float32)
