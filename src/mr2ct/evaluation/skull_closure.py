"""Is the skull closed? Rays from the brain's centre must meet bone before they leave the head.

An sCT can score well voxel by voxel and still have holes in the vault, since thin bone is few voxels. A hole is counted
by its solid angle, which is fair to every direction, and by its area on the skull, which is what a person sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.hounsfield import BONE_ABOVE_HU

Float64 = NDArray[np.float64]
Spacing = tuple[float, float, float]

_STEP_MM = 0.5
_FARTHEST_MM = 150.0
_LEVELS_MM = (30.0, 70.0)
_FACE_WITHIN_DEGREES = 60.0
_FACE_BELOW_DEGREES = 30.0
_NEIGHBOUR_RAYS = 1.7
"""Rays are in one hole where they are nearer than this many mean ray distances."""


@dataclass(frozen=True)
class Rays:
    """Directions (rays, 3), unit vectors in RAS, and the solid angle that each stands for, in steradian."""

    directions: Float64
    steradian_each: float


@dataclass(frozen=True)
class SkullClosure:
    """What rays over the vault met.

    Parameters
    ----------
    closed_share : of the solid angle, 0 to 1. largest_hole_cm2 : on a sphere of `radius_mm`; 0 if closed.
    radius_mm : median distance from the centre to the first bone; NaN, as the hole, where no ray met any.
    met_bone : (rays,).
    """

    closed_share: float
    largest_hole_cm2: float
    radius_mm: float
    met_bone: NDArray[np.bool_]


def vault_rays(count: int = 4000, *, face: bool = False) -> Rays:
    """Rays evenly spread over the upper hemisphere.

    Parameters
    ----------
    count : over the whole hemisphere. face : also those within 60 degrees of straight ahead and less than 30 degrees
        up, where a defaced head has nothing and sinuses thin the bone.

    A Fibonacci lattice (Gonzalez 2010, doi:10.1007/s11004-009-9257-x): each ray stands for the same solid angle.

    Raises
    ------
    InputError : no rays wanted.

    Example
    -------
    >>> vault_rays(100, face=True).directions.shape
    (100, 3)
    """
    if count < 1:
        raise InputError("no rays", got=count, expected="at least one")
    n = np.arange(count)
    up = (n + 0.5) / count
    turn = n * np.pi * (3 - np.sqrt(5))
    level = np.sqrt(1 - up**2)
    directions = np.stack([level * np.cos(turn), level * np.sin(turn), up], axis=1)
    if not face:
        ahead = np.rad2deg(np.abs(np.arctan2(directions[:, 0], directions[:, 1]))) < _FACE_WITHIN_DEGREES
        directions = directions[~(ahead & (np.rad2deg(np.arcsin(up)) < _FACE_BELOW_DEGREES))]
    return Rays(directions, 2 * np.pi / count)


def skull_closure(
    hu: NDArray[Any],
    head: NDArray[np.bool_],
    spacing_mm: Spacing,
    *,
    centre: tuple[float, float, float],
    rays: Rays,
    bone_above: float = BONE_ABOVE_HU,
) -> SkullClosure:
    """Follow each ray in steps of half a millimetre, by nearest voxels, until it meets bone or leaves the head.

    Parameters
    ----------
    hu, head : (i, j, k) along right, anterior, superior: HU, and the head with the air it encloses.
    centre : in voxels, inside the head. bone_above : HU.

    Raises
    ------
    InputError : a centre outside the head.

    Example
    -------
    >>> vault = np.full((21, 21, 21), 40.0); vault[:, :, 18] = 900; head = np.ones(vault.shape, bool)
    >>> up_and_right = Rays(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), 0.1)
    >>> skull_closure(vault, head, (1.0, 1.0, 1.0), centre=(10, 10, 10), rays=up_and_right).met_bone.tolist()
    [True, False]
    """
    start = np.rint(np.asarray(centre)).astype(int)
    if (start < 0).any() or (start >= head.shape).any() or not head[tuple(start)]:
        raise InputError("rays cannot start there", got=f"centre {tuple(centre)}", expected="a voxel of the head")
    steps = rays.directions / np.asarray(spacing_mm)
    first_mm = np.full(len(steps), np.nan)
    going = np.arange(len(steps))
    for distance_mm in np.arange(0, _FARTHEST_MM, _STEP_MM):
        at = np.rint(np.asarray(centre) + distance_mm * steps[going]).astype(int)
        there = ((at >= 0) & (at < head.shape)).all(axis=1)
        going, at = going[there], at[there]
        inside = head[tuple(at.T)]
        bone = inside & (hu[tuple(at.T)] > bone_above)
        first_mm[going[bone]] = distance_mm
        going = going[inside & ~bone]
    return _summary(first_mm, rays)


def brain_centre(head: NDArray[np.bool_], spacing_mm: Spacing) -> tuple[float, float, float]:
    """A point near the thalami, in voxels: 70 mm below the vertex, in the middle of the head 30 to 70 mm below it.

    Parameters
    ----------
    head : (i, j, k) along right, anterior, superior, filled; at most 15 degrees from upright.

    Raises
    ------
    InputError : a head less than 70 mm high.

    Example
    -------
    >>> brain_centre(np.ones((5, 7, 100), bool), (1.0, 1.0, 1.0))
    (2.0, 3.0, 29.0)
    """
    occupied = np.flatnonzero(head.any(axis=(0, 1)))
    drop = [round(mm / spacing_mm[2]) for mm in _LEVELS_MM]
    if not len(occupied) or occupied[-1] - occupied[0] < drop[1]:
        raise InputError("no vault to look at", got="a head less than 70 mm high", expected="the upper half of a head")
    vertex = int(occupied[-1])
    i, j, _ = np.nonzero(head[:, :, vertex - drop[1] : vertex - drop[0] + 1])
    return float(i.mean()), float(j.mean()), float(vertex - drop[1])


def _summary(first_mm: Float64, rays: Rays) -> SkullClosure:
    met = np.isfinite(first_mm)
    radius_mm = float(np.median(first_mm[met])) if met.any() else float("nan")
    hole_cm2 = largest_hole_rays(rays, met) * rays.steradian_each * radius_mm**2 / 100
    return SkullClosure(float(met.mean()), hole_cm2, radius_mm, met)


def largest_hole_rays(rays: Rays, met_bone: NDArray[np.bool_]) -> int:
    """How many rays the largest connected group of rays without bone has; 0 where all met bone.

    Example
    -------
    >>> rays = vault_rays(500, face=True)
    >>> largest_hole_rays(rays, rays.directions[:, 2] < 0.99)
    5
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    missed = rays.directions[~met_bone]
    if len(missed) < 2:
        return len(missed)
    reach = _NEIGHBOUR_RAYS * np.sqrt(rays.steradian_each)
    pairs = cKDTree(missed).query_pairs(reach, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(missed), len(missed)))
    _, group = connected_components(links, directed=False)
    return int(np.bincount(group).max())
