"""Beams through a volume: their directions in the patient, and a grid of points that runs along one of them.

Gantry angles are those of IEC 61217 for a patient on the back, head first, couch at 0: at 0 degrees the beam comes from
in front, at 90 degrees from the patient's left. Directions are unit vectors in RAS+, the way the beam travels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import Float64, Geometry, voxel_to_world


def gantry_direction(angle_degrees: float) -> Float64:
    """The direction (3,) in RAS+ that a beam of this gantry angle travels in.

    Example
    -------
    >>> gantry_direction(90.0).round(6).tolist()
    [1.0, 0.0, 0.0]
    """
    angle = np.deg2rad(angle_degrees)
    return np.array([np.sin(angle), -np.cos(angle), 0.0])


def beam_directions(geometry: Geometry, angles_degrees: tuple[float, ...]) -> Float64:
    """(n, 3): a direction for each angle, in the axial plane, or in the plane of a volume one voxel thick.

    In a coronal or sagittal slice the angles turn from its second axis towards its first: no beam leaves the slice.

    Example
    -------
    >>> beam_directions(Geometry((4, 4, 4), np.eye(4)), (0.0, 180.0)).round(6)[:, 1].tolist()
    [-1.0, 1.0]
    """
    thin = geometry.single_slice_axis
    if thin is None:
        return np.array([gantry_direction(angle) for angle in angles_degrees])
    first, second = (geometry.directions[:, axis] for axis in range(3) if axis != thin)
    turns = np.deg2rad(np.asarray(angles_degrees))[:, None]
    if abs(geometry.directions[2, thin]) > 0.99:
        return np.array([_in_plane(gantry_direction(a), geometry.directions[:, thin]) for a in angles_degrees])
    return np.asarray(np.sin(turns) * first - np.cos(turns) * second, dtype=np.float64)


def _in_plane(direction: Float64, normal: Float64) -> Float64:
    flat = direction - (direction @ normal) * normal
    return np.asarray(flat / np.linalg.norm(flat), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class BeamFrame:
    """A grid of points along a beam that covers a volume.

    Parameters
    ----------
    shape : number of points across (u, v) and along (w) the beam.
    affine : (4, 4), point index (u, v, w) to RAS+ mm; w is the way the beam travels.
    step_mm : distance between points along all three.
    """

    shape: tuple[int, int, int]
    affine: Float64
    step_mm: float


def beam_frame(geometry: Geometry, direction: ArrayLike, *, step_mm: float | None = None) -> BeamFrame:
    """The grid along `direction` that covers all of a volume's voxels.

    Parameters
    ----------
    geometry : the volume's grid.
    direction : (3,), RAS+, any length but 0; in the plane of a volume one voxel thick.
    step_mm : distance between points; the smallest spacing by default.

    Raises
    ------
    InputError : a direction of no length, one that leaves a single slice, a step that is not above 0.

    Example
    -------
    >>> beam_frame(Geometry((4, 5, 6), np.eye(4)), (0, -1, 0)).shape
    (4, 6, 5)
    """
    along = _unit(direction)
    long = [axis for axis in range(3) if geometry.shape[axis] > 1] or [0]
    step_mm = min(geometry.spacing_mm[axis] for axis in long) if step_mm is None else float(step_mm)
    if not 0 < step_mm < np.inf:
        raise InputError("unusable step along a beam", got=f"{step_mm} mm", expected="above 0")
    axes = np.column_stack([*_across(along, geometry), along])
    # the outer faces of the border voxels; a single slice has no thickness
    reach = [(-0.5, n - 0.5) if n > 1 else (0.0, 0.0) for n in geometry.shape]
    corners = voxel_to_world(geometry.affine, list(product(*reach))) @ axes
    lowest, highest = corners.min(axis=0), corners.max(axis=0)
    numbers = np.maximum(np.ceil((highest - lowest) / step_mm - 1e-6), 1).astype(int)
    first = (lowest + highest) / 2 - (numbers - 1) / 2 * step_mm
    affine = np.eye(4)
    affine[:3, :3] = axes * step_mm
    affine[:3, 3] = axes @ first
    return BeamFrame((int(numbers[0]), int(numbers[1]), int(numbers[2])), affine, step_mm)


def _unit(direction: ArrayLike) -> Float64:
    vector = np.asarray(direction, dtype=np.float64)
    length = float(np.linalg.norm(vector)) if vector.shape == (3,) else 0.0
    if not 0 < length < np.inf:
        raise InputError("unusable beam direction", got=vector.tolist(), expected="three numbers, not all 0")
    return vector / length


def _across(along: Float64, geometry: Geometry) -> tuple[Float64, Float64]:
    """Two directions across the beam: the second is a slice's normal, or the closest to the patient's long axis."""
    thin = geometry.single_slice_axis
    if thin is not None:
        normal = geometry.directions[:, thin]
        if abs(normal @ along) > 1e-3:
            raise InputError(
                "the beam leaves the slice",
                got=f"direction {along.round(3).tolist()}, slice normal {normal.round(3).tolist()}",
                expected="a direction in the plane of a volume one voxel thick",
            )
        return np.cross(normal, along), normal
    up = np.array([0.0, 0.0, 1.0]) if abs(along[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    first = _unit(np.cross(up, along))
    return first, np.cross(along, first)


def onto_frame(voxels: NDArray[np.float32], geometry: Geometry, frame: BeamFrame) -> NDArray[np.float32]:
    """The volume (i, j, k) at the points (u, v, w) of a frame, linear, 0 outside."""
    from scipy.ndimage import affine_transform

    matrix = np.linalg.inv(geometry.affine) @ frame.affine
    sampled = affine_transform(
        voxels, matrix[:3, :3], matrix[:3, 3], output_shape=frame.shape, order=1, mode="grid-constant"
    )
    return np.asarray(sampled, dtype=np.float32)


def from_frame(values: NDArray[np.float32], frame: BeamFrame, geometry: Geometry) -> NDArray[np.float32]:
    """Values at a frame's points (u, v, w), at the voxel centres (i, j, k) of a grid, linear, the border's outside."""
    from scipy.ndimage import affine_transform

    matrix = np.linalg.inv(frame.affine) @ geometry.affine
    sampled = affine_transform(
        values, matrix[:3, :3], matrix[:3, 3], output_shape=geometry.shape, order=1, mode="nearest"
    )
    return np.asarray(sampled, dtype=np.float32)
