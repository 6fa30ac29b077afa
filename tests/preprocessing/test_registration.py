from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.io import read_volume
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.registration import cube_rotations, register_rigid
from mr2ct.preprocessing.resampling import to_spacing
from mr2ct.preprocessing.rigid_transform import RigidTransform
from mr2ct.volume import Quantity, Volume


def _corners_of_the_object_mm(volume: Volume) -> np.ndarray:
    inside = np.argwhere(body_mask(volume).voxels > 0)
    corners = list(product(*zip(inside.min(axis=0), inside.max(axis=0), strict=True)))
    return voxel_to_world(volume.geometry.affine, corners)


def _lopsided(spacing_mm: float = 4.0) -> tuple[Volume, Volume]:
    """MR and CT, on one grid, of an object that no turn lays on itself: bone bright in one and dark in the other."""
    shape = tuple(int(mm / spacing_mm) for mm in (120, 150, 135))
    x, y, z = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * spacing_mm for n in shape), indexing="ij")
    body = (x / 45) ** 2 + (y / 60) ** 2 + (z / 52) ** 2 < 1
    bone = (x - 12) ** 2 + (y - 20) ** 2 + (z + 8) ** 2 < 14**2
    fat = (x + 15) ** 2 + (y + 18) ** 2 + (z - 20) ** 2 < 12**2
    noise = np.random.default_rng(0).normal(0, 3, shape)
    mr = np.where(body, 100.0, 0.0) - 90 * bone + 120 * fat + np.abs(noise)
    hu = np.where(body, 40, -1000) + 900 * bone - 130 * fat + noise
    grid = Geometry(shape, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]))
    return Volume(mr, grid, Quantity.MR), Volume(hu, grid, Quantity.HU)


def _displaced(ct: Volume, turn_degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]):
    """The CT with another affine, and the transform moving <- fixed that undoes it."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn_degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return Volume(ct.voxels, Geometry(ct.geometry.shape, matrix @ ct.geometry.affine), ct.quantity), matrix


@pytest.mark.parametrize(
    ("turn_degrees", "shift_mm"),
    [((5, -8, 12), (30, -20, 10)), ((90, 0, 180), (5, 200, -60)), ((172, 9, -6), (0, 0, 80))],
)
def test_a_known_displacement_is_found(turn_degrees, shift_mm):
    mr, ct = _lopsided()
    moving, truth = _displaced(ct, turn_degrees, shift_mm)
    found = register_rigid(mr, moving)
    corners = _corners_of_the_object_mm(mr)
    assert np.linalg.norm(found.to_moving(corners) - RigidTransform(truth).to_moving(corners), axis=1).max() < 1
    # and the CT lies on the MR
    on_mr = found.resample(moving, mr.geometry).voxels
    inside = body_mask(mr).voxels > 0
    assert np.corrcoef(on_mr[inside], ct.voxels[inside])[0, 1] > 0.9


def test_one_seed_gives_one_transform():
    mr, ct = _lopsided(6.0)
    moving, _ = _displaced(ct, (4, 0, -7), (9, 2, 0))
    found = register_rigid(mr, moving, seed=3, levels_mm=(6.0,))
    assert found == register_rigid(mr, moving, seed=3, levels_mm=(6.0,))
    assert found.mutual_information > 0.5


def test_the_24_turns_of_a_cube_are_scipys():
    ours = {tuple(turn.ravel().astype(int)) for turn in cube_rotations()}
    theirs = {tuple(np.rint(turn).ravel().astype(int)) for turn in Rotation.create_group("O").as_matrix()}
    assert ours == theirs
    assert np.array_equal(cube_rotations()[0], np.eye(3))


def test_single_slices_and_empty_images_are_refused():
    mr, ct = _lopsided(6.0)
    flat = Volume(mr.voxels[:, :, :1], Geometry((*mr.geometry.shape[:2], 1), mr.geometry.affine), Quantity.MR)
    with pytest.raises(InputError, match="fixed image is a single slice"):
        register_rigid(flat, ct)
    with pytest.raises(InputError, match="moving image is a single slice"):
        register_rigid(mr, flat)
    with pytest.raises(InputError, match="no body found"):
        register_rigid(mr, ct.with_voxels(np.full(ct.geometry.shape, -1000)))


def _reference_transform(path) -> np.ndarray:
    """The transform on disk maps LPS mm of the MR to LPS mm of the CT; here in RAS."""
    import SimpleITK as sitk

    transform = sitk.ReadTransform(str(path))
    lps = np.diag([-1.0, -1.0, 1.0])
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    columns = [np.array(transform.TransformPoint(tuple(unit))) - origin for unit in np.eye(3)]
    matrix[:3, :3] = lps @ np.array(columns).T @ lps
    matrix[:3, 3] = lps @ origin
    return matrix


def _porcine(folder: Path) -> tuple[Volume, Volume, RigidTransform]:
    """MR, CT and the reference transform; as the scanners placed them, they lie 178 degrees apart."""
    # registration looks at 2 mm voxels and coarser; the rest of the 24 million would only cost time
    mr = to_spacing(read_volume(folder / "t2-dicom"), (1.5, 1.5, 2.5))
    ct = read_volume(folder / "ct_0.78x0.78x1.25.nii.gz", quantity=Quantity.HU)
    return mr, ct, RigidTransform(_reference_transform(folder / "ct_to_t2_rigid.tfm"))


def test_the_porcine_phantom_turned_by_another_180_degrees(shared_data):
    mr, ct, truth = _porcine(shared_data / "phantom-mr-ct")
    moving, turn = _displaced(ct, (180, 0, 0), (40, -30, 120))
    found = register_rigid(mr, moving)
    corners = _corners_of_the_object_mm(mr)
    expected = voxel_to_world(turn, truth.to_moving(corners))
    assert np.linalg.norm(found.to_moving(corners) - expected, axis=1).max() < 2


def test_the_porcine_phantom_180_degrees_apart(shared_data):
    folder = shared_data / "phantom-mr-ct"
    mr, ct, truth = _porcine(folder)
    found = register_rigid(mr, ct)
    corners = _corners_of_the_object_mm(mr)
    assert np.linalg.norm(found.to_moving(corners) - truth.to_moving(corners), axis=1).max() < 2
    given = read_volume(folder / "ct_on_t2_grid.nii.gz", quantity=Quantity.HU)
    ours = found.resample(ct, mr.geometry).voxels
    theirs = RigidTransform(np.eye(4)).resample(given, mr.geometry).voxels
    inside = body_mask(mr).voxels > 0
    bone = [np.logical_and(hu > 400, inside) for hu in (ours, theirs)]
    assert 2 * np.logical_and(*bone).sum() / (bone[0].sum() + bone[1].sum()) > 0.85
