"""What every discriminator of the registry promises: one score a patch, the paper's patch size, clear refusals."""

from __future__ import annotations

import pytest
import torch

from mr2ct.errors import Mr2ctError
from mr2ct.models import DISCRIMINATORS, build_network

SMALL = {"patchgan": {"width": 4}, "multiscale_patchgan": {"width": 4, "levels": 2}}
# the coarser judge of two sees 34 of its own voxels, 69 of the images', and resizing mixes scores that lie 8 apart
REACH = {"patchgan": 70, "multiscale_patchgan": 77}
SCORES_OF_256 = {"patchgan": 30, "multiscale_patchgan": 62}

every_discriminator = pytest.mark.parametrize("name", DISCRIMINATORS)


def test_every_registered_discriminator_is_under_contract():
    assert SMALL.keys() == DISCRIMINATORS.keys()


@every_discriminator
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (24, 24), (24, 32, 25)], ids=str)
def test_scores_are_one_channel_on_a_coarser_grid(name, size):
    discriminator = build_network(name, {**SMALL[name], "dims": len(size), "in_channels": 2})
    scores = discriminator(torch.rand(2, 2, *size))
    assert scores.shape[:2] == (2, 1)
    assert all(0 < coarse < fine for coarse, fine in zip(scores.shape[2:], size, strict=True))


@every_discriminator
def test_gradients_reach_every_parameter_and_the_image(name):
    discriminator = build_network(name, {**SMALL[name], "norm": "none"})
    image = torch.rand(1, 1, 40, 40, requires_grad=True)
    discriminator(image).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in discriminator.parameters())
    assert image.grad.any()


@every_discriminator
@pytest.mark.parametrize("dims", [2, 3])
def test_a_score_depends_on_as_many_voxels_a_side_as_it_says(name, dims):
    # instance norm would make every score depend on the whole image
    torch.manual_seed(1)
    discriminator = build_network(name, {**SMALL[name], "width": 2, "dims": dims, "norm": "none"})
    image = torch.rand(1, 1, *[112] * dims, requires_grad=True)
    scores = discriminator(image)
    middle = tuple(size // 2 for size in scores.shape[2:])
    scores[(0, 0, *middle)].backward()
    touched = image.grad[0, 0].nonzero()
    assert (touched.amax(0) - touched.amin(0) + 1).tolist() == [REACH[name]] * dims


@every_discriminator
def test_256_voxels_give_as_many_scores_as_in_the_paper(name):
    n = SCORES_OF_256[name]
    assert build_network(name, SMALL[name])(torch.zeros(1, 1, 256, 256)).shape == (1, 1, n, n)


@every_discriminator
def test_its_layers_end_with_scores_scale_by_scale(name):
    discriminator = build_network(name, SMALL[name])
    images = torch.rand(2, 1, 48, 50)
    layers = discriminator(images, layers=True)
    for scale in layers:
        assert scale[-1].shape[:2] == (2, 1)
        assert [features.shape[0] for features in scale] == [2] * len(scale)
        sizes = [features.shape[2] for features in scale]
        assert sizes == sorted(sizes, reverse=True)
    assert layers[0][-1].shape == discriminator(images).shape
    heights = [scale[0].shape[2] for scale in layers]
    assert heights == [24 // 2**number for number in range(len(layers))]


@every_discriminator
def test_an_image_too_small_for_a_score_is_refused_in_words(name):
    with pytest.raises(Mr2ctError, match=r"too small for the discriminator; got 40 x 23; expected at least 24"):
        build_network(name, SMALL[name])(torch.zeros(1, 1, 40, 23))
