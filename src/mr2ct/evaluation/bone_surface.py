"""The bone of a head as a picture: holes and ridges that no figure tells are seen at once.

Parallel rays, first crossing of a threshold, light from the viewer (Levoy 1988, doi:10.1109/38.511), normals from the
gradient of smoothed HU. NumPy and SciPy only.
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
"""A sheet of bone one voxel of 1 mm thick, in air, is above 250 HU over 0.6 mm."""
_CLIPPED_HU = (-200.0, 900.0)
_SMOOTHED_MM = 1.0
_AMBIENT, _DEPTH_DARKENS = 0.12, 0.25


@dataclass(frozen=True)
class Camera:
    """Where the viewer stands: 0 azimuth looks at the face, 90 at the left ear; 90 elevation at the vertex.

    Parameters
    ----------
    azimuth_degrees, elevation_degrees : of the viewer, seen from the head. pixel_mm : the edge of a pixel.

    Example
    -------
    >>> Camera(azimuth_degrees=0, elevation_degrees=0).towards_viewer.round(3).tolist()
    [0.0, 1.0, 0.0]
    """

    azimuth_degrees: float = 0.0
    elevation_degrees: float = 0.0
    pixel_mm: float = 0.7

    @property
    def towards_viewer(self) -> Float64:
        """(3,) unit vector in RAS."""
        azimuth, elevation = np.deg2rad((self.azimuth_degrees, self.elevation_degrees))
        level = np.cos(elevation)
        return np.array([-np.sin(azimuth) * level, np.cos(azimuth) * level, np.sin(elevation)])

    @property
    def picture_axes(self) -> tuple[Float64, Float64]:
        """Unit vectors in RAS of a step to the picture's right and of a step down."""
        azimuth = np.deg2rad(self.azimuth_degrees)
        right = np.array([-np.cos(azimuth), -np.sin(azimuth), 0.0])
        return right, np.cross(right, self.towards_viewer)


def bone_surface(
    hu: NDArray[Any], spacing_mm: Spacing, *, camera: Camera, bone_above: float = BONE_ABOVE_HU
) -> NDArray[np.float32]:
    """A shaded picture of where HU first exceeds a threshold, as seen from a camera outside the volume.

    Parameters
    ----------
    hu : (i, j, k) along right, anterior, superior. bone_above : HU.

    Returns
    -------
    (rows, columns) float32: brightness in [0, 1], NaN where the viewer sees no bone.

    Raises
    ------
    InputError : not three-dimensional.

    Example
    -------
    >>> ball = np.where(((np.indices((21, 21, 21)) - 10) ** 2).sum(axis=0) < 50, 900.0, 0.0)
    >>> picture = bone_surface(ball, (1.0, 1.0, 1.0), camera=Camera(pixel_mm=1.0))
    >>> bool(np.nanmax(picture) > 0.8), bool(np.isnan(picture[0, 0]))
    (True, True)
    """
    if hu.ndim != 3:
        raise InputError("not a volume", got=f"{hu.ndim} axes", expected="three")
    size_mm = np.array(hu.shape) * spacing_mm
    half_mm = float(np.linalg.norm(size_mm)) / 2
    right, down = camera.picture_axes
    # no wider than the box's own shadow
    reach = [float(np.abs(axis * size_mm).sum()) / 2 for axis in (down, right)]
    rows, columns = (np.arange(-r, r + camera.pixel_mm, camera.pixel_mm) for r in reach)
    start_mm = rows[:, None, None] * down + columns[None, :, None] * right + half_mm * camera.towards_viewer
    shape = start_mm.shape[:2]
    start = start_mm.reshape(-1, 3) / spacing_mm + (np.array(hu.shape) - 1) / 2
    step = -camera.towards_viewer * _STEP_MM / spacing_mm
    steps = first_crossing(hu, start, step, threshold=bone_above, most=int(2 * half_mm / _STEP_MM) + 1)
    picture = np.full(len(start), np.nan, dtype=np.float32)
    met = np.isfinite(steps)
    if met.any():
        picture[met] = _shade(hu, spacing_mm, start[met] + steps[met, None] * step, steps[met], camera)
    return picture.reshape(shape)


def first_crossing(hu: NDArray[Any], start: Float64, step: Float64, *, threshold: float, most: int) -> Float64:
    """How many steps along each ray HU (linear between voxels, air outside) first exceeds the threshold; NaN if never.

    Parameters
    ----------
    start : (rays, 3) voxel coordinates. step : (3,) voxels a step. most : steps to try.

    Example
    -------
    >>> wall = np.zeros((5, 1, 1)); wall[3:] = 100
    >>> first_crossing(wall, np.zeros((1, 3)), np.array([1.0, 0, 0]), threshold=50, most=5).tolist()
    [2.5]
    """
    from scipy.ndimage import map_coordinates

    found = np.full(len(start), np.nan)
    going = np.arange(len(start))
    before = np.full(len(start), -np.inf)
    voxels = np.asarray(hu, dtype=np.float32)
    for n in range(most + 1):
        at = start[going] + n * step
        value = map_coordinates(voxels, at.T, order=1, mode="constant", cval=-1024.0)
        over = value > threshold
        last = before[going[over]]
        share = np.where(np.isfinite(last), (threshold - last) / np.maximum(value[over] - last, 1e-6), 1.0)
        found[going[over]] = n - 1 + share
        before[going] = value
        going = going[~over]
        if not len(going):
            break
    return found


def _shade(hu: NDArray[Any], spacing_mm: Spacing, at: Float64, steps: Float64, camera: Camera) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter, map_coordinates

    smooth = gaussian_filter(
        np.clip(hu, *_CLIPPED_HU).astype(np.float32), _SMOOTHED_MM / np.array(spacing_mm), truncate=3.0
    )
    normals = np.empty((len(at), 3))
    for axis in range(3):
        beyond = np.zeros(3)
        beyond[axis] = 0.5
        ends = [map_coordinates(smooth, (at + sign * beyond).T, order=1, mode="nearest") for sign in (1, -1)]
        # HU rises into the bone, the normal points out of it
        normals[:, axis] = (ends[1] - ends[0]) / spacing_mm[axis]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    facing = np.clip(normals @ camera.towards_viewer, 0, 1)
    far = (steps - steps.min()) / max(float(np.ptp(steps)), 1e-6)
    light = _AMBIENT + (1 - _AMBIENT) * facing
    return np.asarray(light * (1 - _DEPTH_DARKENS * far), dtype=np.float32)
