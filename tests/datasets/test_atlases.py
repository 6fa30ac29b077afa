"""Atlases come to lie on the image: moved and bent ones come back, the nearest are kept, stiff ones do not follow."""

from __future__ import annotations

import pytest
import torch

from mr2ct.datasets.atlases import AtlasFit, fused


def head(
    *, skull: float = 5.0, scale: float = 1.0, shift: tuple[float, float] = (0, 0), bump: float = 0.0
) -> torch.Tensor:
    """(1, 1, 96, 96) HU: an oval of soft tissue in a ring of bone, in air."""
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    rows, columns = (rows - 48 - shift[0]) / scale, (columns - 48 - shift[1]) / (1.2 * scale)
    columns = columns + bump * torch.exp(-((rows / 8) ** 2))
    radius = torch.hypot(rows, columns)
    hu = torch.full_like(radius, -1000.0)
    hu[radius < 30] = 1000.0
    hu[radius < 30 - skull] = 40.0
    return hu[None, None]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().mean())


@pytest.mark.parametrize("change", [{"shift": (6, -5)}, {"scale": 1.12}, {"bump": 4.0}])
def test_a_moved_or_bent_head_comes_back(change):
    image, atlas = head(), head(**change)
    fitted = AtlasFit(stiffness=0.01)(image, atlas)
    assert fitted.shape == image.shape
    assert apart(fitted, image) < 0.35 * apart(atlas, image)


def test_the_nearest_atlases_are_kept():
    image = head()
    atlases = torch.cat([head(skull=14), head(shift=(4, 0)), torch.full_like(image, -1000.0), head(skull=6)])
    fitted = AtlasFit(kept=2)(image, atlases)
    assert len(fitted) == 2
    assert max(apart(own, image[0]) for own in fitted) < 60


def test_a_stiff_field_does_not_follow_what_no_atlas_has():
    hole = head()
    hole[..., 46:50, 70:84] = 40.0
    loose, stiff = (AtlasFit(stiffness=s)(hole, head())[..., 46:50, 78:83].mean() for s in (0.001, 1.5))
    assert loose < 300
    assert stiff > 700


def test_it_needs_no_gradient_and_leaves_none():
    with torch.no_grad():
        fitted = AtlasFit()(head(), head(shift=(2, 2)))
    assert not fitted.requires_grad
    assert fitted.min() > -1001


def test_of_several_atlases_the_one_that_is_like_the_image_counts_there():
    image, thick, thin = head(skull=5), head(skull=14), head(skull=5)
    thick[..., :48], thin[..., :48] = thin[..., :48].clone(), thick[..., :48].clone()
    both = torch.cat([thick, thin])
    assert apart(fused(image, both), image) < 0.1 * apart(both.mean(0), image)


def test_atlases_that_are_alike_are_averaged():
    image = head() / 2
    assert apart(fused(image, torch.cat([image + 30, image - 30])), image) < 1e-3
