"""Dark tissue loses its signal in patches, bright tissue keeps it: of a share of the samples, by the generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.datasets.lost_signal import LostSignal


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(64, 96), (24, 26, 28)])
def test_the_dark_loses_signal_in_patches_and_the_bright_none(shape):
    dark, bright = torch.full((6, 1, *shape), 0.05), torch.full((6, 1, *shape), 0.35)
    lost = LostSignal(share=1.0)
    changed = lost(dark, seeded(1))
    assert ((changed >= 0) & (changed <= dark)).all()
    assert float(changed.min()) < 0.01
    assert float(changed.max()) > 0.045
    assert max(torch.diff(changed, dim=axis).abs().max() for axis in range(2, dark.dim())) < 0.02
    torch.testing.assert_close(lost(bright, seeded(1)), bright)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_order_of_neighbours_in_brightness_stays(seed):
    # two images, one brighter everywhere, through the same draw
    mr = torch.rand(1, 1, 16, 16, generator=seeded(seed))
    lost = LostSignal(share=1.0)
    assert (lost(mr + 0.01, seeded(seed)) >= lost(mr, seeded(seed)) - 1e-6).all()


def test_a_share_of_the_samples_is_changed():
    mr = torch.full((200, 1, 8, 8), 0.05)
    changed = (LostSignal(share=0.3)(mr, seeded(1)) != mr).flatten(1).any(1).float().mean()
    assert 0.2 < float(changed) < 0.4
    assert torch.equal(LostSignal(share=0.0)(mr, seeded(1)), mr)
