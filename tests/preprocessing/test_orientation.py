from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import GeometryError
from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.preprocessing.orientation import ToCanonical, canonical_geometry, from_canonical, to_canonical
from mr2ct.preprocessing.step import Images
from mr2ct.volume import Quantity, Volume

ORIENTATIONS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


def oblique(angles: tuple[float, float, float]) -> np.ndarray:
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (n for n in range(3) if n != axis)
        one = np.eye(3)
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    return turn


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    order, signs = draw(st.sampled_from(ORIENTATIONS))
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=3, max_size=3)))
    spacing = draw(st.lists(st.floats(0.3, 6), min_size=3, max_size=3))
    angles = draw(st.tuples(*[st.floats(-0.35, 0.35)] * 3))
    affine = np.eye(4)
    axes = np.zeros((3, 3))
    axes[order, range(3)] = np.array(signs)
    affine[:3, :3] = oblique(angles) @ axes * spacing
    affine[:3, 3] = draw(st.lists(st.floats(-200, 200), min_size=3, max_size=3))
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    return Volume(voxels, Geometry(shape, affine, "1.2.3"), draw(st.sampled_from([Quantity.MR, Quantity.HU])))


@given(volumes())
def test_there_and_back_is_exact(volume):
    back = from_canonical(to_canonical(volume), volume.geometry)
    assert np.array_equal(back.voxels, volume.voxels)
    assert back.voxels.dtype == volume.voxels.dtype
    assert back.geometry == volume.geometry
    assert back.quantity is volume.quantity


@given(volumes())
def test_agrees_with_nibabel(volume):
    ours = to_canonical(volume)
    theirs = nib.as_closest_canonical(nib.Nifti1Image(volume.voxels, volume.geometry.affine))
    assert np.array_equal(ours.voxels, np.asarray(theirs.dataobj))
    np.testing.assert_allclose(ours.geometry.affine, theirs.affine, atol=1e-9)


@given(volumes())
def test_every_voxel_stays_where_it_is_in_the_patient(volume):
    turned = to_canonical(volume)
    assert turned.geometry.axis_codes == ("R", "A", "S")
    assert turned.geometry.frame_of_reference_uid == "1.2.3"
    where = {value: voxel_to_world(volume.geometry.affine, index) for index, value in np.ndenumerate(volume.voxels)}
    for index, value in np.ndenumerate(turned.voxels):
        np.testing.assert_allclose(voxel_to_world(turned.geometry.affine, index), where[value], atol=1e-9)


@given(volumes())
def test_canonical_is_a_fixed_point(volume):
    turned = to_canonical(volume)
    assert to_canonical(turned) is turned
    assert canonical_geometry(turned.geometry) == turned.geometry


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_all_48_orientations(order, signs):
    affine = np.zeros((4, 4))
    affine[order, range(3)] = np.array(signs) * (1.0, 2.0, 3.0)
    affine[3, 3] = 1
    volume = Volume(np.arange(24).reshape(2, 3, 4), Geometry((2, 3, 4), affine), Quantity.MR)
    turned = to_canonical(volume)
    assert turned.voxels.flags.c_contiguous
    np.testing.assert_array_equal(turned.geometry.directions, np.eye(3))
    np.testing.assert_array_equal(from_canonical(turned, volume.geometry).voxels, volume.voxels)


def test_another_grid_is_refused(small_mr):
    other = Geometry(small_mr.geometry.shape, np.eye(4))
    with pytest.raises(GeometryError, match="not the canonical grid"):
        from_canonical(to_canonical(small_mr), other)


def test_the_step_turns_every_volume_and_records_the_grid(small_mr):
    ct = small_mr.with_voxels(small_mr.voxels.astype(np.int16), quantity=Quantity.HU)
    images, fitted = ToCanonical().apply(Images(small_mr, ct))
    assert images.mask is None
    assert images.ct.geometry == images.mr.geometry == canonical_geometry(small_mr.geometry)
    assert fitted["before"]["affine"] == small_mr.geometry.affine.tolist()
