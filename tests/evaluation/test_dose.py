"""Dose on CT and sCT: structures, grids and targets here; whole plans where pyRadPlan is installed.

pyRadPlan holds older versions of NumPy and pydantic, so the plans are tested in an environment of their own:
`scripts/test_dose.sh`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mr2ct.errors import GeometryError, InputError, MissingDependencyError
from mr2ct.evaluation import dose as dose_module
from mr2ct.evaluation.dose import default_target, dose_report, named_structures, planning_grid
from mr2ct.evaluation.treatment_plan import SETUPS, PlanSetup, planned_doses
from mr2ct.geometry import Geometry, corners_mm, voxel_to_world, world_to_voxel
from mr2ct.volume import Quantity, Volume

HAS_PYRADPLAN = importlib.util.find_spec("pyRadPlan") is not None
needs_pyradplan = pytest.mark.skipif(
    not HAS_PYRADPLAN, reason="pyRadPlan is not installed (pip install 'mr2ct[dose]'; see scripts/test_dose.sh)"
)


def box_of_water(affine: np.ndarray, shape=(24, 26, 20)) -> tuple[Volume, Volume]:
    """Water with a margin of air, and its mask."""
    inside = np.zeros(shape, dtype=bool)
    inside[3:-3, 3:-3, 3:-3] = True
    grid = Geometry(shape, affine)
    return Volume(np.where(inside, 0.0, -1000.0), grid, Quantity.HU), Volume(inside, grid, Quantity.MASK)


def test_the_planning_grid_runs_left_posterior_superior_and_holds_the_body(awkward_affine: np.ndarray):
    _, mask = box_of_water(awkward_affine)
    grid = planning_grid(mask, spacing_mm=2.0)
    assert grid.axis_codes == ("L", "P", "S")
    np.testing.assert_allclose(grid.spacing_mm, 2.0)
    at = world_to_voxel(grid.affine, voxel_to_world(awkward_affine, np.argwhere(mask.voxels)))
    assert (at > 1).all()
    assert (at < np.array(grid.shape) - 2).all()
    assert np.ptp(corners_mm(grid), axis=0).max() < 200


def test_an_empty_body_has_no_grid():
    empty = Volume(np.zeros((3, 3, 3)), Geometry((3, 3, 3), np.eye(4)), Quantity.MASK)
    with pytest.raises(InputError, match="empty mask"):
        planning_grid(empty)


def test_the_default_target_is_a_ball_deep_in_the_body():
    body = np.zeros((50, 40, 30), dtype=bool)
    body[5:45, 5:35, 3:27] = True
    target = default_target(body, spacing_mm=3.0)
    assert body[target].all()
    radius_mm = (target.sum() * 27 * 3 / 4 / np.pi) ** (1 / 3)
    assert radius_mm == pytest.approx(12 * 3 / 2, rel=0.1)
    with pytest.raises(InputError, match="too thin"):
        default_target(body[:, :, 12:15], spacing_mm=3.0)


def test_structures_have_names():
    grid = Geometry((1, 1, 3), np.eye(4))
    numbers = Volume(np.array([[[0, 1, 1]]]), grid, Quantity.MASK)
    assert named_structures(None) == {}
    assert named_structures({"eye": numbers}) == {"eye": numbers}
    assert {name: int(v.voxels.sum()) for name, v in named_structures(numbers).items()} == {"label_1": 2}


def test_slices_and_other_grids_are_refused():
    ct, mask = box_of_water(np.eye(4))
    other = Volume(ct.voxels, Geometry(ct.geometry.shape, np.diag([2.0, 1, 1, 1])), Quantity.HU)
    with pytest.raises(GeometryError, match="sCT and CT"):
        dose_report(other, ct, mask)
    with pytest.raises(GeometryError, match="eye and CT"):
        dose_report(ct, ct, mask, labels={"eye": other})
    one = Volume(ct.voxels[:, :, :1], Geometry((24, 26, 1), np.eye(4)), Quantity.HU)
    with pytest.raises(InputError, match="dose needs a volume.*--path-length"):
        dose_report(one, one, None)
    with pytest.raises(InputError, match="expected one of photon, proton"):
        dose_report(ct, ct, mask, modality="neutron", grid_mm=1.0)
    with pytest.raises(InputError, match="a target without a voxel"):
        dose_report(ct, ct, mask, labels={"target": mask.with_voxels(np.zeros_like(mask.voxels))})


@pytest.mark.skipif(HAS_PYRADPLAN, reason="pyRadPlan is installed")
def test_without_pyradplan_the_extra_is_named():
    ct, mask = box_of_water(np.eye(4))
    with pytest.raises(MissingDependencyError, match=r"pip install 'mr2ct\[dose\]'"):
        dose_report(ct, ct, mask, grid_mm=1.0)


def test_the_report_without_planning(monkeypatch: pytest.MonkeyPatch, oblique_affine: np.ndarray):
    """The plan is stood in for by dose that is 1 Gy a 1000 HU: what is made of grids, masks and organs is seen."""
    seen = {}

    def stand_in(ct, sct, *, body, target, modality):
        seen.update(body=body, target=target, modality=modality, grid=ct.geometry)
        on_ct, on_sct = (2 * (1 + image.voxels / 1000) * body for image in (ct, sct))
        return on_ct, on_sct

    monkeypatch.setattr(dose_module, "planned_doses", stand_in)
    ct, mask = box_of_water(oblique_affine, shape=(40, 40, 24))
    sct = ct.with_voxels(np.where(mask.voxels, 10.0, -1000.0))
    organ = np.zeros_like(mask.voxels)
    organ[10:20, 10:20, 10:15] = 1
    structures = {"target": mask.with_voxels(organ), "eye": mask.with_voxels(organ[::-1])}
    report = dose_report(sct, ct, mask, labels=structures, modality="proton", grid_mm=1.5)
    assert seen["modality"] == "proton"
    assert seen["target"].sum() * 1.5**3 == pytest.approx(500 * 0.8 * 1.1 * 2.0, rel=0.1)
    assert report["eye_mean_error_percent"] == pytest.approx(1, abs=0.01)
    assert report["target_d98_error_percent"] == pytest.approx(1, abs=0.01)
    assert report["gamma_pass_2_2_percent"] == 100
    assert {"body_d2_error_percent", "body_mean_error_percent"} <= set(report)


@needs_pyradplan
@pytest.mark.parametrize(("angle", "axis", "sign"), [(0.0, 1, 1), (90.0, 0, -1), (180.0, 1, -1)])
def test_beams_come_from_where_the_gantry_stands(monkeypatch, angle: float, axis: int, sign: int):
    monkeypatch.setitem(SETUPS, "photon", PlanSetup("photons", (angle,), bixel_width_mm=10.0))
    _, mask = box_of_water(np.diag([5.0, 5.0, 5.0, 1.0]))
    grid = planning_grid(mask, spacing_mm=5.0)
    ct = Volume(np.zeros(grid.shape), grid, Quantity.HU)
    body = np.zeros(grid.shape, dtype=bool)
    body[2:-2, 2:-2, 2:-2] = True
    target = default_target(body, spacing_mm=5.0)
    on_ct, on_sct = planned_doses(ct, ct, body=body, target=target, modality="photon")
    np.testing.assert_array_equal(on_ct, on_sct)
    places = voxel_to_world(grid.affine, np.argwhere(body))
    off_middle = sign * (places[:, axis] - places[:, axis].mean())
    proximal, distal = off_middle > 20, off_middle < -20
    assert on_ct[body][proximal].mean() > 1.1 * on_ct[body][distal].mean()


@needs_pyradplan
@pytest.mark.parametrize("modality", list(SETUPS))
def test_a_real_head_with_a_perturbed_copy(shared_data: Path, modality: str):
    from mr2ct.io import read_volume
    from mr2ct.preprocessing.body_mask import body_mask
    from mr2ct.preprocessing.resampling import to_spacing

    ct = to_spacing(read_volume(shared_data / "head-ct" / "cranium.nii.gz", quantity=Quantity.HU), 6.0)
    body = body_mask(ct)
    same = dose_report(ct, ct, body, modality=modality, grid_mm=6.0)
    assert same["gamma_pass_2_2_percent"] == 100
    assert same["high_dose_mae_percent"] == same["target_d98_error_percent"] == 0
    denser = ct.with_voxels(np.where(ct.voxels > -500, ct.voxels + 80, ct.voxels))
    found = dose_report(denser, ct, body, modality=modality, grid_mm=6.0)
    assert all(np.isfinite(list(found.values())))
    # more tissue in the way: photons arrive weaker, protons stop short of the far side
    assert found["high_dose_mean_error_percent"] < -0.3
    assert found["target_d98_error_percent"] < 0
    assert found["gamma_pass_2_2_percent"] < 100
