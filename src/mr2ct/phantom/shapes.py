"""Signed distances of simple shapes, the clay that the head phantom is modelled from.

Negative inside, positive outside, roughly in mm: exact for spheres and capsules, first order for the rest
(formulas: I. Quilez, "Distance functions", https://iquilezles.org/articles/distfunctions/).
A point set is a triple of broadcastable float32 arrays (x, y, z) in mm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Points = tuple[Field, Field, Field]
Triple = tuple[float, float, float]


def ellipsoid(points: Points, centre: Triple, radii: Triple) -> Field:
    """First-order signed distance to an ellipsoid with axes along x, y, z.

    Example
    -------
    >>> x = np.float32([0.0, 5.0])
    >>> ellipsoid((x, x * 0, x * 0), (0, 0, 0), (3, 3, 3)).tolist()
    [-3.0, 2.0]
    """
    scaled = [(p - np.float32(c)) / np.float32(r) for p, c, r in zip(points, centre, radii, strict=True)]
    level = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
    slope = np.sqrt(sum((q / np.float32(r)) ** 2 for q, r in zip(scaled, radii, strict=True)))
    inner = np.float32(-min(radii))
    return np.where(slope > 1e-6, level * (level - 1) / np.maximum(slope, np.float32(1e-6)), inner).astype(np.float32)


def superellipsoid(points: Points, centre: Triple, radii: Triple, exponent: float) -> Field:
    """Boxier than an ellipsoid for exponents above 2; the distance is scaled along the ray from the centre."""
    scaled = [np.abs((p - np.float32(c)) / np.float32(r)) for p, c, r in zip(points, centre, radii, strict=True)]
    level = sum(q ** np.float32(exponent) for q in scaled) ** np.float32(1 / exponent)
    reach = np.sqrt(sum((p - np.float32(c)) ** 2 for p, c in zip(points, centre, strict=True)))
    safe = np.maximum(level, np.float32(1e-3))
    return np.asarray(np.where(level > 1e-3, reach * (1 - 1 / safe), -min(radii)), dtype=np.float32)


def capsule(points: Points, start: Triple, end: Triple, radii: tuple[float, float]) -> Field:
    """Signed distance to a rod from `start` to `end` whose radius runs from radii[0] to radii[1] (first order)."""
    axis = np.subtract(end, start).astype(np.float32)
    length_squared = np.float32(max(float(axis @ axis), 1e-6))
    offset = [p - np.float32(s) for p, s in zip(points, start, strict=True)]
    along = (offset[0] * axis[0] + offset[1] * axis[1] + offset[2] * axis[2]) / length_squared
    along = np.clip(along, 0, 1)
    gap = [o - along * a for o, a in zip(offset, axis, strict=True)]
    distance = np.sqrt(gap[0] ** 2 + gap[1] ** 2 + gap[2] ** 2)
    return np.asarray(distance - (np.float32(radii[0]) + along * np.float32(radii[1] - radii[0])), dtype=np.float32)


def smooth_union(one: Field, other: Field, blend_mm: float) -> Field:
    """Union whose seam is rounded over `blend_mm` (polynomial smooth minimum)."""
    overlap = np.maximum(np.float32(blend_mm) - np.abs(one - other), 0)
    return np.asarray(np.minimum(one, other) - overlap * overlap / np.float32(4 * blend_mm), dtype=np.float32)


def smooth_intersection(one: Field, other: Field, blend_mm: float) -> Field:
    """Intersection whose edge is rounded over `blend_mm`."""
    return -smooth_union(-one, -other, blend_mm)


def bump(points: Points, centre: Triple, widths: Triple) -> Field:
    """A Gaussian hill of height 1: 1 at the centre, 0.61 one width away."""
    squared = sum(((p - np.float32(c)) / np.float32(w)) ** 2 for p, c, w in zip(points, centre, widths, strict=True))
    return np.exp(np.float32(-0.5) * squared).astype(np.float32)


def ramp(values: Field, low: float, high: float) -> Field:
    """0 at `low` and below, 1 at `high` and above, smooth between (low may exceed high)."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
