"""Several PatchGANs at once: what each of them is shown."""

from __future__ import annotations

import pytest
import torch

from mr2ct.errors import Mr2ctError
from mr2ct.models.patchgan import MultiScalePatchGAN


def two_scales(**arguments: object) -> MultiScalePatchGAN:
    torch.manual_seed(3)
    return MultiScalePatchGAN(**{"width": 4, "levels": 2, "norm": "none", **arguments})


def test_scales_have_weights_of_their_own():
    first, second = two_scales().judges
    assert not torch.equal(first.body[0].weight, second.body[0].weight)


def test_the_border_of_the_coarser_copy_is_no_darker():
    of_ones = two_scales(scales=2, in_channels=1)
    seen = []
    of_ones.judges[1].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    of_ones(torch.ones(1, 1, 33, 40))
    assert seen[0].shape == (1, 1, 17, 20)
    assert torch.equal(seen[0], torch.ones_like(seen[0]))


def test_the_scores_are_the_mean_of_the_scales():
    judges, images = two_scales(scales=3), torch.rand(1, 1, 64, 64)
    fine, *coarser = (scale[-1] for scale in judges(images, layers=True))
    resized = [torch.nn.functional.interpolate(scores, size=fine.shape[2:], mode="bilinear") for scores in coarser]
    torch.testing.assert_close(judges(images), (fine + sum(resized)) / 3)


def test_an_image_too_small_for_the_coarsest_copy_is_refused_in_words():
    with pytest.raises(Mr2ctError, match=r"got 64 x 47; expected at least 48 voxels along every axis; .*scales"):
        two_scales(scales=3)(torch.zeros(1, 1, 64, 47))
