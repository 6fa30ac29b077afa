"""Where the gamma index looks: points on spheres about a voxel, sorted by the box of voxels they fall into.

Inside one box the trilinear dose is a fixed weighting of the doses at the box's corners, the same for every voxel of
the grid. All points of a box are so interpolated for thousands of voxels in one matrix product, and a box whose corners
are all too far off in dose needs no look at all. That is what makes the search fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

STEPS_PER_DISTANCE = 10
"""Spheres per distance criterion, as Wendling et al. 2007 recommend (doi:10.1118/1.2721657) and pymedphys does."""

_ON_A_VOXEL = 1e-7
_BAND_STEPS = (1, 2, 2, 3)
_POINTS_WORTH_SPLITTING = 128


@dataclass(frozen=True, eq=False)
class Box:
    """Points to look at, all inside one part of one voxel cell.

    Parameters
    ----------
    rows : (c,), which of the band's `neighbours` are the cell's corners (c = 1, 2, 4 or 8).
    corners : (b, c), weights that make the dose at the box's own corners of the dose at those neighbours.
    points : (p, b), weights that make the dose at the points of the dose at the box's own corners.
    distances_squared : (p,), in units of the distance criterion.
    """

    rows: NDArray[np.int64]
    corners: Float32
    points: Float32
    distances_squared: Float32

    @property
    def nearest_squared(self) -> np.float32:
        """The smallest of `distances_squared`."""
        return np.float32(self.distances_squared.min())


@dataclass(frozen=True, eq=False)
class Band:
    """A few neighbouring spheres: `boxes`, and the voxel offsets `neighbours` (u, d) of all their corners.

    `nearest` is the radius of the innermost sphere, in units of the distance criterion.
    """

    nearest: float
    neighbours: NDArray[np.int64]
    boxes: tuple[Box, ...]

    @property
    def reach(self) -> int:
        """How many voxels the farthest neighbour is away, along any axis."""
        return int(np.abs(self.neighbours).max())


def shell_points(radius: float, step: float, n_dimensions: int) -> Float64:
    """(p, d): points at distance `radius` from the origin, neighbours at most `step` apart.

    In 3-D rows of elevation with their own number of azimuths, in 2-D a circle, in 1-D both sides: the discretisation
    of pymedphys 0.41, so that results can be compared digit by digit.

    Example
    -------
    >>> shell_points(2.0, 0.5, 1).tolist()
    [[2.0], [-2.0]]
    """
    if radius == 0:
        return np.zeros((1, n_dimensions))
    if n_dimensions == 1:
        return np.array([[radius], [-radius]])
    if n_dimensions == 2:
        return _circle(radius, step)
    elevations = np.linspace(0, np.pi, int(np.ceil(np.pi * radius / step)) + 1)
    rows = []
    for elevation in elevations:
        row = _circle(radius * np.sin(elevation), step)
        rows.append(np.column_stack([row, np.full(len(row), radius * np.cos(elevation))]))
    return np.concatenate(rows)


def _circle(radius: float, step: float) -> Float64:
    n_points = int(np.ceil(2 * np.pi * radius / step)) + 1
    angles = np.linspace(0, 2 * np.pi, n_points, endpoint=False)
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def search_bands(spacing_mm: tuple[float, ...], distance_mm: float, max_gamma: float) -> Iterator[Band]:
    """Every point to look at, in bands of growing distance; the first is the voxel itself.

    Parameters
    ----------
    spacing_mm : one, two or three spacings of the dose grid.
    distance_mm : the distance criterion; spheres lie a tenth of it apart.
    max_gamma : how far to look, in distance criteria.

    Example
    -------
    >>> [round(band.nearest, 1) for band in search_bands((2.0, 2.0), 2.0, 1.0)]
    [0.0, 0.1, 0.3, 0.5, 0.8]
    """
    step_mm = distance_mm / STEPS_PER_DISTANCE
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    points_a_cell = np.prod(spacing / step_mm)
    parts = 2 if points_a_cell >= _POINTS_WORTH_SPLITTING else 1
    for first, last in _bands(int(np.floor(STEPS_PER_DISTANCE * max_gamma + 1e-9))):
        shells = [shell_points(n * step_mm, step_mm, len(spacing)) for n in range(first, last + 1)]
        distances = np.concatenate([np.full(len(s), n / STEPS_PER_DISTANCE) for n, s in enumerate(shells, start=first)])
        points = np.concatenate(shells) / spacing
        yield _band(points, distances, parts if first > 2 else 1)


def _bands(last_step: int) -> Iterator[tuple[int, int]]:
    """First and last sphere of each band: thin ones near the voxel, where most searches end."""
    first, number = 0, 0
    while first <= last_step:
        steps = _BAND_STEPS[min(number, len(_BAND_STEPS) - 1)]
        yield first, min(first + steps - 1, last_step)
        first, number = first + steps, number + 1


def _band(points: Float64, distances: Float64, parts: int) -> Band:
    """Sort points (p, d), in voxels, by the part of a cell they lie in; each cell has `parts` parts along an axis."""
    nearest = np.rint(points)
    # a point on a voxel plane needs no voxel beyond it, which may lie outside the grid
    on_plane = np.abs(points - nearest) < _ON_A_VOXEL
    points = np.where(on_plane, nearest, points)
    cells = np.floor(points)
    part = np.where(on_plane, 0, np.floor((points - cells) * parts))
    keys = np.stack([cells, part, on_plane], axis=1)
    order = np.lexsort(keys.reshape(len(keys), -1).T)
    changes = np.flatnonzero((np.diff(keys[order], axis=0) != 0).any(axis=(1, 2))) + 1
    drafts = [_draft(points[chosen], distances[chosen], keys[chosen[0]], parts) for chosen in np.split(order, changes)]
    neighbours, rows = np.unique(np.concatenate([corners for corners, _ in drafts]), axis=0, return_inverse=True)
    ends = np.cumsum([len(corners) for corners, _ in drafts])[:-1]
    boxes = [Box(own, *rest) for own, (_, rest) in zip(np.split(rows.ravel(), ends), drafts, strict=True)]
    return Band(float(distances.min()), neighbours, tuple(sorted(boxes, key=lambda box: box.nearest_squared)))


def _draft(
    points: Float64, distances: Float64, key: Float64, parts: int
) -> tuple[NDArray[np.int64], tuple[Float32, Float32, Float32]]:
    """One box: the offsets of its cell's corners, and the weights and distances a `Box` holds."""
    cell, low, free = key[0], key[1] / parts, np.flatnonzero(key[2] == 0)
    steps = np.array(list(product((0, 1), repeat=len(free))), dtype=np.int64)
    corners = np.tile(cell.astype(np.int64), (len(steps), 1))
    corners[:, free] += steps
    to_own_corners = _multilinear(low[free] + steps / parts, steps)
    to_points = _multilinear(((points - cell)[:, free] - low[free]) * parts, steps)
    weights = (to_own_corners.astype(np.float32), to_points.astype(np.float32))
    return corners, (*weights, (distances**2).astype(np.float32))


def _multilinear(fractions: Float64, steps: NDArray[np.int64]) -> Float64:
    """(p, c): the weight of each unit-cube corner `steps` (c, f) at each place `fractions` (p, f)."""
    weights = np.where(steps[None] == 1, fractions[:, None], 1 - fractions[:, None])
    return np.asarray(weights.prod(axis=2), dtype=np.float64)
