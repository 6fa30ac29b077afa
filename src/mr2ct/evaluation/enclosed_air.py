"""Air inside a head: in the sinuses it must be there, in the brain it must not.

Needs no true CT: no healthy brain holds air, and no head is without sinuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError
from mr2ct.hounsfield import AIR_BELOW_HU

Spacing = tuple[float, float, float]

BRAIN_DEPTH_MM = 22.0
"""Deeper than scalp, vault and frontal sinus together."""

BRAIN_HEIGHT_MM = 80.0
"""Below the vertex, down to which deep voxels are brain: above the orbits' roofs, the sinuses and the mastoids."""

ENCLOSED_DEPTH_MM = 6.0
"""Air this deep below the outline is not the room beside an ear."""


@dataclass(frozen=True)
class Pockets:
    """Connected regions: how many of at least `POCKET_ML`, the volume of all and of the largest, in ml."""

    count: int
    total_ml: float
    largest_ml: float


POCKET_ML = 0.02
"""Some twenty voxels of 1 mm."""


def pockets(where: NDArray[np.bool_], spacing_mm: Spacing) -> Pockets:
    """The connected regions (by faces) of a mask (i, j, k).

    Example
    -------
    >>> cubes = np.zeros((9, 9, 9), bool); cubes[:3, :3, :3] = cubes[5:, 5:, 5:] = True
    >>> pockets(cubes, (1.0, 1.0, 1.0))
    Pockets(count=2, total_ml=0.091, largest_ml=0.064)
    """
    from scipy import ndimage

    regions, _ = ndimage.label(where)
    ml = np.bincount(regions.ravel())[1:] * float(np.prod(spacing_mm)) / 1000
    return Pockets(int((ml >= POCKET_ML).sum()), float(ml.sum()), float(ml.max(initial=0)))


def enclosed_air(
    hu: NDArray[Any], depth_mm: NDArray[np.float32], *, air_below: float = AIR_BELOW_HU
) -> NDArray[np.bool_]:
    """Air in the head more than 6 mm below its outline: sinuses, airways, mastoids; (i, j, k).

    Parameters
    ----------
    hu : (i, j, k). depth_mm : below the outline, of a head with the air it encloses, as
        `mr2ct.preprocessing.morphology.depth_mm` has it: 0 outside.

    Raises
    ------
    GeometryError : different shapes.

    Example
    -------
    >>> from mr2ct.preprocessing.morphology import depth_mm
    >>> hu = np.full((21, 21, 21), 40.0); hu[9:12, 9:12, 9:12] = hu[0] = -1000
    >>> int(enclosed_air(hu, depth_mm(np.ones(hu.shape, bool), (1.0, 1.0, 1.0))).sum())
    27
    """
    if hu.shape != depth_mm.shape:
        raise GeometryError("image and depth of different shapes", got=f"{hu.shape} and {depth_mm.shape}")
    return np.asarray((hu < air_below) & (depth_mm > ENCLOSED_DEPTH_MM))


def deep_brain(depth_mm: NDArray[np.float32], spacing_mm: Spacing) -> NDArray[np.bool_]:
    """Where a head holds brain and nothing else: 22 mm below its outline, at most 80 mm below its vertex.

    Parameters
    ----------
    depth_mm : (i, j, k) along right, anterior, superior, below the outline, 0 outside; a head at most 15 degrees from
        upright.

    Example
    -------
    >>> from mr2ct.preprocessing.morphology import depth_mm
    >>> depth = depth_mm(np.ones((60, 60, 60), bool), (2.0, 2.0, 2.0))
    >>> int(deep_brain(depth, (2.0, 2.0, 2.0)).any(axis=(0, 1)).sum())
    30
    """
    deep = depth_mm > BRAIN_DEPTH_MM
    occupied = np.flatnonzero((depth_mm > 0).any(axis=(0, 1)))
    if len(occupied):
        deep[:, :, : max(0, int(occupied[-1] - BRAIN_HEIGHT_MM / spacing_mm[2]))] = False
    return np.asarray(deep)
