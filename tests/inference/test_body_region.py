"""The box around the body and the soft edge between it and air."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.inference.body_region import (
    ROUND_FOUND,
    ROUND_FOUND_IN_SLICE,
    ROUND_MASK,
    air_outside,
    body_weight,
    bounding_box,
)
from mr2ct.inference.translator import MARGIN_MM


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=5),
    st.floats(0, 5),
    st.tuples(*[st.sampled_from([0.5, 1.0, 2.5])] * 3),
)
def test_the_box_holds_the_body_and_its_margin(voxels, margin_mm, spacing_mm):
    mask = np.zeros((9, 7, 5), np.uint8)
    mask[tuple(np.transpose(voxels))] = 1
    box = bounding_box(mask, spacing_mm, margin_mm=margin_mm)
    assert mask[box].sum() == mask.sum()
    for axis, side in enumerate(box):
        occupied = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        assert side.start == 0 or (occupied[0] - side.start) * spacing_mm[axis] >= margin_mm - 1e-6
        assert side.stop == mask.shape[axis] or (side.stop - 1 - occupied[-1]) * spacing_mm[axis] >= margin_mm - 1e-6


def test_every_edge_fades_inside_the_box():
    for kept_mm, faded_mm in (ROUND_MASK, ROUND_FOUND, ROUND_FOUND_IN_SLICE):
        assert 0 < kept_mm < faded_mm <= MARGIN_MM


def test_an_empty_mask_is_an_error():
    with pytest.raises(InputError, match="no body"):
        bounding_box(np.zeros((3, 3, 3)), (1, 1, 1), margin_mm=1)


def test_the_edge_is_soft_and_in_millimetres():
    mask = np.zeros((1, 1, 12), np.uint8)
    mask[..., 0] = 1
    weight = body_weight(mask, (1, 1, 0.5), edge=(2, 4))[0, 0]
    np.testing.assert_allclose(weight, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0])


def test_a_single_slice_has_an_edge_too():
    mask = np.zeros((20, 20, 1), np.uint8)
    mask[8:12, 8:12] = 1
    weight = body_weight(mask, (1, 1, 5))
    assert weight[10, 10, 0] == 1
    assert weight[0, 0, 0] == 0


def test_air_outside_and_the_answer_inside():
    sct_hu = np.array([100.0, 100, 100], np.float32)
    weight = np.array([1, 0.25, 0], np.float32)
    np.testing.assert_allclose(air_outside(sct_hu, weight, air_hu=-1000), [100, -725, -1000])
