"""Geometry against nibabel, and its round trips."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mr2ct.errors import GeometryError
from mr2ct.geometry import (
    Geometry,
    closest_axes,
    corners_mm,
    difference,
    require_same_geometry,
    voxel_to_world,
    with_spacing_mm,
    world_to_voxel,
)

shapes = st.tuples(*(st.integers(1, 40) for _ in range(3)))
spacings = st.tuples(*(st.floats(0.3, 6) for _ in range(3)))


@st.composite
def affines(draw: st.DrawFn, *, most_degrees: float = 180) -> np.ndarray:
    """Any rotation, flips and order of axes, anisotropic voxels, any origin."""
    rotation = np.eye(3)[:, draw(st.permutations(range(3)))]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        angle = np.deg2rad(draw(st.floats(-most_degrees, most_degrees)))
        turn = np.eye(3)
        turn[[a, b], [a, b]], turn[a, b], turn[b, a] = np.cos(angle), -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    signs = np.array(draw(st.tuples(*(st.sampled_from([-1, 1]) for _ in range(3)))))
    affine = np.eye(4)
    affine[:3, :3] = rotation * (signs * np.array(draw(spacings)))
    affine[:3, 3] = draw(st.tuples(*(st.floats(-300, 300) for _ in range(3))))
    return affine


@given(affines(), st.lists(st.tuples(*(st.floats(-50, 500) for _ in range(3))), min_size=1, max_size=5))
def test_world_and_back_is_the_identity(affine: np.ndarray, voxels: list[tuple[float, float, float]]):
    there = voxel_to_world(affine, voxels)
    assert there.shape == (len(voxels), 3)
    np.testing.assert_allclose(world_to_voxel(affine, there), voxels, atol=1e-8)
    np.testing.assert_allclose(there, nibabel.affines.apply_affine(affine, voxels), atol=1e-9)


@given(affines())
def test_closest_axes_are_those_of_nibabel(affine: np.ndarray):
    cosines = np.sort(np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).ravel())
    # where two cosines tie, either answer is right
    assume(np.diff(cosines)[cosines[1:] > 0.3].min(initial=1) > 1e-3)
    theirs = nibabel.orientations.io_orientation(affine)
    for anatomical, (voxel, sign) in enumerate(closest_axes(affine)):
        assert tuple(theirs[voxel]) == (anatomical, sign)


@given(affines(most_degrees=20), shapes)
def test_axis_codes_are_those_of_nibabel(affine: np.ndarray, shape: tuple[int, int, int]):
    assert Geometry(shape, affine).axis_codes == nibabel.aff2axcodes(affine)


@given(affines(), shapes)
def test_spacing_and_directions_make_up_the_affine(affine: np.ndarray, shape: tuple[int, int, int]):
    geometry = Geometry(shape, affine)
    np.testing.assert_allclose(geometry.spacing_mm, nibabel.affines.voxel_sizes(affine))
    np.testing.assert_allclose(geometry.directions * geometry.spacing_mm, affine[:3, :3], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(geometry.directions, axis=0), 1)


@given(affines(), shapes, spacings)
def test_another_spacing_keeps_the_box(affine: np.ndarray, shape: tuple[int, int, int], spacing: tuple):
    old = Geometry(shape, affine, "1.2.3")
    new = with_spacing_mm(old, spacing)
    np.testing.assert_allclose(
        voxel_to_world(new.affine, [-0.5] * 3), voxel_to_world(old.affine, [-0.5] * 3), atol=1e-9
    )
    np.testing.assert_allclose(new.directions, old.directions, atol=1e-9)
    lengths = np.array(old.shape) * old.spacing_mm
    # rounding the number of voxels moves the far face by half a voxel at most, one voxel where there must be one
    apart = np.abs(np.array(new.shape) * new.spacing_mm - lengths)
    assert (apart <= np.where(np.array(new.shape) == 1, 1, 0.5) * new.spacing_mm + 1e-9).all()
    assert new.frame_of_reference_uid == "1.2.3"
    for axis in range(3):
        if shape[axis] == 1:
            assert new.shape[axis] == 1
            assert new.spacing_mm[axis] == pytest.approx(old.spacing_mm[axis])


@given(affines(), shapes)
def test_its_own_spacing_changes_nothing(affine: np.ndarray, shape: tuple[int, int, int]):
    old = Geometry(shape, affine)
    assert difference(old, with_spacing_mm(old, old.spacing_mm), tolerance_mm=1e-6) is None


@given(affines(), shapes)
def test_corners_are_those_of_nibabel(affine: np.ndarray, shape: tuple[int, int, int]):
    corners = corners_mm(Geometry(shape, affine))
    assert corners.shape == (8, 3)
    far = nibabel.affines.apply_affine(affine, np.array(shape) - 1)
    np.testing.assert_allclose(corners[0], affine[:3, 3], atol=1e-9)
    np.testing.assert_allclose(corners[-1], far, atol=1e-9)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), (4, 4, 4, 2), (4, -1, 4)])
def test_an_impossible_shape_is_refused(shape: tuple[int, ...]):
    with pytest.raises(GeometryError, match="impossible grid"):
        Geometry(shape, np.eye(4))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([1.0, 0.0, 1.0, 1.0]),
        np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        np.diag([1.0, 1.0, 1.0, 2.0]),
        np.diag([1e-9, 1.0, 1.0, 1.0]),
    ],
    ids=["a zero axis", "two parallel axes", "last row", "spacing too small"],
)
def test_a_singular_affine_is_refused(affine: np.ndarray):
    with pytest.raises(GeometryError, match="singular affine"):
        Geometry((4, 4, 4), affine)


@pytest.mark.parametrize("affine", [np.eye(3), np.full((4, 4), np.nan), np.diag([1, 1, np.inf, 1])])
def test_an_unusable_affine_is_refused(affine: np.ndarray):
    with pytest.raises(GeometryError, match="unusable affine"):
        Geometry((4, 4, 4), affine)


def test_small_voxels_are_not_singular():
    assert Geometry((4, 4, 4), np.diag([1e-3, 1e-3, 1e-3, 1])).spacing_mm == pytest.approx((1e-3,) * 3)


def test_a_geometry_is_a_value(oblique_affine: np.ndarray):
    one, same = Geometry((4, 5, 6), oblique_affine, "1.2"), Geometry((4, 5, 6), oblique_affine.copy(), "1.2")
    assert one == same
    assert hash(one) == hash(same)
    assert one != Geometry((4, 5, 6), oblique_affine)
    assert one != "a grid"
    oblique_affine[0, 3] += 1
    assert one == same
    with pytest.raises(ValueError, match="read-only"):
        one.affine[0, 0] = 3


@pytest.mark.parametrize(("shape", "axis"), [((4, 4, 4), None), ((1, 4, 4), 0), ((4, 1, 4), 1), ((4, 1, 1), 2)])
def test_the_thin_axis(shape: tuple[int, int, int], axis: int | None):
    assert Geometry(shape, np.eye(4)).single_slice_axis == axis


def test_the_difference_names_the_attribute():
    one = Geometry((4, 4, 4), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = 2.0
    assert difference(one, one) is None
    assert difference(one, Geometry((4, 4, 5), np.eye(4))) == "shape (4, 4, 4) and (4, 4, 5)"
    assert difference(one, Geometry((4, 4, 4), moved)) == "affine: corners up to 2 mm apart"
    with pytest.raises(
        GeometryError, match=r"mask and MR lie on different grids; got affine: corners up to 2 mm apart"
    ):
        require_same_geometry(one, Geometry((4, 4, 4), moved), names="mask and MR")
    require_same_geometry(one, Geometry((4, 4, 4), moved), names="mask and MR", tolerance_mm=3)
