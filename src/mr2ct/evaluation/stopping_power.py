"""From HU to what a beam feels: the stopping power of tissue for protons, in units of that of water.

A scanner's own calibration differs by a percent or two; comparing an sCT with its CT, both go through one stated curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError


@dataclass(frozen=True)
class StoppingPowerCurve:
    """Straight lines through (`hu`, `ratio`), constant beyond both ends; `source` says where they are from.

    Parameters
    ----------
    name : what reports call it.
    hu : rising, at least two.
    ratio : stopping power relative to water, none below 0, one for each of `hu`.

    Raises
    ------
    InputError : HU that do not rise, or as many ratios as HU.

    Example
    -------
    >>> StoppingPowerCurve("water", (-1000, 0), (0.0, 1.0), source="definition").hu
    (-1000, 0)
    """

    name: str
    hu: tuple[float, ...]
    ratio: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.hu, self.hu[1:], strict=False))
        if len(self.hu) < 2 or len(self.hu) != len(self.ratio) or not rising or min(self.ratio) < 0:
            raise InputError(
                f"unusable stopping power curve {self.name!r}",
                got=f"HU {self.hu}, ratios {self.ratio}",
                expected="rising HU, and as many ratios that are not below 0",
            )


CURVES = {
    "matrad": StoppingPowerCurve(
        "matrad",
        hu=(-1024, -999, -90, -45, 0, 100, 350, 3000),
        ratio=(0.001, 0.001, 0.95, 0.99, 1.0, 1.095, 1.199, 2.505),
        source="default look-up table of matRad (Wieser et al. 2017, doi:10.1002/mp.12251) and pyRadPlan 0.3.5",
    ),
}
"""The named curves. "matrad" is piecewise linear after Schneider et al. 1996 (doi:10.1088/0031-9155/41/1/009), whose
calibration by tissue it follows: lung, fat, soft tissue and bone have slopes of their own."""

DEFAULT_CURVE = "matrad"


def stopping_power_ratio(hu: NDArray[Any], *, curve: str | StoppingPowerCurve = DEFAULT_CURVE) -> NDArray[np.float32]:
    """The stopping power relative to water, float32, of any shape.

    Parameters
    ----------
    hu : HU.
    curve : a name in `CURVES`, or a curve of your own scanner.

    Raises
    ------
    InputError : an unknown name.

    Example
    -------
    >>> stopping_power_ratio(np.array([-1000.0, 0.0, 100.0])).round(3).tolist()
    [0.001, 1.0, 1.095]
    """
    if isinstance(curve, str):
        if curve not in CURVES:
            raise InputError(
                "unknown stopping power curve", got=repr(curve), expected=f"one of {', '.join(sorted(CURVES))}"
            )
        curve = CURVES[curve]
    return np.asarray(np.interp(hu, curve.hu, curve.ratio), dtype=np.float32)
