"""A treatment plan made on a CT and calculated again on its sCT, by pyRadPlan (the extra `dose`).

Wahl et al., pyRadPlan 0.3.5, https://github.com/e0404/pyRadPlan, after matRad (Wieser et al. 2017,
doi:10.1002/mp.12251). Photons: 6 MV, pencil beams in singular value decomposition; protons: scanned pencil beams.
The generic machines that come with it, and its look-up table from HU (`stopping_power.CURVES["matrad"]`).
The only module that knows pyRadPlan, which works in LPS and (z, y, x).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError, MissingDependencyError
from mr2ct.geometry import Geometry
from mr2ct.volume import Volume

Float32 = NDArray[np.float32]

PRESCRIBED_GY = 2.0


@dataclass(frozen=True)
class PlanSetup:
    """How a plan is made: beams, and the width of the pencil beams they are built of."""

    radiation_mode: str
    gantry_angles_degrees: tuple[float, ...]
    bixel_width_mm: float = 5.0


SETUPS = {
    "photon": PlanSetup("photons", (0.0, 72.0, 144.0, 216.0, 288.0)),
    "proton": PlanSetup("protons", (90.0, 270.0)),
}
"""The modalities, by the name `dose_report` takes."""


def planned_doses(
    ct: Volume, sct: Volume, *, body: NDArray[np.bool_], target: NDArray[np.bool_], modality: str
) -> tuple[Float32, Float32]:
    """The dose of one plan, in Gy per fraction, (i, j, k): on the CT it was optimised on, and on the sCT.

    Parameters
    ----------
    ct, sct : HU on one grid whose axes run left, posterior, superior (see `dose.planning_grid`).
    body : outside, there is air, in both. target : gets the prescribed 2 Gy, evenly.
    modality : "photon" or "proton".

    Raises
    ------
    InputError : an unknown modality, an empty target. MissingDependencyError : no pyRadPlan.

    Example
    -------
    >>> planned_doses(ct, sct, body=body, target=target, modality="proton")  # doctest: +SKIP
    """
    if modality not in SETUPS:
        raise InputError("unknown modality", got=repr(modality), expected=f"one of {', '.join(SETUPS)}")
    if not target.any():
        raise InputError("a target without a voxel", got="an empty mask", expected="a target inside the body")
    planning = _pyradplan()
    with _quietly():
        plan = _plan(planning, SETUPS[modality], ct.geometry)
        images, structures = zip(*(_patient(planning, image, body, target) for image in (ct, sct)), strict=True)
        steering = planning.generate_stf(images[0], structures[0], plan)
        influences = [
            planning.calc_dose_influence(image, own, steering, plan)
            for image, own in zip(images, structures, strict=True)
        ]
        fluence = planning.fluence_optimization(images[0], structures[0], steering, influences[0], plan)
        on_ct, on_sct = (_dose(influence, fluence) for influence in influences)
    return on_ct, on_sct


def _pyradplan() -> Any:
    try:
        import pyRadPlan
    except ImportError as error:
        raise MissingDependencyError(
            "dose needs pyRadPlan", got=str(error), remedy="pip install 'mr2ct[dose]'"
        ) from error
    return pyRadPlan


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress bars that pyRadPlan draws on standard error."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _plan(planning: Any, setup: PlanSetup, grid: Geometry) -> Any:
    photons = setup.radiation_mode == "photons"
    plan = planning.PhotonPlan() if photons else planning.IonPlan(radiation_mode=setup.radiation_mode)
    plan.prop_stf = {
        "gantry_angles": list(setup.gantry_angles_degrees),
        "couch_angles": [0.0] * len(setup.gantry_angles_degrees),
        "bixel_width": setup.bixel_width_mm,
    }
    plan.prop_dose_calc = {"dose_grid": {"resolution": dict(zip("xyz", grid.spacing_mm, strict=True))}}
    plan.prop_opt = {"solver": "scipy"}
    return plan


def _patient(planning: Any, image: Volume, body: NDArray[np.bool_], target: NDArray[np.bool_]) -> tuple[Any, Any]:
    """PyRadPlan's CT and structure set."""
    from pyRadPlan.cst import validate_voi
    from pyRadPlan.optimization.objectives import SquaredDeviation, SquaredOverdosing

    hu = np.where(body, np.clip(image.voxels, -1024, 3071), -1024).astype(np.float32)
    ct = planning.CT(cube_hu=_image(hu, image.geometry))
    even = SquaredDeviation(d_ref=PRESCRIBED_GY, priority=100.0)
    spared = SquaredOverdosing(d_max=PRESCRIBED_GY / 2, priority=10.0)
    masks = (("target", "TARGET", target, even), ("body", "EXTERNAL", body, spared))
    structures = [
        validate_voi(
            name=name,
            voi_type=kind,
            ct_image=ct,
            mask=_image(mask.astype(np.uint8), image.geometry),
            objectives=[objective],
        )
        for name, kind, mask, objective in masks
    ]
    return ct, planning.StructureSet(vois=structures, ct_image=ct)


def _image(voxels: NDArray[Any], grid: Geometry) -> Any:
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin((np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3, 3]).tolist())
    return image


def _dose(influence: Any, fluence: NDArray[Any]) -> Float32:
    import SimpleITK as sitk  # noqa: N813

    image = influence.compute_result_ct_grid(fluence)["physical_dose"]
    return np.asarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0), dtype=np.float32)
