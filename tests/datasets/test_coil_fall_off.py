"""Signal lost towards one side: of a share of the samples, smoothly, drawn from the generator."""

from __future__ import annotations

import pytest
import torch

from mr2ct.datasets.coil_fall_off import CoilFallOff


@pytest.mark.parametrize("shape", [(64, 96), (64, 66, 68)])
def test_signal_falls_smoothly_and_is_never_gained(shape):
    mr = torch.ones(2, 1, *shape)
    dark = CoilFallOff(share=1.0)(mr, torch.Generator().manual_seed(1))
    assert ((dark > 0) & (dark <= 1)).all()
    assert float(dark.min()) < 0.9
    # the steepest fall goes over 15 % of half the image, at its middle half as steep again
    assert max(torch.diff(dark, dim=axis).abs().max() for axis in range(2, mr.dim())) < 0.4
    assert not torch.equal(dark[0], dark[1])


def test_a_share_of_the_samples_is_darkened():
    mr = torch.ones(200, 1, 8, 8)
    changed = (CoilFallOff(share=0.3)(mr, torch.Generator().manual_seed(1)) != mr).flatten(1).any(1).float().mean()
    assert 0.1 < float(changed) < 0.4
    assert torch.equal(CoilFallOff(share=0.0)(mr, torch.Generator().manual_seed(1)), mr)


def test_the_same_seed_darkens_the_same():
    mr = torch.ones(3, 1, 16, 16)
    one, same = (CoilFallOff(share=1.0)(mr, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, same)
