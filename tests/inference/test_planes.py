"""Slices in and out in every plane, slabs with their neighbours, which planes are run, and fusion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference.planes import AIR, choose_planes, fuse, predict_slices
from mr2ct.inference.slice_frame import PLACES

PLANES = tuple(PLANE_AXIS)


@pytest.mark.parametrize("plane", PLANES)
def test_the_identity_gives_the_volume_back(fake_engine, plane):
    mr = np.random.default_rng(1).random((5, 6, 7), dtype=np.float32)
    engine = fake_engine(lambda inputs: inputs)
    np.testing.assert_array_equal(predict_slices(engine, mr, np.ones_like(mr), plane=plane), mr)
    assert {shape[2:] for shape in engine.seen} == {(24, 24)}
    assert sum(shape[0] for shape in engine.seen) == mr.shape[PLANE_AXIS[plane]]


@pytest.mark.parametrize("plane", PLANES)
def test_slices_have_the_orientation_they_had_in_training(fake_engine, plane):
    """The training sampler moves the plane's axis to the front; so must inference, or the head is turned."""
    mr = np.random.default_rng(1).random((4, 5, 6), dtype=np.float32)
    seen = []

    def remember(inputs):
        seen.extend(inputs[:, 0])
        return inputs

    predict_slices(fake_engine(remember), mr, np.ones_like(mr), plane=plane)
    expected = np.moveaxis(mr, PLANE_AXIS[plane], 0)
    rows, columns = expected.shape[1:]
    np.testing.assert_array_equal(np.array(seen)[:, 8 : 8 + rows, 8 : 8 + columns], expected)


def test_slices_without_body_are_not_run_and_become_air(fake_engine):
    mr, inside = np.zeros((4, 4, 9), np.float32), np.zeros((4, 4, 9))
    inside[1, 1, 3:5] = 1
    engine = fake_engine(lambda inputs: inputs + 0.25)
    answer = predict_slices(engine, mr, inside, plane="axial")
    assert sum(shape[0] for shape in engine.seen) == 2
    np.testing.assert_array_equal(answer[..., 3:5], 0.25)  # all of it is near the body
    np.testing.assert_array_equal(np.delete(answer, [3, 4], axis=2), AIR)


def test_a_slice_is_shown_with_background_round_its_body_and_no_more_of_what_lies_far_from_it(fake_engine):
    mr, inside = np.full((120, 90, 2), 0.5, np.float32), np.zeros((120, 90, 2))
    inside[70:90, 0:20] = 1
    engine = fake_engine(lambda inputs: inputs)
    answer = predict_slices(engine, mr, inside, plane="axial")
    assert engine.seen == [(2, 1, 48, 40)]
    near = np.zeros(mr.shape, bool)
    near[56:104, :32] = True  # 8 voxels or more on every side, on a grid of 8; before the first column lies nothing
    np.testing.assert_array_equal(answer, np.where(near, 0.5, AIR))


def poles(n_small, n_large):
    """A volume whose first slices hold a small body and whose others a large one."""
    inside = np.zeros((96, 96, n_small + n_large))
    inside[40:56, 40:56, :n_small] = 1
    inside[8:88, 8:88, n_small:] = 1
    return inside


def test_small_slices_are_shown_in_small_frames(fake_engine):
    inside = poles(4, 5)
    engine = fake_engine(lambda inputs: inputs)
    answer = predict_slices(engine, np.full(inside.shape, 0.5, np.float32), inside, plane="axial")
    assert engine.seen == [(4, 1, 32, 32), (4, 1, 96, 96), (1, 1, 96, 96)]
    np.testing.assert_array_equal(answer[inside > 0], 0.5)


@pytest.mark.parametrize(
    ("batch_size", "batches"), [(1, [4, 4, 4, 4, 2]), (8, [8, 8, 2]), (16, [8, 10]), (64, [8, 10])]
)
def test_frames_do_not_depend_on_how_much_a_device_takes_at_once(fake_engine, batch_size, batches):
    inside = poles(8, 10)
    mr = np.random.default_rng(1).random(inside.shape, dtype=np.float32)

    def with_place(inputs):
        """An answer that depends on where a voxel lies in its frame."""
        rows, columns = inputs.shape[2:]
        return inputs + 0.1 * np.arange(rows, dtype=np.float32)[:, None] + np.arange(columns, dtype=np.float32)

    engine = fake_engine(with_place, batch_size=batch_size)
    answer = predict_slices(engine, mr, inside, plane="axial")
    assert [shape[0] for shape in engine.seen] == batches
    np.testing.assert_array_equal(
        answer, predict_slices(fake_engine(with_place, batch_size=4), mr, inside, plane="axial")
    )


def test_a_volumes_last_slice_is_framed_as_its_others_are(fake_engine):
    mr = np.ones((20, 20, 5), np.float32)
    engine = fake_engine(lambda inputs: inputs)
    predict_slices(engine, mr, mr, plane="axial")
    assert {shape[2:] for shape in engine.seen} == {(40, 40)}
    engine.seen.clear()
    predict_slices(engine, mr[..., :1], mr[..., :1], plane="axial", places=((0, 0),))
    assert engine.seen == [(1, 1, 80, 80)]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("places", [((0, 0),), PLACES])
