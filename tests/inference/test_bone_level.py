"""Bone darker than in training is lifted to where training had it, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.geometry import Geometry
from mr2ct.inference import Translator
from mr2ct.inference.bone_level import (
    LOWEST_EXPONENT,
    bone_level,
    contrast_exponent,
    middle_slices,
    with_contrast,
)
from mr2ct.volume import Quantity, Volume

DARKEST, USUAL, CORE = 0.065, 0.15, 0.5
SHAPE = (60, 50, 40)
SHELL = np.zeros(SHAPE, dtype=bool)
SHELL[5:55, 5:45, 5:35] = True
SHELL[12:48, 12:38, 12:28] = False


def answer_of(bone):
    """A model that finds bone right where it is, in the slices that it is asked for."""

    def answer(mr_units, inside, plane):
        return np.where(bone & inside, 900.0, 40.0).astype(np.float32)

    return answer


@settings(deadline=None)  # the first call imports SciPy
@given(st.floats(0.005, 0.4), st.booleans())
def test_bone_is_found_at_its_level_and_lifted_to_the_usual_one(level, half_way):
    outline = np.ones(SHAPE, dtype=bool)
    mr = np.where(SHELL, level, CORE).astype(np.float32)
    found = bone_level(mr, outline, ("axial", "coronal", "sagittal"), answer_of(SHELL))
    assert found == pytest.approx(level, rel=1e-5)
    exponent = contrast_exponent(found, (DARKEST, USUAL), core=CORE, half_way=half_way)
    aim = (DARKEST * USUAL) ** 0.5 if half_way else USUAL
    changed = with_contrast(mr, exponent, core=CORE)
    assert changed[30, 25, 20] == pytest.approx(CORE, rel=1e-5), "deep tissue stays where it is"
    if exponent == 1:
        assert found >= DARKEST
        assert changed is mr
    elif exponent > LOWEST_EXPONENT:
        np.testing.assert_allclose(changed[SHELL], aim, rtol=1e-4)
    else:
        assert level < changed[SHELL].max() <= aim


def test_only_slices_of_the_outlines_middle_are_asked_for():
    outline = np.zeros(SHAPE, dtype=bool)
    outline[:, :, 10:31] = True
    asked = []

    def answer(mr_units, inside, plane):
        asked.append((plane, [int(k) for k in np.flatnonzero(inside.any(axis=(0, 1)))]))
        return np.zeros(SHAPE, dtype=np.float32)

    assert bone_level(np.ones(SHAPE, dtype=np.float32), outline, ("axial",), answer) is None, "no bone, no level"
    assert asked == [("axial", [17, 20, 23])]
    assert middle_slices(outline, axis=2) == [17, 20, 23]


def test_the_edge_of_bone_does_not_count():
    """There a voxel is half of what lies beside it."""
    mr = np.where(SHELL, 0.3, CORE).astype(np.float32)
    inner = SHELL & np.roll(SHELL, 1, 0) & np.roll(SHELL, -1, 0) & np.roll(SHELL, 1, 1) & np.roll(SHELL, -1, 1)
    mr[inner] = 0.1
    assert bone_level(mr, np.ones(SHAPE, dtype=bool), ("axial",), answer_of(SHELL)) == pytest.approx(0.1)


@given(st.floats(0.0, DARKEST, exclude_max=True), st.floats(0.0, DARKEST, exclude_max=True))
def test_the_darker_the_bone_the_smaller_the_exponent(one, other):
    low, high = sorted((one, other))
    exponents = [contrast_exponent(level, (DARKEST, USUAL), core=CORE) for level in (low, high, None)]
    assert LOWEST_EXPONENT <= exponents[0] <= exponents[1] < 1
    assert exponents[2] == 1


@given(st.floats(0.4, 1.0))
def test_order_type_and_zero_are_kept(exponent):
    mr = np.linspace(0, 1.5, 301, dtype=np.float16)
    changed = with_contrast(mr, exponent, core=CORE)
    assert changed.dtype == mr.dtype
    assert changed[0] == 0
    assert (np.diff(changed.astype(np.float32)) >= 0).all()


CORE_SCALED = [{"name": name} for name in ("to_canonical", "to_spacing", "body_mask", "core_scaling")]


def mr_with_dark_bone(make_mr, shape=(60, 56, 52)):
    mr = make_mr(shape, np.eye(4))
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in mr.voxels.shape), indexing="ij")
    radius = sum(grid**2 for grid in grids)
    voxels = mr.voxels.copy()
    voxels[(radius > 0.25) & (radius < 0.36)] = 14
    return Volume(voxels, mr.geometry, Quantity.MR)


def test_a_model_that_knows_its_bone_levels_sees_dark_bone_lifted_and_the_air_as_it_was(
    linear_network, describe, make_mr
):
    """This network takes what is dark for bone."""
    mr = mr_with_dark_bone(make_mr)
    knows, unaware = (
        Translator(linear_network(-2.0, 0.0), describe(steps=CORE_SCALED, bone_levels=levels), device="cpu")
        for levels in ((0.07, USUAL), None)
    )
    lifted, as_it_was = knows.prepare(mr), unaware.prepare(mr)
    assert (lifted.contrast_exponent < 1, as_it_was.contrast_exponent) == (True, 1.0)
    level = knows.bone_level(lifted.mr_units, lifted.outline, ("axial", "coronal", "sagittal"))
    assert level == pytest.approx(USUAL, abs=0.01)
    outside = ~lifted.outline
    np.testing.assert_array_equal(lifted.mr_units[outside], as_it_was.mr_units[outside])
    assert knows.translate(mr).record["contrast_exponent"] == round(lifted.contrast_exponent, 3)


def test_bone_of_a_single_slice_is_lifted_half_way(linear_network, describe, make_mr):
    head = mr_with_dark_bone(make_mr, (240, 230, 5))
    mr = Volume(head.voxels[:, :, 2:3], Geometry((240, 230, 1), np.eye(4)), Quantity.MR)
    translator = Translator(
        linear_network(-2.0, 0.0), describe(steps=CORE_SCALED, bone_levels=(0.07, USUAL)), device="cpu"
    )
    lifted = translator.prepare(mr)
    assert lifted.contrast_exponent < 1
    level = translator.bone_level(lifted.mr_units, lifted.outline, ("axial",))
    assert level == pytest.approx((0.07 * USUAL) ** 0.5, abs=0.01)


def test_intensities_that_no_core_scaling_made_are_left_alone(linear_network, describe, make_mr):
    """The levels are shares of what core scaling makes of deep tissue."""
    mr = mr_with_dark_bone(make_mr)
    translator = Translator(linear_network(-2.0, 0.0), describe(bone_levels=(0.3, 0.4)), device="cpu")
    assert translator.prepare(mr).contrast_exponent == 1
