"""The band without MR at the cuts of a body: there, of a share of the samples, as wide as drawn; not along skin."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.datasets.short_field import ShortField, outline_edge, sides_of


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def head(count: int = 1, margin: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Tissue and outline of a half disc, cut along row 70; its outline has a margin of air round the skin."""
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    radius = ((rows - 70) ** 2 + (columns - 48) ** 2).sqrt()
    above = rows <= 70
    tissue, mask = ((radius < reach) & above for reach in (36, 36 + margin))
    return tissue.float().expand(count, 1, -1, -1), mask.float().expand(count, 1, -1, -1)


def test_the_band_lies_along_the_cut_and_nowhere_else():
    tissue, mask = head()
    changed = ShortField(share=1.0, up_to=12)(tissue, tissue, mask, seeded(1))[0, 0]
    lost = (changed == 0) & (tissue[0, 0] == 1)
    assert lost[70, 20:76].all()
    assert not lost[:56].any()
    assert torch.equal(changed[~lost], tissue[0, 0][~lost])


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_it_is_no_wider_than_asked_for(seed):
    tissue, mask = head()
    changed = ShortField(share=1.0, up_to=10)(tissue, tissue, mask, seeded(seed))
    # two voxels for outlines whose edge is not sharp
    assert torch.equal(changed[..., : 70 - 12, :], tissue[..., : 70 - 12, :])


def test_skin_without_a_cut_stays():
    tissue, mask = (torch.cat([half[:, :, :71], half[:, :, :71].flip(2)], 2) for half in head())
    assert torch.equal(ShortField(share=1.0)(tissue, tissue, mask, seeded(1)), tissue)


@pytest.mark.parametrize("radius", [8, 20, 40])
def test_a_round_outline_without_a_margin_is_no_cut(radius):
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    disc = (torch.hypot(rows - 48, columns - 48) < radius).float()[None, None]
    assert torch.equal(ShortField(share=1.0)(disc, disc, disc, seeded(1)), disc)


def test_where_the_image_ends_is_no_cut():
    whole = torch.ones(1, 1, 96, 96)
    assert torch.equal(ShortField(share=1.0)(whole, whole, whole, seeded(1)), whole)


def test_an_ear_that_touches_the_outline_is_no_cut():
    tissue, mask = (torch.zeros(1, 1, 96, 96) for _ in range(2))
    mask[..., 8:88, 8:88] = 1
    tissue[..., 20:76, 20:76] = 1
    tissue[..., 40:45, 8:20] = 1
    assert torch.equal(ShortField(share=1.0)(tissue, tissue, mask, seeded(1)), tissue)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_samples_is_changed(share):
    tissue, mask = head(count=200)
    changed = (ShortField(share=share)(tissue, tissue, mask, seeded(1)) != tissue).flatten(1).any(1).float().mean()
    assert abs(float(changed) - share) < 0.1


def test_volumes_are_cut_too():
    mask = torch.zeros(1, 1, 20, 64, 64)
    mask[..., 10:, :] = 1
    changed = ShortField(share=1.0)(mask, mask, mask, seeded(1))
    assert (changed[..., 10, :] == 0).all()
    assert (changed[..., 48:, :] == 1).all()


def lengths_one_by_one(places, edge, degrees):
    """The voxels of each line, counted as a set."""
    angles = torch.deg2rad(torch.tensor([float(angle) for angle in degrees]))
    normals = torch.stack([angles.cos(), angles.sin()])
    near = (places.float() @ normals) > (edge.float() @ normals).amax(0) - 2
    across = (places.float() @ torch.stack([-normals[1], normals[0]])).round()
    return torch.tensor([len(set(across[own, k].tolist())) for k, own in enumerate(near.T)])


@pytest.mark.parametrize("degrees", [range(360), range(-150, -29)])
@given(seed=st.integers(0, 10_000), side=st.integers(3, 70), share=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_lengths_are_counts_of_different_voxels(degrees, seed, side, share):
    _, mask = head()
    inside = mask[0, 0, :, : side + 20]
    edge = torch.nonzero(outline_edge(inside))
    places = torch.nonzero(inside * (torch.rand(inside.shape, generator=seeded(seed)) < share))
    _, _, near, lengths = sides_of(places, edge, degrees)
    expected = lengths_one_by_one(places, edge, degrees)
    assert near.shape == (len(places), len(degrees))
    assert lengths.dtype == expected.dtype
    assert torch.equal(lengths, expected)


def test_of_no_places_no_line_has_a_length():
    edge = torch.nonzero(outline_edge(torch.ones(9, 9)))
    assert sides_of(edge[:0], edge, range(360))[-1].tolist() == 360 * [0]


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_tilted_field_ends_along_a_line_that_crosses_the_middle_of_the_cut(seed):
    tissue, mask = head()
    field = ShortField(share=1.0, up_to=12, tilt_deg=40)
    lost = (field(tissue, tissue, mask, seeded(seed)) == 0)[0, 0] & (tissue[0, 0] == 1)
    depths = 71 - lost.float().argmax(0).where(lost.any(0), torch.tensor(71))
    # each column loses what lies below the line; its slope is at most tan 40
    assert ((lost.sum(0) - depths).abs() <= 1).all()
    inside = depths[20:77]
    assert inside.diff().abs().max() <= 1
    assert inside[28] <= 12 + 3


def test_fields_are_tilted_to_both_sides():
    tissue, mask = head(count=60)
    lost = (ShortField(share=1.0, tilt_deg=40)(tissue, tissue, mask, seeded(1)) == 0) & (tissue == 1)
    more_at_left = lost[..., :48].sum((1, 2, 3)) - lost[..., 49:].sum((1, 2, 3))
    sides = torch.tensor([(more_at_left < -30).sum(), (more_at_left.abs() <= 30).sum(), (more_at_left > 30).sum()])
    # a quarter each, and half as the cut is, or nearly
    assert (sides >= 0.15 * 60).all()
    assert sides[1] >= 0.35 * 60


def test_without_a_cut_nothing_is_tilted():
    disc = (torch.hypot(*torch.meshgrid(*2 * [torch.arange(-48.0, 48)], indexing="ij")) < 40).float()[None, None]
    assert torch.equal(ShortField(share=1.0, tilt_deg=40)(disc, disc, disc, seeded(1)), disc)


def test_volumes_are_cut_at_a_tilt_through_their_first_axis():
    mask = torch.zeros(1, 1, 6, 64, 64)
    mask[..., 10:, :] = 1
    lost = (ShortField(share=1.0, tilt_deg=40)(mask, mask, mask, seeded(3)) == 0) & (mask == 1)
    assert lost.any()
    assert (lost == lost[:, :, :1]).all()
