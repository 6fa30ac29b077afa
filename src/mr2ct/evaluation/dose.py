"""What an error in HU does to a patient's dose: one plan, calculated on the CT and on the sCT (the extra `dose`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.evaluation.dose_comparison import dose_figures
from mr2ct.evaluation.treatment_plan import PRESCRIBED_GY, planned_doses
from mr2ct.geometry import Geometry, require_same_geometry, voxel_to_world
from mr2ct.volume import Volume

DEFAULT_GRID_MM = 3.0
DEFAULT_TARGET_RADIUS_MM = 25.0
TARGET = "target"

_MARGIN_VOXELS = 2
_SMALLEST_RADIUS_VOXELS = 2

Bools = NDArray[np.bool_]


def dose_report(
    sct: Volume,
    ct: Volume,
    mask: Volume | None,
    *,
    labels: Mapping[str, Volume] | Volume | None = None,
    modality: str = "photon",
    grid_mm: float = DEFAULT_GRID_MM,
) -> dict[str, float]:
    """Plan on the CT, calculate again on the sCT, and say how far the two doses are apart.

    Parameters
    ----------
    sct, ct : HU on one grid, three-dimensional. Gantry angles are of a patient on the back, by the file's orientation.
    mask : the body; found in the CT where none is given. Outside, both are air.
    labels : structures on the grid of the CT. By name: the one called "target" is planned on, the others are organs.
        One volume of label numbers: all are organs, called `label_1` and so on. Without a target, it is a ball of
        25 mm about the point of the body that is deepest (or half as wide as the body there, if that is less).
    modality : "photon" (five beams) or "proton" (two, from the sides).
    grid_mm : spacing of the grid that dose is calculated on.

    Returns
    -------
    The figures of `dose_comparison.dose_figures`; "body" is among the organs. The prescribed dose is 2 Gy.

    Raises
    ------
    GeometryError : different grids. InputError : a single slice or a body too thin for a target, an empty target, an
    unknown modality. MissingDependencyError : without pyRadPlan.

    Example
    -------
    >>> dose_report(sct, ct, mask, modality="proton")["gamma_pass_2_2_percent"]  # doctest: +SKIP
    98.7
    """
    require_same_geometry(sct.geometry, ct.geometry, names="sCT and CT")
    if ct.geometry.single_slice_axis is not None:
        raise InputError(
            "dose needs a volume", got=f"one slice, shape {ct.geometry.shape}", expected="several slices",
            remedy="compare path lengths instead (--path-length)",
        )  # fmt: skip
    if mask is None:
        from mr2ct.preprocessing.body_mask import body_mask

        mask = body_mask(ct)
    structures = named_structures(labels)
    for name, volume in {"mask": mask, **structures}.items():
        require_same_geometry(volume.geometry, ct.geometry, names=f"{name} and CT")
    grid = planning_grid(mask, spacing_mm=grid_mm)
    body = _on_grid(mask, grid)
    on_grid = {name: _on_grid(volume, grid) & body for name, volume in structures.items()}
    target = on_grid.pop(TARGET) if TARGET in on_grid else default_target(body, spacing_mm=grid_mm)
    on_ct, on_sct = planned_doses(
        _resampled(ct, grid), _resampled(sct, grid), body=body, target=target, modality=modality
    )
    return dose_figures(
        on_sct, on_ct, grid.spacing_mm, prescribed=PRESCRIBED_GY, target=target, organs={"body": body} | on_grid
    )


def named_structures(labels: Mapping[str, Volume] | Volume | None) -> dict[str, Volume]:
    """Masks by name, of a mapping as it is, or of one volume of label numbers (0 is none) as `label_1` and so on.

    Example
    -------
    >>> from mr2ct import Quantity
    >>> numbers = Volume(np.array([[[0, 2, 7]]]), Geometry((1, 1, 3), np.eye(4)), Quantity.MASK)
    >>> list(named_structures(numbers))
    ['label_2', 'label_7']
    """
    if labels is None:
        return {}
    if not isinstance(labels, Volume):
        return dict(labels)
    numbers = np.unique(labels.voxels)
    return {f"label_{n}": labels.with_voxels((labels.voxels == n).astype(np.uint8)) for n in numbers[numbers > 0]}


def planning_grid(mask: Volume, *, spacing_mm: float = DEFAULT_GRID_MM) -> Geometry:
    """The grid round the body that dose is calculated on: axes towards left, posterior, superior, cubic voxels.

    Raises
    ------
    InputError : an empty mask.

    Example
    -------
    >>> from mr2ct import Quantity
    >>> body = Volume(np.ones((30, 30, 30)), Geometry((30, 30, 30), np.eye(4)), Quantity.MASK)
    >>> planning_grid(body).axis_codes, planning_grid(body).shape
    (('L', 'P', 'S'), (14, 14, 14))
    """
    inside = np.argwhere(mask.voxels != 0)
    if inside.size == 0:
        raise InputError("no body to plan on", got="an empty mask", expected="at least one voxel inside")
    lowest, highest = inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5
    corners = np.array(np.meshgrid(*zip(lowest, highest, strict=True))).reshape(3, -1).T
    in_lps = voxel_to_world(mask.geometry.affine, corners) * [-1, -1, 1]
    first, last = in_lps.min(axis=0), in_lps.max(axis=0)
    numbers = np.ceil((last - first) / spacing_mm - 1e-6).astype(int) + 2 * _MARGIN_VOXELS
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = ((first + last) / 2 - (numbers - 1) / 2 * spacing_mm) * [-1, -1, 1]
    return Geometry((int(numbers[0]), int(numbers[1]), int(numbers[2])), affine, mask.geometry.frame_of_reference_uid)


def default_target(body: Bools, *, spacing_mm: float) -> Bools:
    """A ball about the deepest voxel of the body, (i, j, k): 25 mm in radius, or half of that depth if it is less.

    Raises
    ------
    InputError : a body in which even that is less than two voxels.

    Example
    -------
    >>> body = np.zeros((41, 41, 41), dtype=bool); body[5:36, 5:36, 5:36] = True
    >>> int(np.argwhere(default_target(body, spacing_mm=3.0)).mean(axis=0)[0])
    20
    """
    from scipy.ndimage import distance_transform_edt

    depth_mm = distance_transform_edt(np.pad(body, 1))[1:-1, 1:-1, 1:-1] * spacing_mm
    radius_mm = min(DEFAULT_TARGET_RADIUS_MM, float(depth_mm.max()) / 2)
    if radius_mm < _SMALLEST_RADIUS_VOXELS * spacing_mm:
        raise InputError(
            "the body is too thin for a target", got=f"a deepest point {depth_mm.max():.0f} mm inside",
            expected=f"at least {2 * _SMALLEST_RADIUS_VOXELS * spacing_mm:.0f} mm", remedy="give a target of your own",
        )  # fmt: skip
    centre = np.unravel_index(int(depth_mm.argmax()), body.shape)
    squared = sum(((n - c) * spacing_mm) ** 2 for n, c in zip(np.indices(body.shape), centre, strict=True))
    return np.asarray(squared <= radius_mm**2, dtype=bool)


def _on_grid(mask: Volume, grid: Geometry) -> Bools:
    return np.asarray(_resampled(mask, grid).voxels != 0)


def _resampled(volume: Volume, grid: Geometry) -> Volume:
    from mr2ct.preprocessing.resampling import resample_to

    return resample_to(volume, grid)