def test_a_single_slice_is_shown_at_every_place_and_comes_back_where_it_was(fake_engine, plane, places):
    axis = PLANE_AXIS[plane]
    mr = np.expand_dims(np.random.default_rng(1).random((20, 30), dtype=np.float32), axis)
    shown = []

    def with_grid(inputs):
        """What a network that folds voxels by two adds: more in every second row and column."""
        shown.append(inputs.shape)
        return inputs + 0.25 * (np.arange(inputs.shape[2]) % 2)[:, None] + 0.5 * (np.arange(inputs.shape[3]) % 2)

    found = predict_slices(fake_engine(with_grid), mr, np.ones_like(mr), plane=plane, places=places)
    assert [shape[0] for shape in shown] == [len(places)]
    row, column = np.mgrid[:20, :30]
    grid = [0.25 * ((row + down) % 2) + 0.5 * ((column + right) % 2) for down, right in places]
    np.testing.assert_allclose(found, mr + np.expand_dims(np.mean(grid, axis=0), axis), rtol=1e-6)


def test_a_volume_is_shown_at_one_place(fake_engine):
    mr = np.ones((20, 20, 2), np.float32)
    engine = fake_engine(lambda inputs: inputs)
    predict_slices(engine, mr, mr, plane="axial", places=PLACES)
    assert sum(shape[0] for shape in engine.seen) == 2


def test_how_much_background_a_volume_has_makes_no_difference(fake_engine):
    def blurred(inputs):
        return (inputs + np.roll(inputs, 1, 2) + np.roll(inputs, -1, 3)) / 3

    mr = np.random.default_rng(1).random((30, 40, 3), dtype=np.float32)
    wide, inside = (np.pad(image, ((32, 7), (16, 50), (0, 0))) for image in (mr, np.ones_like(mr)))
    alone = predict_slices(fake_engine(blurred), mr, np.ones_like(mr), plane="axial")
    among = predict_slices(fake_engine(blurred), wide, inside, plane="axial")
    np.testing.assert_array_equal(among[32:62, 16:56], alone)


def test_a_slab_holds_the_neighbours_and_background_beyond_the_ends(fake_engine):
    mr = np.arange(1, 6, dtype=np.float32)[None, None, :] * np.ones((2, 2, 1), np.float32)
    slabs = []

    def middle(inputs):
        slabs.extend(inputs[:, :, 8, 8].tolist())
        return inputs[:, 1:2]

    answer = predict_slices(fake_engine(middle), mr, np.ones_like(mr), plane="axial", context_slices=3)
    np.testing.assert_array_equal(answer, mr)
    assert slabs == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0]]


def test_progress_ends_at_one(fake_engine):
    shares = []
    mr = np.ones((2, 2, 7), np.float32)
    predict_slices(fake_engine(lambda inputs: inputs), mr, mr, plane="axial", on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("plane", PLANES)
def test_a_single_slice_has_one_plane(plane):
    shape = tuple(1 if axis == PLANE_AXIS[plane] else 90 for axis in range(3))
    assert choose_planes(shape, wanted="all", trained=PLANES) == (plane,)
    assert choose_planes(shape, wanted=plane, trained=PLANES) == (plane,)
    for other in set(PLANES) - {plane}:
        with pytest.raises(InputError, match=f"a single {plane} slice"):
            choose_planes(shape, wanted=other, trained=PLANES)


def test_thin_slabs_are_run_along_their_wide_side():
    assert choose_planes((200, 200, 8), wanted="all", trained=PLANES) == ("axial",)
    assert choose_planes((200, 200, 8), wanted="coronal", trained=PLANES) == ("coronal",)
    assert choose_planes((9, 8, 7), wanted="all", trained=PLANES) == ("axial",)
    assert set(choose_planes((200, 200, 100), wanted="all", trained=PLANES)) == set(PLANES)


def test_planes_nobody_knows_are_errors():
    with pytest.raises(InputError, match="unknown plane"):
        choose_planes((9, 9, 9), wanted="oblique", trained=PLANES)
    with pytest.raises(InputError, match="cannot convert in this plane"):
        choose_planes((90, 90, 90), wanted="coronal", trained=("axial",))


def stack(rng, n):
    return [rng.random((3, 4, 5), dtype=np.float32) for _ in range(n)]


@given(st.integers(0, 99), st.integers(1, 4))
def test_fusion_agrees_with_numpy_and_ignores_order(seed, n):
    predictions = stack(np.random.default_rng(seed), n)
    np.testing.assert_allclose(fuse(predictions), np.mean(predictions, axis=0), rtol=1e-5)
    np.testing.assert_allclose(fuse(predictions[::-1]), fuse(predictions), rtol=1e-5)


@given(st.integers(1, 3))
def test_agreeing_planes_are_kept(n):
    one = stack(np.random.default_rng(1), 1)[0]
    np.testing.assert_allclose(fuse([one] * n), one, rtol=1e-6)


def test_fusion_leaves_its_input_alone():
    predictions = stack(np.random.default_rng(1), 3)
    before = [prediction.copy() for prediction in predictions]
    fuse(predictions)
    np.testing.assert_array_equal(predictions, before)


def test_nothing_to_fuse_is_an_error():
    with pytest.raises(InputError, match="no plane"):
        fuse([])
