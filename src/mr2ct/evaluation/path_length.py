"""Water-equivalent path length: how much water a beam has gone through on its way to a voxel.

It decides where a proton stops, and so what an error in HU means to a patient, and needs no planning system. The path
to a voxel is the integral of the stopping power ratio from where the beam enters the mask (Schaffner and Pedroni 1998,
doi:10.1088/0031-9155/43/6/016). What lies outside the mask, such as the couch, does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.errors import DataSetError
from mr2ct.evaluation.beam_frame import beam_directions, beam_frame, from_frame, onto_frame
from mr2ct.evaluation.radiograph import radiograph_report
from mr2ct.evaluation.stopping_power import DEFAULT_CURVE, StoppingPowerCurve, stopping_power_ratio
from mr2ct.geometry import Float64, require_same_geometry
from mr2ct.volume import Volume

REPORT_ANGLES = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)
"""Gantry angles of the report, in degrees."""


def path_length_map(
    hu: Volume,
    direction: ArrayLike,
    *,
    mask: Volume | None = None,
    curve: str | StoppingPowerCurve = DEFAULT_CURVE,
    step_mm: float | None = None,
) -> NDArray[np.float32]:
    """Millimetres of water, (i, j, k) float32, that a parallel beam passes on its way to each voxel's centre.

    Parameters
    ----------
    hu : a CT or an sCT.
    direction : (3,), RAS+, the way the beam travels; `gantry_direction` makes one of an angle. In the plane of a volume
        one voxel thick.
    mask : on the same grid; what lies outside is taken as empty.
    curve : HU to stopping power, a name in `stopping_power.CURVES` or your own.
    step_mm : step along the beam; the smallest spacing by default.

    Raises
    ------
    GeometryError : mask on another grid. InputError : an unknown curve, a direction that cannot be used.

    Example
    -------
    >>> from mr2ct import Geometry, Quantity
    >>> water = Volume(np.zeros((3, 3, 3)), Geometry((3, 3, 3), np.eye(4)), Quantity.HU)
    >>> path_length_map(water, (1, 0, 0))[:, 1, 1].tolist()
    [0.5, 1.5, 2.5]
    """
    ratio = _ratio(hu, mask, curve)
    frame = beam_frame(hu.geometry, direction, step_mm=step_mm)
    along = onto_frame(ratio, hu.geometry, frame)
    # to the middle of a step: half of it is still to come
    passed = (np.cumsum(along, axis=2, dtype=np.float64) - along / 2) * frame.step_mm
    return from_frame(passed.astype(np.float32), frame, hu.geometry)


def path_length_projection(
    hu: Volume,
    direction: ArrayLike,
    *,
    mask: Volume | None = None,
    curve: str | StoppingPowerCurve = DEFAULT_CURVE,
    step_mm: float | None = None,
) -> NDArray[np.float32]:
    """Millimetres of water, (u, v) float32, through the whole volume, for each ray of a parallel beam.

    Parameters and errors are those of `path_length_map`; rays are `step_mm` apart, u and v across the beam, v upwards
    in the patient unless the beam itself runs that way.

    Example
    -------
    >>> from mr2ct import Geometry, Quantity
    >>> water = Volume(np.zeros((3, 3, 3)), Geometry((3, 3, 3), np.eye(4)), Quantity.HU)
    >>> path_length_projection(water, (0, 1, 0)).shape
    (3, 3)
    """
    ratio = _ratio(hu, mask, curve)
    frame = beam_frame(hu.geometry, direction, step_mm=step_mm)
    through = onto_frame(ratio, hu.geometry, frame).sum(axis=2, dtype=np.float64) * frame.step_mm
    return np.asarray(through, dtype=np.float32)


def _ratio(hu: Volume, mask: Volume | None, curve: str | StoppingPowerCurve) -> NDArray[np.float32]:
    ratio = stopping_power_ratio(hu.voxels, curve=curve)
    if mask is None:
        return ratio
    require_same_geometry(mask.geometry, hu.geometry, names="mask and image")
    return np.where(mask.voxels != 0, ratio, np.float32(0))


@dataclass(frozen=True)
class PathLengthDifference:
    """How far two path lengths are apart, sCT minus CT, over the voxels of a mask and one beam or several.

    `mean_mm` is signed, `mae_mm` the mean absolute difference, `p95_mm` its 95th percentile; `relative_percent` is
    `mae_mm` as a share of the mean path length in the CT.
    """

    mean_mm: float
    mae_mm: float
    p95_mm: float
    relative_percent: float


def path_length_differences(
    sct: Volume,
    ct: Volume,
    mask: Volume,
    *,
    directions: Float64,
    curve: str | StoppingPowerCurve = DEFAULT_CURVE,
    step_mm: float | None = None,
) -> tuple[list[PathLengthDifference], PathLengthDifference]:
    """The difference of path lengths to every voxel of `mask`: for each of `directions` (n, 3), and over all of them.

    Raises
    ------
    GeometryError : different grids. DataSetError : an empty mask. InputError : as `path_length_map`.

    Example
    -------
    >>> from mr2ct import Geometry, Quantity
    >>> grid = Geometry((3, 3, 3), np.eye(4))
    >>> water, mask = Volume(np.zeros((3, 3, 3)), grid, Quantity.HU), Volume(np.ones((3, 3, 3)), grid, Quantity.MASK)
    >>> path_length_differences(water, water, mask, directions=np.eye(3))[1].mae_mm
    0.0
    """
    require_same_geometry(sct.geometry, ct.geometry, names="sCT and CT")
    require_same_geometry(mask.geometry, ct.geometry, names="mask and CT")
    inside = mask.voxels != 0
    if not inside.any():
        raise DataSetError("no voxel to compare", got="an empty mask", expected="at least one voxel inside")
    apart, true = [], []
    for direction in directions:
        of_sct, of_ct = (
            path_length_map(image, direction, mask=mask, curve=curve, step_mm=step_mm)[inside].astype(np.float64)
            for image in (sct, ct)
        )
        apart.append(of_sct - of_ct)
        true.append(float(of_ct.mean()))
    each = [_summary(one, mean_true) for one, mean_true in zip(apart, true, strict=True)]
    return each, _summary(np.concatenate(apart), float(np.mean(true)))


def _summary(apart_mm: NDArray[np.float64], mean_true_mm: float) -> PathLengthDifference:
    mae_mm = float(np.abs(apart_mm).mean())
    return PathLengthDifference(
        mean_mm=float(apart_mm.mean()),
        mae_mm=mae_mm,
        p95_mm=float(np.percentile(np.abs(apart_mm), 95)),
        relative_percent=100 * mae_mm / mean_true_mm if mean_true_mm > 0 else float("nan"),
    )


def path_length_report(sct: Volume, ct: Volume, mask: Volume | None) -> dict[str, float]:
    """What `mr2ct evaluate --path-length` says of a case: path lengths from eight sides, and two radiographs.

    Parameters
    ----------
    sct, ct : HU on one grid.
    mask : the body; found in the CT where none is given. Outside, both count as empty.

    Returns
    -------
    `path_length_mae_mm`, `..._mean_error_mm`, `..._p95_mm`, `..._relative_percent` over all beams, then
    `path_length_mae_mm_gantry_000` and so on; `radiograph_front_mae`, `radiograph_side_mae` and their `..._correlation`
    (see `radiograph_report`). A volume one voxel thick has beams in its own plane, and no radiograph.

    Raises
    ------
    GeometryError : different grids. DataSetError : an empty mask. InputError : no body in the CT.

    Example
    -------
    >>> from mr2ct import Geometry, Quantity
    >>> grid = Geometry((4, 4, 1), np.eye(4))
    >>> water, mask = Volume(np.zeros((4, 4, 1)), grid, Quantity.HU), Volume(np.ones((4, 4, 1)), grid, Quantity.MASK)
    >>> path_length_report(water, water, mask)["path_length_mae_mm"]
    0.0
    """
    if mask is None:
        from mr2ct.preprocessing.body_mask import body_mask

        mask = body_mask(ct)
    directions = beam_directions(ct.geometry, REPORT_ANGLES)
    each, overall = path_length_differences(sct, ct, mask, directions=directions)
    figures = {
        "path_length_mae_mm": overall.mae_mm,
        "path_length_mean_error_mm": overall.mean_mm,
        "path_length_p95_mm": overall.p95_mm,
        "path_length_relative_percent": overall.relative_percent,
    }
    for angle, beam in zip(REPORT_ANGLES, each, strict=True):
        figures[f"path_length_mae_mm_gantry_{angle:03.0f}"] = beam.mae_mm
    if ct.geometry.single_slice_axis is None:
        figures |= radiograph_report(sct, ct, mask)
    return figures
