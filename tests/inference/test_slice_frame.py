"""What part of a slice is shown: all of the body, enough background, and the way back."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.geometry import SLICE_MARGIN_VOXELS
from mr2ct.inference.slice_frame import GRID_VOXELS, PLACES, VOLUME_MARGIN_VOXELS, SliceFrame

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 90), st.integers(1, 90))


@given(shape=SIZES, alone=st.booleans(), data=st.data())
def test_a_frame_holds_the_body_and_background_on_all_sides_and_begins_on_the_grid(shape, alone, data):
    body = [sorted((data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1)))) for n in shape[1:]]
    inside = np.zeros(shape)
    for row, column in zip(body[0], body[1], strict=True):
        inside[-1, row, column] = 1
    frame = SliceFrame.around(inside, alone=alone)
    margin, grid = (SLICE_MARGIN_VOXELS, GRID_VOXELS) if alone else (VOLUME_MARGIN_VOXELS, GRID_VOXELS // 2)
    for (first, last), start, stop in zip(body, frame.start, frame.stop, strict=True):
        assert margin <= first - start < margin + grid
        assert margin <= stop - 1 - last < margin + grid
        assert start % grid == 0
        assert stop % grid == 0


@given(shape=SIZES, seed=st.integers(0, 2**16), keep=st.floats(0, 0.2))
def test_what_is_shown_goes_back_where_it_was(shape, seed, keep):
    rng = np.random.default_rng(seed)
    slices = rng.random(shape, dtype=np.float32)
    inside = rng.random(shape) < keep
    frame = SliceFrame.around(inside)
    shown, back = frame.of(slices), np.full(shape, -1, np.float32)
    frame.put(shown, back)
    assert np.array_equal(back[inside], slices[inside])
    assert set(np.unique(back)) <= {*np.unique(slices), -1}
    # and beyond the slices lies background
    np.testing.assert_allclose(shown.sum(dtype=float), back[back >= 0].sum(dtype=float), rtol=1e-6)


def test_of_no_body_nothing_is_shown():
    slices = np.ones((2, 50, 60), np.float32)
    frame = SliceFrame.around(np.zeros(slices.shape))
    assert frame.of(slices).size == 0
    frame.put(frame.of(slices), slices)
    assert np.all(slices == 1)


@given(place=st.tuples(st.integers(0, GRID_VOXELS), st.integers(0, GRID_VOXELS)), shape=SIZES)
def test_a_moved_frame_holds_the_frame_and_is_as_large_wherever_it_is_moved(place, shape):
    frame = SliceFrame.around(np.ones(shape))
    moved = frame.moved(place)
    for place_of, own, start, stop in zip(
        place, zip(frame.start, frame.stop, strict=True), moved.start, moved.stop, strict=True
    ):
        assert own[0] - start == place_of
        assert stop >= own[1]
        assert stop - start == own[1] - own[0] + GRID_VOXELS


def test_places_differ_at_every_level_of_the_grid():
    """Of two places, not even the voxels that the stem folds are the same in rows and columns."""
    for one, other in combinations(PLACES, 2):
        assert all(0 <= part < GRID_VOXELS for part in (*one, *other))
        assert any((a - b) % 2 for a, b in zip(one, other, strict=True))
