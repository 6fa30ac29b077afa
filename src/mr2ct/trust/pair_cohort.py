"""What is usual in a data set: the median and spread of each measure among cases of one plane, and of one centre.

Medians and median absolute deviations, so that a third of the cases may be bad without hiding the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ENOUGH_OF_A_CENTRE, ENOUGH = 12, 8

_SIGMA_PER_MAD = 1.4826


@dataclass(frozen=True)
class Usual:
    """The median of a measure in a group, and its spread as a standard deviation would be."""

    median: float
    spread: float

    def departure(self, value: float, *, least_spread: float) -> float:
        """How many spreads the value lies above (or, negative, below) the median.

        Example
        -------
        >>> Usual(1.0, 0.1).departure(0.5, least_spread=0.25)
        -2.0
        """
        return (value - self.median) / max(self.spread, least_spread)


@dataclass(frozen=True)
class Member:
    """A case of a cohort: its plane, its centre and its measures."""

    plane: str
    centre: str
    numbers: Mapping[str, float]


def usual_for(members: Sequence[Member], number: int) -> dict[str, Usual]:
    """What is usual among the case's like: its plane and centre if there are 12, its plane if there are 8, else {}.

    Example
    -------
    >>> cohort = [Member("axial", "A", {"outline_mm": 1.0 + n % 3}) for n in range(8)]
    >>> usual_for(cohort, 0)["outline_mm"].median
    2.0
    """
    own = members[number]
    of_plane = [member for member in members if member.plane == own.plane]
    of_centre = [member for member in of_plane if member.centre == own.centre]
    group = of_centre if len(of_centre) >= ENOUGH_OF_A_CENTRE else of_plane
    if len(group) < ENOUGH:
        return {}
    return {name: _usual([member.numbers[name] for member in group]) for name in own.numbers}


def _usual(values: Sequence[float]) -> Usual:
    known = np.array([value for value in values if np.isfinite(value)])
    if not known.size:
        return Usual(float("nan"), 0.0)
    median = float(np.median(known))
    return Usual(median, _SIGMA_PER_MAD * float(np.median(np.abs(known - median))))
