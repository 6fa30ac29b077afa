"""Augmentation moves MR, CT and mask alike, changes the intensity of the MR alone, and repeats itself by its seed."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mr2ct.datasets.augmentation import Augmentation, IntensityAugmentation, SpatialAugmentation, in_patient_space
from mr2ct.datasets.short_field import ShortField
from mr2ct.errors import Mr2ctError

NOT_AT_ALL = {field.name: 0.0 for field in dataclasses.fields(SpatialAugmentation)}
NO_CHANGE = {field.name: 0.0 for field in dataclasses.fields(IntensityAugmentation)}
ALL_MOVE = torch.zeros(8, dtype=torch.bool)
DRAWN_BEFORE = [0.11502118, -0.79102229, 0.2390625]
SIZES = [(20, 32), (12, 16, 20)]

both_dimensions = pytest.mark.parametrize("size", SIZES, ids=["2-D", "3-D"])


def blob(size: tuple[int, ...], *, centre: tuple[float, ...] | None = None, width: float = 3.0) -> torch.Tensor:
    """(2, 1, *size): a smooth spot of peak 1, in voxels."""
    grids = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
    centre = centre or tuple((n - 1) / 2 for n in size)
    squared = sum((grid - c) ** 2 for grid, c in zip(grids, centre, strict=True))
    return torch.from_numpy(np.exp(-squared / (2 * width**2))).float().expand(2, 1, *size).clone()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(size: tuple[int, ...]) -> dict[str, torch.Tensor]:
    off_centre = tuple(n * 0.4 for n in size)
    spot = blob(size, centre=off_centre)
    return {"mr": spot, "ct": 2 * spot - 1, "mask": (spot > 0.1).float(), "left_right": torch.ones(2)}


# --- in space


@both_dimensions
def test_mr_ct_and_mask_move_alike(size):
    moved = Augmentation(SpatialAugmentation(shift=0.1))(batch(size), seed=3)
    assert not torch.allclose(moved["mr"], batch(size)["mr"], atol=0.05)
    torch.testing.assert_close(moved["ct"], 2 * moved["mr"] - 1, atol=1e-5, rtol=0)
    # nearest for the mask and linear for the MR differ by a voxel at its rim
    agrees = (moved["mask"] > 0) == (moved["mr"] > 0.1)
    assert agrees.float().mean() > 0.97
    assert set(moved["mask"].unique().tolist()) <= {0.0, 1.0}


@both_dimensions
def test_all_limits_at_zero_change_nothing(size):
    before = batch(size)
    after = Augmentation(SpatialAugmentation(**NOT_AT_ALL), IntensityAugmentation(**NO_CHANGE))(before, seed=1)
    for key, image in before.items():
        torch.testing.assert_close(after[key], image, atol=1e-5, rtol=0)


def test_no_augmentation_is_the_batch_itself():
    before = batch((8, 8))
    after = Augmentation()(before, seed=1)
    assert all(after[key] is image for key, image in before.items())


@both_dimensions
def test_a_flip_mirrors_the_first_axis_and_only_where_it_runs_left_to_right(size):
    flip = SpatialAugmentation(**{**NOT_AT_ALL, "flip": 1.0})
    before = batch(size)
    images = {"mr": before["mr"], "ct": before["ct"], "mask": before["mask"]}
    after = flip(images, torch.tensor([1.0, 0.0]), seeded())
    for key, image in images.items():
        torch.testing.assert_close(after[key][0], image[0].flip(1), atol=1e-5, rtol=0)
        torch.testing.assert_close(after[key][1], image[1], atol=1e-5, rtol=0)


def test_half_of_the_samples_are_flipped():
    flip = SpatialAugmentation(**{**NOT_AT_ALL, "flip": 0.5})
    ramp = torch.arange(4.0).reshape(1, 1, 4, 1).expand(400, 1, 4, 3)
    after = flip({"mr": ramp}, torch.ones(400), seeded())["mr"]
    flipped = (after[:, 0, 0, 0] > after[:, 0, 3, 0]).float().mean()
    assert abs(float(flipped) - 0.5) < 0.08


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (48, 48)], ids=str)
def test_a_rotation_keeps_a_disc_round_on_any_image(size):
    turn = SpatialAugmentation(**{**NOT_AT_ALL, "rotation_deg": 60.0})
    after = turn({"mr": blob(size, width=5.0)}, torch.zeros(2), seeded(4))["mr"]
    torch.testing.assert_close(after, blob(size, width=5.0), atol=0.02, rtol=0)


def test_a_rotation_turns_a_bar_without_shear_or_change_of_length():
    rows, columns = np.meshgrid(np.arange(60) - 29.5, np.arange(90) - 44.5, indexing="ij")
    bar = np.exp(-((rows / 2) ** 2 + (columns / 14) ** 2) / 2)
    images = torch.from_numpy(bar).float()[None, None]
    after = SpatialAugmentation(**{**NOT_AT_ALL, "rotation_deg": 45.0})({"mr": images}, torch.zeros(1), seeded(2))["mr"]
    weights = after[0, 0].numpy() / after.sum().item()
    places = np.stack([rows, columns])
    covariance = np.einsum("aij,bij,ij->ab", places, places, weights)
    widths = np.sqrt(np.linalg.eigvalsh(covariance))
    np.testing.assert_allclose(widths, [2, 14], rtol=0.05)
    angle = 0.5 * math.degrees(math.atan2(2 * covariance[0, 1], covariance[1, 1] - covariance[0, 0]))
    assert 1 < abs(angle) <= 45


@both_dimensions
def test_a_movement_is_the_one_scipy_makes_of_the_same_matrix(size):
    spatial = SpatialAugmentation(flip=0.0, rotation_deg=20.0, scaling=0.2, shift=0.05)
    image = batch(size)["mr"][:1]
    after = spatial({"mr": image}, torch.zeros(1), seeded(5))["mr"][0, 0].numpy()
    theta = spatial._draw(image, torch.zeros(1), ALL_MOVE[:1], seeded(5))[0].double().numpy()
    # affine_grid counts the last axis first and runs from -1 to 1
    dims, lengths = len(size), np.array(size, dtype=float)
    matrix = theta[::-1, :dims][:, ::-1] * lengths[:, None] / lengths[None, :]
    middle = (lengths - 1) / 2
    offset = middle - matrix @ middle + theta[::-1, dims] * lengths / 2
    order = 3 if dims == 2 else 1
    expected = ndimage.affine_transform(image[0, 0].numpy(), matrix, offset=offset, order=order, mode="grid-constant")
    np.testing.assert_allclose(after, expected, atol=0.02 if dims == 2 else 1e-4)
    rigid = matrix / np.linalg.norm(matrix, axis=0)
    np.testing.assert_allclose(rigid.T @ rigid, np.eye(dims), atol=1e-5)


@pytest.mark.parametrize("spacing_mm", [(1.0, 3.0), (2.0, 0.7), (1.0, 1.0, 3.0), (2.0, 1.0, 0.5)], ids=str)
def test_a_rotation_is_one_in_millimetres(spacing_mm):
    dims, size = len(spacing_mm), (20, 32, 12)[: len(spacing_mm)]
    turn = SpatialAugmentation(**{**NOT_AT_ALL, "rotation_deg": 20.0})
    theta = turn._draw(torch.zeros(8, 1, *size), torch.zeros(8), ALL_MOVE, seeded(5))
    mm = in_patient_space(theta, torch.tensor([spacing_mm] * 8)).double().numpy()
    lengths = np.array(size) * np.array(spacing_mm)
    matrix = mm[:, ::-1, :dims][:, :, ::-1] * lengths[None, :, None] / lengths[None, None, :]
    np.testing.assert_allclose(matrix @ matrix.swapaxes(1, 2), np.broadcast_to(np.eye(dims), matrix.shape), atol=1e-5)
    # three turns of up to 20 degrees
    angles = np.degrees(np.arccos((np.trace(matrix, axis1=1, axis2=2) - (dims - 2)) / 2))
    assert 1 < angles.max() < 35


def test_a_turned_disc_of_pixels_that_are_not_square_stays_round_in_the_patient():
    rows, columns = np.meshgrid(3 * (np.arange(20) - 9.5), np.arange(60) - 29.5, indexing="ij")
    disc = torch.from_numpy(np.exp(-(rows**2 + columns**2) / (2 * 8**2))).float().expand(2, 1, 20, 60)
    images = {"mr": disc, "ct": 2 * disc - 1, "mask": disc, "left_right": torch.zeros(2)}
    turn = Augmentation(SpatialAugmentation(**{**NOT_AT_ALL, "rotation_deg": 60.0}))
    after = turn({**images, "spacing_mm": torch.tensor([[3.0, 1.0]] * 2)}, seed=3)
    torch.testing.assert_close(after["mr"], disc, atol=0.02, rtol=0)
    assert after.keys() == images.keys()
    assert not torch.allclose(turn(images, seed=3)["mr"], disc, atol=0.2)


@both_dimensions
def test_equal_spacing_gives_the_numbers_that_none_gives(size):
    before = batch(size)
    change = Augmentation(SpatialAugmentation(shift=0.1, elastic=0.02), IntensityAugmentation())
    after = change({**before, "spacing_mm": torch.full((2, len(size)), 0.7)}, seed=3)
    expected = change(before, seed=3)
    assert all(torch.equal(after[key], expected[key]) for key in expected)


def test_unpaired_mr_and_ct_turn_by_their_own_spacing():
    spot = blob((24, 24), centre=(8.0, 14.0))
    images = {"mr": spot, "mr_mask": spot, "ct": 2 * spot - 1, "ct_mask": spot, "left_right": torch.ones(2)}
    turn = Augmentation(SpatialAugmentation(**{**NOT_AT_ALL, "rotation_deg": 60.0}))
    square, long = torch.ones(2, 2), torch.tensor([[3.0, 1.0]] * 2)
    plain, of_ct = turn(images, seed=2), turn({**images, "spacing_mm": square, "ct_spacing_mm": long}, seed=2)
    assert torch.equal(of_ct["mr"], plain["mr"])
    assert not torch.allclose(of_ct["ct"], plain["ct"], atol=0.1)


def test_turned_slices_stay_sharp_within_the_values_they_had():
    image = torch.rand(8, 1, 64, 64, generator=seeded(1))
    turn = SpatialAugmentation(**{**NOT_AT_ALL, "rotation_deg": 12.0})
    after = turn({"mr": image}, torch.zeros(8), seeded(3))["mr"]
    assert 0 <= float(after.min()) <= float(after.max()) <= 1
    theta = turn._draw(image, torch.zeros(8), ALL_MOVE, seeded(3))
    grid = torch.nn.functional.affine_grid(theta, [8, 1, 64, 64], align_corners=False)
    linear = torch.nn.functional.grid_sample(image, grid, align_corners=False)
    energy, blurred = (torch.diff(one[..., 12:52, 12:52], dim=-1).square().sum() for one in (after, linear))
    assert energy > 1.5 * blurred


@both_dimensions
def test_samples_on_the_grid_are_flipped_voxel_for_voxel_and_the_others_move(size):
    spatial = SpatialAugmentation(rotation_deg=20.0, scaling=0.2, shift=0.05, elastic=0.05, on_grid=0.5)
    image = torch.rand(40, 1, *size, generator=seeded(1))
    after = spatial({"mr": image}, torch.ones(40), seeded(2))["mr"]
    same = [
        bool(torch.allclose(one, other, atol=1e-4) or torch.allclose(one, other.flip(1), atol=1e-4))
        for one, other in zip(after, image, strict=True)
    ]
    assert 12 <= sum(same) <= 28
    everything = SpatialAugmentation(flip=0.0, rotation_deg=20.0, scaling=0.2, shift=0.05, elastic=0.05, on_grid=1.0)
    torch.testing.assert_close(everything({"mr": image}, torch.ones(40), seeded(2))["mr"], image, atol=1e-4, rtol=0)


@given(st.floats(0, 0.5), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_shifts_and_scalings_stay_within_their_limits(limit, seed):
    image = torch.zeros(8, 1, 10, 14)
    scaled = SpatialAugmentation(**{**NOT_AT_ALL, "scaling": limit})._draw(
        image, torch.zeros(8), ALL_MOVE, seeded(seed)
    )
    diagonal = torch.diagonal(scaled[:, :, :2], dim1=1, dim2=2)
    assert ((diagonal - 1).abs() <= limit + 1e-5).all()
    shifted = SpatialAugmentation(**{**NOT_AT_ALL, "shift": limit})._draw(image, torch.zeros(8), ALL_MOVE, seeded(seed))
    assert (shifted[:, :, 2].abs() <= 2 * limit + 1e-5).all()


def test_what_moves_in_from_beyond_the_edge_is_background():
    away = SpatialAugmentation(**{**NOT_AT_ALL, "shift": 3.0})
    images = {"mr": torch.ones(4, 1, 6, 6), "ct": torch.ones(4, 1, 6, 6), "ct_mask": torch.ones(4, 1, 6, 6)}
    after = away(images, torch.zeros(4), seeded(1))
    gone = after["mr"] == 0
    assert gone.any()
    assert (after["ct"][gone] == -1).all()
    assert (after["ct_mask"][gone] == 0).all()


def test_unpaired_mr_and_ct_move_independently_each_with_its_mask():
    spot = blob((24, 24))
    images = {"mr": spot, "mr_mask": spot, "ct": 2 * spot - 1, "ct_mask": spot, "left_right": torch.ones(2)}
    moved = Augmentation(SpatialAugmentation(shift=0.2))({**images}, seed=2)
    assert not torch.allclose(moved["ct"], 2 * moved["mr"] - 1, atol=0.1)
    for name, image in (("mr", moved["mr"]), ("ct", (moved["ct"] + 1) / 2)):
        assert float((image - moved[f"{name}_mask"]).abs().mean()) < 0.03


@both_dimensions
def test_a_bend_moves_mr_ct_and_mask_alike_and_is_within_its_limit(size):
    bend = SpatialAugmentation(**{**NOT_AT_ALL, "elastic": 0.08})
    before = batch(size)
    moved = Augmentation(bend)(before, seed=3)
    assert not torch.allclose(moved["mr"], before["mr"], atol=0.02)
    torch.testing.assert_close(moved["ct"], 2 * moved["mr"] - 1, atol=1e-5, rtol=0)
    ramps = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in size), indexing="ij"))[None]
    bent = bend({"mr": ramps.expand(2, -1, *size)}, torch.zeros(2), seeded(1))["mr"]
    inner = (slice(None), slice(None), *(slice(int(0.1 * n) + 1, n - int(0.1 * n) - 1) for n in size))
    displaced = ((bent - ramps)[inner] / torch.tensor(size).reshape(1, -1, *[1] * len(size))).abs()
    assert 0.005 < displaced.max() <= 0.08 + 1e-4
    assert not torch.allclose(bent[0], bent[1], atol=0.1)


# --- in intensity


@both_dimensions
def test_only_the_mr_changes_in_intensity(size):
    before = batch(size)
    after = Augmentation(intensity=IntensityAugmentation(blur=1.0, ghosting=1.0))(before, seed=1)
    assert not torch.allclose(after["mr"], before["mr"], atol=0.01)
    assert torch.equal(after["ct"], before["ct"])
    assert torch.equal(after["mask"], before["mask"])


@given(st.integers(0, 100_000), st.sampled_from(SIZES))
@settings(max_examples=25, deadline=None)
def test_the_mr_is_never_negative_and_always_finite(seed, size):
    # a spatial change before it may leave tiny negative numbers
    mr = batch(size)["mr"] - 1e-3
    changed = IntensityAugmentation(1.0 - 1e-6, 1.0, 0.9, 0.3, 1.0, 1.0, 1.0)(mr, seeded(seed))
    assert torch.isfinite(changed).all()
    assert (changed >= 0).all()


@given(st.integers(0, 100_000))
@settings(max_examples=25, deadline=None)
def test_contrast_is_a_monotone_curve_that_keeps_zero(seed):
    ramp = torch.linspace(0, 1.5, 40).reshape(1, 1, 8, 5)
    only_contrast = IntensityAugmentation(**{**NO_CHANGE, "contrast": 1.0, "scaling": 0.5})
    changed = only_contrast(ramp, seeded(seed)).flatten()
    assert changed[0] == 0
    assert (changed.diff() > 0).all()
    # a brightness within its limits, and a gamma of 0.4 to 2.5
    at_one = float(torch.from_numpy(np.interp([1.0], ramp.flatten(), changed))[0])
    assert 0.49 <= at_one <= 1.51


@both_dimensions
def test_a_bias_field_is_smooth_and_within_its_limits(size):
    flat = torch.ones(3, 1, *size)
    field = IntensityAugmentation(**{**NO_CHANGE, "bias_field": 0.3})(flat, seeded(3))
    assert (field > (1 - 0.3) ** len(size)).all()
    assert (field < (1 + 0.3) ** len(size)).all()
    assert field.std() > 0.01
    assert all(field.diff(dim=axis).abs().max() < 0.15 for axis in range(2, field.dim()))
    assert not torch.allclose(field[0], field[1])


def test_noise_on_air_is_rician_with_its_known_mean():
    level = 0.5
    noisy = IntensityAugmentation(**{**NO_CHANGE, "noise": level})(torch.zeros(400, 1, 16, 16), seeded(1))
    # over a uniform level up to 0.5 the Rayleigh mean, sigma sqrt(pi / 2), averages to half of its largest
    assert float(noisy.mean()) == pytest.approx(0.5 * level * math.sqrt(math.pi / 2), rel=0.1)


@both_dimensions
def test_blur_weakens_edges_and_keeps_the_mean(size):
    before = batch(size)["mr"]
    after = IntensityAugmentation(**{**NO_CHANGE, "blur": 1.0})(before, seeded(1))
    assert after.max() < before.max()
    torch.testing.assert_close(after.mean(), before.mean())


@both_dimensions
def test_ghosts_repeat_the_head_along_one_axis(size):
    before = batch(size)["mr"]
    after = IntensityAugmentation(**{**NO_CHANGE, "ghosting": 1.0})(before, seeded(1))
    changed = (after - before).abs() > 1e-3
    assert changed.any()
    # the k-space centre is kept
    torch.testing.assert_close(after.mean(), before.mean(), rtol=0.25, atol=0)


@both_dimensions
def test_motion_adds_a_shifted_edge_along_one_axis_and_keeps_the_brightness(size):
    # sharp edges: only the outer lines of k-space are of the moved head
    before = (batch(size)["mr"] > 0.3).float()
    after = IntensityAugmentation(**{**NO_CHANGE, "motion": 1.0})(before, seeded(1))
    changed = (after - before).abs()
    assert changed.max() > 1e-3
    assert changed.mean() < 0.1
    torch.testing.assert_close(after.mean(), before.mean(), rtol=0.25, atol=0)


def test_probabilities_choose_single_samples():
    before = blob((12, 12))[:1].expand(300, 1, 12, 12).clone()
    after = IntensityAugmentation(**{**NO_CHANGE, "blur": 0.3})(before, seeded(5))
    changed = (after - before).abs().flatten(1).amax(1) > 1e-4
    assert abs(float(changed.float().mean()) - 0.3) < 0.08


def test_changes_of_contrast_choose_single_samples_too():
    before = blob((12, 12))[:1].expand(1000, 1, 12, 12).clone()
    for option in ("inversion", "thick_slices"):
        after = IntensityAugmentation(**{**NO_CHANGE, option: 0.3})(before, seeded(1))
        changed = (after - before).abs().flatten(1).amax(1) > 1e-4
        assert abs(float(changed.float().mean()) - 0.3) < 0.06


@both_dimensions
def test_every_option_for_other_contrasts_changes_the_mr_and_keeps_black_black(size):
    before = batch(size)["mr"]
    before[before < 0.05] = 0
    for option in ("inversion", "local_contrast"):
        after = IntensityAugmentation(**{**NO_CHANGE, option: 1.0})(before, seeded(5))
        assert not torch.allclose(after, before, atol=0.02)
        assert (after[before == 0] == 0).all()


@both_dimensions
def test_an_option_that_is_off_draws_no_number(size):
    state = seeded(3)
    IntensityAugmentation()(batch(size)["mr"], state)
    SpatialAugmentation()({"mr": batch(size)["mr"]}, torch.ones(2), state)
    again = seeded(3)
    IntensityAugmentation(inversion=0.0, local_contrast=0.0, thick_slices=0.0)(batch(size)["mr"], again)
    SpatialAugmentation(elastic=0.0)({"mr": batch(size)["mr"]}, torch.ones(2), again)
    assert torch.equal(state.get_state(), again.get_state())


def test_the_draws_of_earlier_runs_are_still_the_same():
    # a recipe from before there were bends and inversions makes the batches it made then, but for the interpolation
    augment = Augmentation(SpatialAugmentation(shift=0.1), IntensityAugmentation(blur=0.5, ghosting=0.5, motion=0.5))
    after = augment(batch((20, 32)), seed=4)
    found = [float(after[key].double().mean()) for key in ("mr", "ct", "mask")]
    assert found == pytest.approx(DRAWN_BEFORE, abs=1e-6)


# --- together


@both_dimensions
def test_the_seed_decides(size):
    augment = Augmentation(SpatialAugmentation(), IntensityAugmentation(blur=0.5, ghosting=0.5, motion=0.5))
    one, again, other = (augment(batch(size), seed=seed)["mr"] for seed in (4, 4, 5))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_slabs_move_as_one():
    slab = blob((16, 20)).expand(2, 5, 16, 20).clone()
    images = {"mr": slab, "ct": slab[:, :1], "mask": slab[:, :1], "left_right": torch.ones(2)}
    moved = Augmentation(SpatialAugmentation())(images, seed=1)
    assert moved["mr"].shape == (2, 5, 16, 20)
    assert all(torch.equal(moved["mr"][:, 0], moved["mr"][:, channel]) for channel in range(5))


def test_a_batch_without_mr_is_refused():
    with pytest.raises(Mr2ctError, match="a batch without MR; got ct; expected mr"):
        Augmentation()({"ct": torch.zeros(1, 1, 2, 2), "left_right": torch.ones(1)}, seed=1)


def test_the_mr_of_pairs_ends_before_the_ct_where_tissue_touches_the_outline():
    mask = torch.zeros(2, 1, 64, 64)
    mask[..., 20:] = 1
    batch = {"mr": mask.clone(), "ct": 2 * mask - 1, "mask": mask, "left_right": torch.ones(2)}
    changed = Augmentation(short_field=ShortField(share=1.0), tissue=0.0)(batch, seed=1)
    assert (changed["mr"][..., 20] == 0).all()
    assert (changed["mr"][..., 60:] == 1).all()
    assert torch.equal(changed["ct"], batch["ct"])
    # no air but tissue below the limit: nothing touches
    same = Augmentation(short_field=ShortField(share=1.0), tissue=2.0)(batch, seed=1)
    assert torch.equal(same["mr"], batch["mr"])


def test_unpaired_mr_do_not_end_where_another_patients_ct_does():
    mask = torch.ones(1, 1, 32, 32)
    batch = {"mr": mask, "mr_mask": mask, "ct": mask, "ct_mask": 1 - mask, "left_right": torch.ones(1)}
    assert torch.equal(Augmentation(short_field=ShortField(share=1.0))(batch, seed=1)["mr"], mask)
