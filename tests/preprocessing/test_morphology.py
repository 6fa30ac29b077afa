from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mr2ct.preprocessing.morphology import (
    bounding_box,
    closed,
    depth_mm,
    dilated,
    distance_mm,
    eroded,
    filled_slicewise,
    largest_component,
    opened,
)


@st.composite
def masks(draw: st.DrawFn) -> tuple[np.ndarray, tuple[float, float, float]]:
    shape = draw(st.sampled_from([(9, 8, 7), (12, 11, 1), (1, 10, 12), (10, 1, 9), (5, 14, 6)]))
    spacing = tuple(draw(st.sampled_from([0.6, 1.0, 1.7, 3.0])) for _ in range(3))
    seed = draw(st.integers(0, 50))
    density = draw(st.sampled_from([0.02, 0.3, 0.6, 0.95]))
    return np.random.default_rng(seed).random(shape) < density, spacing


def _distance_to(mask, spacing):
    return ndimage.distance_transform_edt(~mask, sampling=spacing) if mask.any() else np.full(mask.shape, np.inf)


# 1.1 mm takes the way of shifts, 4.3 mm that of a distance map
@given(masks(), st.sampled_from([1.1, 2.3, 4.3]))
def test_dilation_and_erosion_agree_with_scipys_distances(mask_and_spacing, radius):
    mask, spacing = mask_and_spacing
    assert np.array_equal(dilated(mask, spacing, radius), _distance_to(mask, spacing) <= radius)
    assert np.array_equal(eroded(mask, spacing, radius), _distance_to(~mask, spacing) > radius)


@given(masks())
def test_depth_agrees_with_scipys_distances(mask_and_spacing):
    mask, spacing = mask_and_spacing
    room = [(0, 0) if n == 1 else (1, 1) for n in mask.shape]
    padded = ndimage.distance_transform_edt(np.pad(mask, room), sampling=spacing)
    inner = padded[tuple(slice(before, before + n) for (before, _), n in zip(room, mask.shape, strict=True))]
    np.testing.assert_allclose(depth_mm(mask, spacing), inner, rtol=1e-5)


@given(masks())
def test_distances_agree_with_scipy(mask_and_spacing):
    mask, spacing = mask_and_spacing
    np.testing.assert_allclose(distance_mm(mask, spacing), _distance_to(mask, spacing), rtol=1e-5)


@pytest.mark.parametrize(("mask", "distance"), [(np.ones, 0), (np.zeros, np.inf)])
def test_distances_of_all_and_of_nothing(mask, distance):
    np.testing.assert_array_equal(distance_mm(mask((3, 4, 1), dtype=bool), (1.0, 2.0, 3.0)), distance)


@given(masks(), st.sampled_from([1.1, 2.3, 4.3]))
def test_opening_shrinks_closing_grows_and_both_are_idempotent(mask_and_spacing, radius):
    mask, spacing = mask_and_spacing
    once, twice = opened(mask, spacing, radius), opened(opened(mask, spacing, radius), spacing, radius)
    assert not (once & ~mask).any()
    assert np.array_equal(once, twice)
    grown = closed(mask, spacing, radius)
    assert not (mask & ~grown).any()
    assert np.array_equal(grown, closed(grown, spacing, radius))


@given(masks())
def test_a_radius_of_zero_changes_nothing(mask_and_spacing):
    mask, spacing = mask_and_spacing
    for operation in (dilated, eroded, opened, closed):
        assert np.array_equal(operation(mask, spacing, 0.0), mask)


@given(masks())
def test_filling_agrees_with_scipy_slice_by_slice(mask_and_spacing):
    mask, _ = mask_and_spacing
    expected = mask.copy()
    for axis in range(3):
        if min(n for other, n in enumerate(mask.shape) if other != axis) == 1:
            continue
        slices = np.moveaxis(expected, axis, 0)
        expected = np.moveaxis(np.stack([ndimage.binary_fill_holes(one) for one in slices]), 0, axis)
    assert np.array_equal(filled_slicewise(mask), expected)


@given(masks())
def test_largest_component_is_one_of_scipys_and_the_largest(mask_and_spacing):
    mask, _ = mask_and_spacing
    labels, count = ndimage.label(mask)
    ours = largest_component(mask)
    if count:
        assert ours.sum() == np.bincount(labels.ravel())[1:].max()
        assert ndimage.label(ours)[1] == 1
    else:
        assert not ours.any()


def test_a_gap_is_bridged_up_to_twice_the_radius_also_at_the_border_of_the_image():
    mask = np.ones((20, 30, 1), dtype=bool)
    mask[:, 10:15] = False
    # the ball is round: where the gap leaves the image, its corners stay open
    assert closed(mask, (1.0, 1.0, 1.0), 3.0)[3:-3].all()
    assert np.array_equal(closed(mask, (1.0, 1.0, 1.0), 2.0), mask)


def test_bounding_box_holds_all_and_no_more():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[2, 3, 4] = mask[4, 3, 6] = True
    assert bounding_box(mask) == (slice(2, 5), slice(3, 4), slice(4, 7))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 5)])
def test_depth_of_a_mask_without_any_outside_is_positive(shape):
    assert (depth_mm(np.ones(shape, dtype=bool), (1.0, 2.0, 3.0)) > 0).all()


def test_a_mask_that_fills_the_image_stays_full():
    full = np.ones((40, 30, 1), dtype=bool)
    assert dilated(full, (1.0, 1.0, 1.0), 10.0).all()
    assert eroded(full, (1.0, 1.0, 1.0), 10.0).all()
    assert not dilated(~full, (1.0, 1.0, 1.0), 10.0).any()
