"""Digitally reconstructed radiographs: the X-ray picture a CT or an sCT would give, as used to position a patient.

Each pixel is the integral of the linear attenuation along one ray, mu = mu_water (1 + HU / 1000) (the definition of the
Hounsfield unit), with mu_water at 70 keV, about the mean energy of a 120 kV beam after a head. Rays are parallel, or
start in a source point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.errors import InputError
from mr2ct.evaluation.beam_frame import BeamFrame, beam_frame, gantry_direction, onto_frame
from mr2ct.geometry import require_same_geometry, voxel_to_world
from mr2ct.volume import Volume

MU_WATER_PER_MM = 0.0193
"""Linear attenuation of water at 70 keV: between NIST's 0.2059 / cm at 60 keV and 0.1837 / cm at 80 keV."""

_VIEWS = {"front": 0.0, "side": 90.0}


@dataclass(frozen=True, eq=False)
class Radiograph:
    """Attenuation (u, v), without unit, float32: minus the logarithm of what passes; v runs up where it can.

    `spacing_mm` is the distance between rays in the plane through the middle of the volume, across the beam.
    """

    attenuation: NDArray[np.float32]
    spacing_mm: float

    @property
    def transmission(self) -> NDArray[np.float32]:
        """The share of the beam that passes, (u, v), 0 to 1."""
        return np.asarray(np.exp(-self.attenuation), dtype=np.float32)


def radiograph(
    hu: Volume,
    direction: ArrayLike,
    *,
    mask: Volume | None = None,
    source_distance_mm: float | None = None,
    step_mm: float | None = None,
) -> Radiograph:
    """The radiograph of a CT or an sCT along a direction.

    Parameters
    ----------
    hu : HU; (i, j, k).
    direction : (3,), RAS+, the way the central ray travels; `gantry_direction` makes one of an angle.
    mask : on the same grid; what lies outside is taken as air that does not attenuate.
    source_distance_mm : from the source to the middle of the volume, for instance 1000; None stands for parallel rays.
    step_mm : distance between rays and between samples; the smallest spacing by default.

    Raises
    ------
    GeometryError : mask on another grid. InputError : an unusable direction or step, a source within the volume.

    Example
    -------
    >>> from mr2ct import Geometry, Quantity
    >>> water = Volume(np.zeros((10, 10, 10)), Geometry((10, 10, 10), np.eye(4)), Quantity.HU)
    >>> radiograph(water, (0, -1, 0)).attenuation[5, 5].round(3).item()
    0.193
    """
    attenuation = np.maximum(1 + np.asarray(hu.voxels, dtype=np.float32) / 1000, 0) * np.float32(MU_WATER_PER_MM)
    if mask is not None:
        require_same_geometry(mask.geometry, hu.geometry, names="mask and image")
        attenuation = np.where(mask.voxels != 0, attenuation, np.float32(0))
    frame = beam_frame(hu.geometry, direction, step_mm=step_mm)
    if source_distance_mm is None:
        through = onto_frame(attenuation, hu.geometry, frame).sum(axis=2, dtype=np.float64) * frame.step_mm
        return Radiograph(through.astype(np.float32), frame.step_mm)
    to_voxel = np.asarray(np.linalg.inv(hu.geometry.affine), dtype=np.float64)
    return Radiograph(_divergent(attenuation, to_voxel, frame, source_distance_mm), frame.step_mm)


def _divergent(
    attenuation: NDArray[np.float32], to_voxel: NDArray[np.float64], frame: BeamFrame, source_distance_mm: float
) -> NDArray[np.float32]:
    """Rays from a source through the points of the frame's middle plane, plane by plane along the beam."""
    from scipy.ndimage import map_coordinates

    if source_distance_mm <= frame.shape[2] / 2 * frame.step_mm:
        raise InputError(
            "the source lies within the volume",
            got=f"{source_distance_mm} mm from its middle",
            expected=f"more than {frame.shape[2] / 2 * frame.step_mm:.0f} mm",
        )
    middle = (np.array(frame.shape) - 1) / 2
    u, v = np.meshgrid(*(np.arange(n) - m for n, m in zip(frame.shape[:2], middle[:2], strict=True)), indexing="ij")
    # a ray off the middle is longer between two planes than the central one
    longer = np.sqrt(1 + (u**2 + v**2) * (frame.step_mm / source_distance_mm) ** 2)
    through = np.zeros(frame.shape[:2])
    for plane in range(frame.shape[2]):
        magnified = 1 + (plane - middle[2]) * frame.step_mm / source_distance_mm
        points = np.stack([u * magnified + middle[0], v * magnified + middle[1], np.full(u.shape, plane)], axis=-1)
        voxels = voxel_to_world(to_voxel, voxel_to_world(frame.affine, points))
        through += map_coordinates(attenuation, np.moveaxis(voxels, -1, 0), order=1, mode="grid-constant")
    return np.asarray(through * longer * frame.step_mm, dtype=np.float32)


def radiograph_report(sct: Volume, ct: Volume, mask: Volume) -> dict[str, float]:
    """How far the radiographs of an sCT and its CT are apart, from in front and from the patient's left.

    Returns
    -------
    `radiograph_front_mae` and `radiograph_side_mae`, the mean absolute difference of the attenuation over the rays that
    meet the mask, and `..._correlation`, Pearson's, of the two pictures there.

    Raises
    ------
    GeometryError : different grids.

    Example
    -------
    >>> from mr2ct import Geometry, Quantity
    >>> grid = Geometry((4, 4, 4), np.eye(4))
    >>> water, mask = Volume(np.zeros((4, 4, 4)), grid, Quantity.HU), Volume(np.ones((4, 4, 4)), grid, Quantity.MASK)
    >>> radiograph_report(water, water, mask)["radiograph_front_mae"]
    0.0
    """
    require_same_geometry(sct.geometry, ct.geometry, names="sCT and CT")
    figures = {}
    for view, angle in _VIEWS.items():
        of_sct, of_ct = (radiograph(image, gantry_direction(angle), mask=mask).attenuation for image in (sct, ct))
        met = np.maximum(of_sct, of_ct) > 0
        apart = of_sct[met].astype(np.float64) - of_ct[met]
        varies = met.any() and of_sct[met].std() > 1e-6 and of_ct[met].std() > 1e-6
        figures[f"radiograph_{view}_mae"] = float(np.abs(apart).mean()) if met.any() else float("nan")
        figures[f"radiograph_{view}_correlation"] = (
            float(np.corrcoef(of_sct[met], of_ct[met])[0, 1]) if varies else float("nan")
        )
    return figures
