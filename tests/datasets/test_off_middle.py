import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.datasets.off_middle import Vault, draw_height, find_vault, jittered, moved_off_middle, off_middle
from mr2ct.errors import DataSetError

SIZE = 121


def ball(radius: float, height: float = 0.0) -> np.ndarray:
    """The slice at `height` voxels through a ball of `radius` voxels in the middle of the picture."""
    i, j = np.indices((SIZE, SIZE)) - SIZE // 2
    return (i**2 + j**2 + height**2 <= radius**2).astype(np.float32)


@pytest.mark.parametrize("height", [0.3, 0.6, 0.8])
def test_a_shell_is_cut_as_geometry_says(height):
    """Of a ball with a shell, the slice made from the middle one is the true slice at that height."""
    outer, inner = 50.0, 42.0
    middle = ball(outer) + ball(inner)
    true = ball(outer, height * outer) + ball(inner, height * outer)
    made = off_middle(middle, Vault((60, 60), (outer, outer)), height=height, nearest=True)
    assert np.mean(made != true) < 0.015, "but for voxels on the edges"
    thickness = [np.count_nonzero(slice_[60] == 1) / 2 for slice_ in (middle, made)]
    assert thickness[1] > thickness[0], "a grazing cut shows a thicker shell"


@given(st.integers(0, 2**32 - 1))
def test_height_zero_changes_nothing(seed):
    image = np.random.default_rng(seed).random((15, 21)).astype(np.float32)
    made = off_middle(image, Vault((7.3, 9.1), (6, 8)), height=0.0)
    np.testing.assert_allclose(made, image, atol=1e-5)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_the_higher_the_cut_the_less_of_the_head_it_shows(one, other):
    low, high = sorted((one, other))
    areas = [off_middle(ball(40), Vault((60, 60), (40, 40)), height=h, nearest=True).sum() for h in (low, high)]
    assert areas[1] <= areas[0] <= ball(40).sum()


def test_the_vault_of_an_upright_slice_lies_below_the_vertex():
    mask = np.zeros((160, 240))
    mask[30:130, 20:220] = 1
    vault = find_vault(mask, upright=True)
    assert vault.centre == (79.5, 219 - 88.0)
    assert vault.half_axes == (49.5, 88.0)
    with pytest.raises(DataSetError, match="empty mask"):
        find_vault(np.zeros((3, 3)), upright=False)


def test_the_vault_is_measured_in_millimetres():
    mask = np.zeros((80, 80))
    mask[15:65, 10:74] = 1
    vault = find_vault(mask, upright=True, spacing_mm=(2.0, 3.0))
    assert vault.centre == pytest.approx((39.5, 73 - 88.0 / 3))
    assert vault.half_axes == pytest.approx((24.5, 88.0 / 3))
    # shoulders below the upper 120 mm are no part of it
    mask[:, 10:33] = 1
    assert find_vault(mask, upright=True, spacing_mm=(2.0, 3.0)) == vault


def test_centres_are_moved_by_millimetres():
    where = [jittered(Vault((0, 0), (50, 50), (1.0, 3.0)), np.random.default_rng(seed)).centre for seed in range(400)]
    np.testing.assert_allclose(np.std(where, axis=0), [6, 2], rtol=0.12)


def test_heights_are_away_from_the_middle_and_half_of_them_near_the_pole():
    heights = [draw_height(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.3 <= min(heights) < 0.35
    assert 0.9 < max(heights) <= 0.97
    assert 0.4 < np.mean(np.array(heights) > 0.7) < 0.6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mr_ct_and_mask_of_a_case_move_alike(axis):
    head = ball(58) + ball(48)
    images = {"mr": head, "ct": 100 * head - 1000, "mask": ball(58)}
    case = {name: np.expand_dims(image, axis) for name, image in images.items()}
    moved = moved_off_middle(case, axis=axis, generator=np.random.default_rng(0), lowest_hu=-1000, spacing_mm=(1, 1))
    assert {name: image.shape for name, image in moved.items()} == {name: image.shape for name, image in case.items()}
    np.testing.assert_allclose(moved["ct"], 100 * moved["mr"] - 1000, atol=0.01)
    assert 0 < moved["mask"].sum() < case["mask"].sum()
    again = moved_off_middle(case, axis=axis, generator=np.random.default_rng(0), lowest_hu=-1000, spacing_mm=(1, 1))
    np.testing.assert_array_equal(again["mr"], moved["mr"])


def test_a_case_with_little_in_it_stays_as_it_is():
    small = {"mr": ball(14)[..., None], "mask": ball(14)[..., None]}
    limits = {"generator": np.random.default_rng(0), "lowest_hu": -1024}
    assert moved_off_middle(small, axis=2, **limits, spacing_mm=(1, 1))["mr"] is small["mr"]
    # the same voxels, four millimetres apart, are a head
    assert moved_off_middle(small, axis=2, **limits, spacing_mm=(4, 4))["mr"] is not small["mr"]
