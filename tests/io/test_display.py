"""Pictures are held the radiological way whatever the order of the axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.io.display import Plane, as_pictures, from_pictures, picture_spacing_mm, picture_through, single_plane


@st.composite
def turned_grids(draw: st.DrawFn) -> Geometry:
    """Any order of axes, flips and spacing, a little oblique."""
    order = draw(st.permutations(range(3)))
    signs = np.array(draw(st.tuples(*(st.sampled_from([-1, 1]) for _ in range(3)))))
    spacing = np.array(draw(st.tuples(*(st.floats(0.5, 3) for _ in range(3)))))
    tilt = np.eye(3)
    angle = np.deg2rad(draw(st.floats(-20, 20)))
    tilt[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.eye(3)[:, order] * (signs * spacing)
    return Geometry(draw(st.tuples(*(st.integers(1, 5) for _ in range(3)))), affine)


@given(turned_grids(), st.sampled_from(Plane))
def test_there_and_back(geometry: Geometry, plane: Plane):
    voxels = np.arange(np.prod(geometry.shape)).reshape(geometry.shape)
    pictures = as_pictures(voxels, geometry.affine, plane)
    np.testing.assert_array_equal(from_pictures(pictures, geometry.affine, plane), voxels)


@given(turned_grids(), st.sampled_from(Plane))
def test_pictures_lead_where_they_should(geometry: Geometry, plane: Plane):
    world = voxel_to_world(geometry.affine, np.moveaxis(np.indices(geometry.shape), 0, -1))
    axes = {
        Plane.AXIAL: [(2, 1), (1, -1), (0, -1)],
        Plane.CORONAL: [(1, 1), (2, -1), (0, -1)],
        Plane.SAGITTAL: [(0, 1), (2, -1), (1, -1)],
    }[plane]
    for picture_axis, (anatomical, sign) in enumerate(axes):
        steps = np.diff(as_pictures(world[..., anatomical], geometry.affine, plane), axis=picture_axis)
        assert (steps * sign > 0).all()


@given(turned_grids(), st.sampled_from(Plane), st.data())
def test_the_picture_through_a_voxel_shows_it(geometry: Geometry, plane: Plane, data: st.DataObject):
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in geometry.shape)
    marked = np.zeros(geometry.shape, bool)
    marked[voxel] = True
    assert as_pictures(marked, geometry.affine, plane)[picture_through(geometry, plane, voxel)].any()


@given(turned_grids())
def test_each_axis_is_the_slice_axis_of_one_plane(geometry: Geometry):
    assert sorted(picture_spacing_mm(geometry, plane)[0] for plane in Plane) == sorted(geometry.spacing_mm)


@pytest.mark.parametrize(("thin", "plane"), [(0, Plane.SAGITTAL), (1, Plane.CORONAL), (2, Plane.AXIAL)])
def test_the_plane_of_a_single_slice(thin: int, plane: Plane):
    shape = [4, 5, 6]
    shape[thin] = 1
    assert single_plane(Geometry((shape[0], shape[1], shape[2]), np.eye(4))) is plane
    assert single_plane(Geometry((4, 5, 6), np.eye(4))) is None
