"""Structure that a CT does not show: on soft tissue alone, drawn from the generator, as strong as asked for."""

from __future__ import annotations

import pytest
import torch

from mr2ct.datasets.soft_tissue_texture import SoftTissueTexture

NOTHING = SoftTissueTexture(folds=0, rim=0, parts=0, vessels=0)


def head(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bright soft tissue in the middle of a brighter frame."""
    mr, soft = torch.full((2, 1, *shape), 0.8), torch.zeros(2, 1, *shape)
    inner = (slice(None), slice(None), *(slice(n // 4, n - n // 4) for n in shape))
    mr[inner], soft[inner] = 0.5, 1.0
    return mr, soft


@pytest.mark.parametrize("shape", [(48, 40), (20, 24, 16)])
def test_only_soft_tissue_changes_and_stays_positive(shape):
    mr, soft = head(*shape)
    changed = SoftTissueTexture()(mr, soft, torch.Generator().manual_seed(1))
    assert torch.equal(changed[soft == 0], mr[soft == 0])
    assert (changed[soft == 1] != mr[soft == 1]).float().mean() > 0.5
    assert (changed >= 0).all()
    assert not torch.equal(changed[0], changed[1])


def test_the_same_seed_gives_the_same_texture():
    mr, soft = head(32, 32)
    one, same, other = (SoftTissueTexture()(mr, soft, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_without_strength_nothing_changes():
    mr, soft = head(32, 32)
    assert torch.equal(NOTHING(mr, soft, torch.Generator().manual_seed(1)), mr)


@pytest.mark.parametrize(("kind", "darker"), [("folds", True), ("rim", True), ("vessels", False), ("shade", True)])
def test_folds_rim_and_shade_darken_and_vessels_brighten(kind, darker):
    mr, soft = head(64, 64)
    texture = SoftTissueTexture(**{**dict.fromkeys(("folds", "rim", "parts", "vessels"), 0.0), kind: 1.0})
    changed = texture(mr, soft, torch.Generator().manual_seed(2))
    assert ((changed <= mr) if darker else (changed >= mr)).all()
    assert (changed != mr).any()


def test_the_rim_lies_at_the_edge():
    mr, soft = head(64, 64)
    changed = SoftTissueTexture(folds=0, parts=0, vessels=0)(mr, soft, torch.Generator().manual_seed(2))
    assert torch.equal(changed[..., 28:36, 28:36], mr[..., 28:36, 28:36])
    assert (changed[..., 16, 30] < mr[..., 16, 30]).all()


def test_shade_is_wide_and_deep():
    mr, soft = (image.expand(8, -1, -1, -1) for image in (torch.full((1, 1, 96, 96), 0.5), torch.ones(1, 1, 96, 96)))
    shade = SoftTissueTexture(folds=0, rim=0, parts=0, vessels=0, shade=1.0)
    changed = shade(mr, soft, torch.Generator().manual_seed(2))
    assert changed.min() < 0.2
    assert changed.max() > 0.45
    assert max(torch.diff(changed, dim=axis).abs().max() for axis in (2, 3)) < 0.05
