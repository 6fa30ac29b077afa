"""Steps between slices: against a loop over pairs of voxels, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import GeometryError
from mr2ct.evaluation.slice_steps import slice_steps_hu


def image(seed: int, shape=(5, 4, 6)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(-1000, 2000, shape).astype(np.int16), rng.random(shape) < 0.7


def by_loop(hu: np.ndarray, mask: np.ndarray) -> list[float]:
    found = []
    for axis in range(3):
        steps = []
        for index in np.ndindex(hu.shape):
            after = tuple(n + (a == axis) for a, n in enumerate(index))
            if after[axis] < hu.shape[axis] and mask[index] and mask[after]:
                steps.append(abs(int(hu[after]) - int(hu[index])))
        found.append(float(np.mean(steps)) if steps else float("nan"))
    return found


@pytest.mark.parametrize("shape", [(5, 4, 6), (1, 4, 6), (5, 1, 1)])
def test_steps_agree_with_a_loop(shape):
    hu, mask = image(0, shape)
    assert slice_steps_hu(hu, mask) == pytest.approx(by_loop(hu, mask), nan_ok=True)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), offset=st.integers(-500, 500), factor=st.integers(1, 3))
def test_an_offset_changes_nothing_and_a_factor_scales(seed, offset, factor):
    hu, mask = image(seed)
    steps = np.array(slice_steps_hu(hu.astype(float), mask))
    assert np.array(slice_steps_hu(hu * float(factor) + offset, mask)) == pytest.approx(steps * factor)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99))
def test_turning_the_image_turns_the_figures(seed):
    hu, mask = image(seed)
    assert slice_steps_hu(hu.transpose(2, 0, 1), mask.transpose(2, 0, 1)) == pytest.approx(
        np.array(slice_steps_hu(hu, mask))[[2, 0, 1]]
    )
    assert slice_steps_hu(hu[::-1], mask[::-1]) == pytest.approx(slice_steps_hu(hu, mask))


def test_what_lies_outside_the_mask_does_not_count():
    hu, mask = image(3)
    assert slice_steps_hu(np.where(mask, hu, 3000), mask) == slice_steps_hu(hu, mask)


def test_a_step_in_one_direction_shows_in_one_direction():
    striped = np.zeros((6, 6, 6))
    striped[:, :, ::2] = 100
    assert slice_steps_hu(striped, np.ones(striped.shape)) == (0.0, 0.0, 100.0)


def test_other_shapes_are_refused():
    with pytest.raises(GeometryError, match="different shapes"):
        slice_steps_hu(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)))
