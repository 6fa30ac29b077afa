import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.datasets.off_middle import Vault, sampled
from mr2ct.datasets.pole_cuts import Pole, cut_at_a_pole, draw_pole, pole_cut_places

SIZE = 121
MIDDLE = Vault((60, 60), (50, 50))
POLES = [Pole(axis, sign, half) for axis in (0, 1) for sign in (-1, 1) for half in (-1, 1)]


def ball(radius: float, height: float = 0.0) -> np.ndarray:
    """The slice at `height` voxels through a ball of `radius` voxels in the middle of the picture."""
    i, j = np.indices((SIZE, SIZE)) - SIZE // 2
    return (i**2 + j**2 + height**2 <= radius**2).astype(np.float32)


@pytest.mark.parametrize("pole", POLES, ids=str)
@pytest.mark.parametrize("height", [0.3, 0.6, 0.8])
def test_a_shell_is_cut_as_geometry_says(pole, height):
    """What is the same all round its centre looks alike from every pole: the true slice at that height."""
    middle = ball(50) + ball(42)
    true = ball(50, height * 50) + ball(42, height * 50)
    made = sampled(middle, pole_cut_places(middle.shape, MIDDLE, pole, height=height), nearest=True)
    assert np.mean(made != true) < 0.02, "but for voxels on the edges"


@pytest.mark.parametrize("pole", POLES, ids=str)
def test_a_shell_is_cut_as_geometry_says_with_pixels_that_are_not_square(pole):
    i, j = np.indices((SIZE, SIZE)) - SIZE // 2

    squared_mm = (1.0 * i) ** 2 + (2.0 * j) ** 2

    def shell(height: float) -> np.ndarray:
        return sum((squared_mm + height**2 <= radius**2).astype(np.float32) for radius in (50, 42))

    places = pole_cut_places((SIZE, SIZE), Vault((60, 60), (50, 25), (1.0, 2.0)), pole, height=0.6)
    assert np.mean(sampled(shell(0), places, nearest=True) != shell(30)) < 0.02, "but for voxels on the edges"


def test_a_cut_undulates_by_millimetres():
    vault = Vault((4, 4), (4, 4), (1.0, 3.0))
    flat, deep = (pole_cut_places((9, 9), vault, Pole(1, 1, 1), height=0.0, depth=depth) for depth in (0.0, 6.0))
    np.testing.assert_allclose(deep[1] - flat[1], 2.0)


@pytest.mark.parametrize("pole", POLES, ids=str)
def test_the_tissue_is_that_of_the_pole(pole):
    """A muscle on one side is in the cuts near that side, and in no other."""
    middle, place = ball(50), [slice(None), slice(None)]
    place[pole.axis] = slice(96, None) if pole.sign > 0 else slice(None, 25)
    middle[tuple(place)] *= 5
    at_muscle = sampled(middle, pole_cut_places(middle.shape, MIDDLE, pole, height=0.8), nearest=True)
    opposite = Pole(pole.axis, -pole.sign, pole.half)
    elsewhere = sampled(middle, pole_cut_places(middle.shape, MIDDLE, opposite, height=0.8), nearest=True)
    assert set(np.unique(at_muscle)) == {0, 5}
    assert set(np.unique(elsewhere)) == {0, 1}


@given(st.integers(0, 2**32 - 1))
def test_an_upright_slice_is_never_cut_below_its_vault(seed):
    """Its lower half shows a neck, which is round no axis through the head."""
    pole = draw_pole(np.random.default_rng(seed), upright=True)
    assert (pole.axis, pole.sign) == (1, 1) or (pole.axis, pole.half) == (0, 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mr_ct_and_mask_of_a_case_are_cut_alike(axis):
    head = ball(58) + ball(48)
    images = {"mr": head, "ct": 100 * head - 1000, "mask": ball(58)}
    case = {name: np.expand_dims(image, axis) for name, image in images.items()}
    cut = cut_at_a_pole(case, axis=axis, generator=np.random.default_rng(1), lowest_hu=-1000, spacing_mm=(1, 1))
    assert {name: image.shape for name, image in cut.items()} == {name: image.shape for name, image in case.items()}
    np.testing.assert_allclose(cut["ct"], 100 * cut["mr"] - 1000, atol=0.01)
    assert 0 < cut["mask"].sum() < case["mask"].sum()
    assert not np.array_equal(cut["mr"], case["mr"])
    again = cut_at_a_pole(case, axis=axis, generator=np.random.default_rng(1), lowest_hu=-1000, spacing_mm=(1, 1))
    np.testing.assert_array_equal(again["mr"], cut["mr"])


def test_a_case_with_little_in_it_stays_as_it_is():
    small = {"mr": ball(14)[..., None], "mask": ball(14)[..., None]}
    limits = {"generator": np.random.default_rng(0), "lowest_hu": -1024, "spacing_mm": (1, 1)}
    assert cut_at_a_pole(small, axis=2, **limits)["mr"] is small["mr"]
    empty = {"mr": ball(14)[..., None], "mask": np.zeros((SIZE, SIZE, 1))}
    assert cut_at_a_pole(empty, axis=2, **limits)["mr"] is empty["mr"]
