"""The anatomy: seeded, complete, and closed where a head is closed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mr2ct.errors import InputError
from mr2ct.phantom import HeadPhantom, Label, cut_field_of_view, head_mask, head_phantom
from mr2ct.phantom.head import draw_build, pose

FINE_SEED = 2
BONE = (Label.CORTICAL_BONE, Label.DIPLOE, Label.DENSE_BONE, Label.SPONGY_BONE)
BRAIN = (Label.GREY_MATTER, Label.DEEP_GREY, Label.DURA)


@pytest.fixture(scope="module")
def fine_head() -> HeadPhantom:
    """A head at 1.6 mm, for walls that coarser voxels leave open."""
    return head_phantom(FINE_SEED, spacing_mm=1.6)


def world_mm(head: HeadPhantom, label: Label) -> np.ndarray:
    return np.argwhere(head.labels == label) * head.geometry.spacing_mm + head.geometry.affine[:3, 3]


def test_the_same_seed_gives_the_same_head():
    one, again = (head_phantom(7, spacing_mm=6.0, operated=1.0) for _ in range(2))
    assert np.array_equal(one.labels, again.labels)
    assert one.geometry == again.geometry


def test_other_seeds_give_other_heads():
    shape = (33, 42, 40)
    heads = [head_phantom(seed, spacing_mm=6.0, shape=shape).labels for seed in range(3)]
    assert all(np.mean(heads[a] != heads[b]) > 0.02 for a, b in ((0, 1), (0, 2), (1, 2)))


def test_every_tissue_is_there(fine_head: HeadPhantom):
    rare_in_a_short_field = {Label.TOOTH, Label.TONGUE}
    present = {Label(int(n)) for n in np.unique(fine_head.labels)}
    assert set(Label) - present <= rare_in_a_short_field


def test_left_is_left_and_up_is_up(head: HeadPhantom):
    assert head.geometry.axis_codes == ("R", "A", "S")
    eyes = world_mm(head, Label.VITREOUS)
    brain = world_mm(head, Label.WHITE_MATTER).mean(axis=0)
    assert eyes[:, 0].min() < -15
    assert eyes[:, 0].max() > 15
    assert eyes[:, 1].min() > brain[1]
    assert world_mm(head, Label.TONGUE)[:, 2].mean() < eyes[:, 2].mean() < brain[2]


def test_air_does_not_touch_the_brain(fine_head: HeadPhantom):
    air = np.isin(fine_head.labels, (Label.AIR, Label.OUTSIDE))
    beside_air = ndimage.binary_dilation(air) & ~air
    assert np.isin(fine_head.labels[beside_air], BRAIN).sum() == 0


def test_the_skull_is_closed_above_the_foramen_magnum(fine_head: HeadPhantom):
    """A ball of one voxel's radius finds no way from outside into the brain but through the neck."""
    labels = fine_head.labels
    free = ~np.isin(labels, BONE)
    i, j, k = np.ogrid[tuple(slice(n) for n in labels.shape)]
    affine = fine_head.geometry.affine
    up = pose(draw_build(np.random.default_rng(FINE_SEED)))[2]
    standard_z = sum(up[a] * (affine[a, a] * n + affine[a, 3]) for a, n in enumerate((i, j, k)))
    free &= standard_z > -58
    passable = ndimage.binary_erosion(free, border_value=1)
    pieces, _ = ndimage.label(passable)
    inside = pieces[labels == Label.WHITE_MATTER]
    brain = np.bincount(inside[inside > 0]).argmax()
    assert brain != pieces[0, 0, -1]


@pytest.mark.parametrize("seed", range(4))
def test_skull_surrounds_the_brain_in_every_direction(seed: int):
    head = head_phantom(seed, spacing_mm=4.0)
    bone = np.isin(head.labels, BONE)
    centre = np.argwhere(head.labels == Label.WHITE_MATTER).mean(axis=0).astype(int)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1), (2, 1)):
        ray = np.moveaxis(bone, axis, 0)[:, *np.delete(centre, axis)]
        ray = ray[centre[axis] :] if step > 0 else ray[centre[axis] :: -1]
        thickness_mm = 4.0 * ray.sum()
        assert 0 < thickness_mm < 80


def test_builds_are_those_of_adults():
    rng = np.random.default_rng(0)
    builds = [draw_build(rng) for _ in range(200)]
    # the standard head is 166 mm wide and 205 mm long at scale 1
    widths, lengths = np.array([(166 * b.scale[0], 205 * b.scale[1]) for b in builds]).T
    assert widths.min() > 135
    assert widths.max() < 172
    assert lengths.min() > 172
    assert lengths.max() < 212
    assert max(abs(a) for b in builds for a in b.tilt_degrees) <= 15


def test_an_operated_skull_has_gaps_and_is_otherwise_the_same_head():
    whole = head_phantom(3, spacing_mm=4.0, operated=0.0)
    cut = head_phantom(3, spacing_mm=4.0, operated=1.0)
    lost = np.isin(whole.labels, BONE).sum() - np.isin(cut.labels, BONE).sum()
    assert lost > 0
    assert np.mean(whole.labels[:, :, -10:] > 0) == pytest.approx(np.mean(cut.labels[:, :, -10:] > 0))


def test_shape_and_spacing_are_kept():
    head = head_phantom(1, spacing_mm=5.0, shape=(40, 50, 30))
    assert head.labels.shape == head.geometry.shape == (40, 50, 30)
    assert head.geometry.spacing_mm == pytest.approx((5, 5, 5))


@pytest.mark.parametrize("spacing_mm", [0.0, -1.0, 9.0, float("nan")])
def test_an_impossible_spacing_is_refused(spacing_mm: float):
    with pytest.raises(InputError, match=r"0\.4 to 8 mm"):
        head_phantom(1, spacing_mm=spacing_mm)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), (4, 4, -1)])
def test_an_impossible_shape_is_refused(shape: tuple[int, ...]):
    with pytest.raises(InputError, match="three axes"):
        head_phantom(1, spacing_mm=6.0, shape=shape)


@pytest.mark.parametrize("shape", [(1, 40, 40), (40, 1, 40), (40, 50, 1), (3, 3, 3)])
def test_thin_and_tiny_grids_work(shape: tuple[int, int, int]):
    assert head_phantom(1, spacing_mm=5.0, shape=shape).labels.shape == shape


def test_the_mask_holds_the_head_and_its_air(head: HeadPhantom):
    mask = head_mask(head).voxels
    assert set(np.unique(mask)) == {0, 1}
    assert mask[head.labels == Label.AIR].all()
    assert not mask[head.labels == Label.OUTSIDE].any()


def test_a_cut_only_takes_away(head: HeadPhantom):
    cut = cut_field_of_view(head, 5)
    kept = cut.labels == head.labels
    assert np.all(cut.labels[~kept] == Label.OUTSIDE)
    assert (cut.labels > 0).sum() < (head.labels > 0).sum()
    assert np.array_equal(cut.labels, cut_field_of_view(head, 5).labels)
