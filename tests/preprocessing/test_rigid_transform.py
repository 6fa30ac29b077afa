from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from mr2ct.errors import GeometryError
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.rigid_transform import RigidTransform
from mr2ct.volume import Quantity, Volume

numbers = st.floats(-50, 50)


@st.composite
def transforms(draw: st.DrawFn) -> RigidTransform:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(draw(st.tuples(*[st.floats(-3, 3)] * 3))).as_matrix()
    matrix[:3, 3] = draw(st.tuples(numbers, numbers, numbers))
    return RigidTransform(matrix, draw(st.none() | st.floats(0, 2)))


@given(transforms(), st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=4))
def test_the_inverse_brings_points_back_and_distances_stay(transform, points):
    moved = transform.to_moving(points)
    np.testing.assert_allclose(transform.inverse().to_moving(moved), points, atol=1e-9)
    np.testing.assert_allclose(
        np.linalg.norm(moved - moved[0], axis=-1), np.linalg.norm(np.array(points) - points[0], axis=-1), atol=1e-9
    )


@given(transforms())
def test_survives_json_bit_for_bit(transform):
    again = RigidTransform.from_dict(json.loads(json.dumps(transform.to_dict())))
    assert again == transform
    assert hash(again) == hash(transform)
    assert again.mutual_information == transform.mutual_information


@pytest.mark.parametrize(
    "matrix", [np.diag([1, 1, 2, 1.0]), np.diag([-1, 1, 1, 1.0]), np.eye(3), np.full((4, 4), np.nan)], ids=str
)
def test_scaling_mirroring_and_nonsense_are_refused(matrix):
    with pytest.raises(GeometryError, match="not a rigid transform"):
        RigidTransform(matrix)


def test_the_matrix_cannot_be_changed():
    transform = RigidTransform(np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        transform.matrix[0, 0] = 2


def test_resampling_agrees_with_scipy():
    rng = np.random.default_rng(0)
    grid = Geometry((10, 11, 12), np.eye(4))
    moving = Volume(ndimage.gaussian_filter(rng.normal(size=(10, 11, 12)), 1), grid, Quantity.MR)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.1, -0.2, 0.15]).as_matrix()
    matrix[:3, 3] = (1.0, 0.5, -0.7)
    ours = RigidTransform(matrix).resample(moving, grid).voxels
    theirs = ndimage.affine_transform(moving.voxels.astype(float), matrix, order=1, mode="constant", cval=np.nan)
    known = np.isfinite(theirs)
    assert known.mean() > 0.5
    np.testing.assert_allclose(ours[known], theirs[known], atol=1e-5)
