"""Networks by name, what is said of a wrong name, and properties of whole networks."""

from __future__ import annotations

import pytest
import torch

from mr2ct.errors import Mr2ctError
from mr2ct.models import REGISTRY, build_network


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(Mr2ctError, match=r"unknown network; got 'atention_unet'.*did you mean 'attention_unet'\?"):
        build_network("atention_unet", {})


def test_a_name_like_no_other_lists_them_all():
    names = "attention_unet, multiscale_attention, pix2pix_unet, resnet, patchgan, multiscale_patchgan"
    with pytest.raises(Mr2ctError, match=f"expected {names}$"):
        build_network("zzz", {})


def test_an_argument_of_a_wrong_kind_is_named():
    with pytest.raises(Mr2ctError, match=r"attention_unet cannot be made; got widths=64 \(.*int"):
        build_network("attention_unet", {"widths": 64})


def test_a_discriminator_is_no_generator():
    with pytest.raises(Mr2ctError, match="unknown network; got 'patchgan'; expected attention_unet"):
        build_network("patchgan", {}, among=REGISTRY)


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(Mr2ctError, match=r"argument of network resnet; got 'widht'.*did you mean 'width'\?"):
        build_network("resnet", {"widht": 3})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("attention_unet", {"widths": [4, 8]}),
        ("pix2pix_unet", {"width": 4, "levels": 2}),
        ("resnet", {"width": 4, "blocks": 1}),
    ],
)
def test_a_flat_image_stays_flat_away_from_the_edges(name, arguments):
    # up-sampling by transposed convolutions would show its checkerboard here
    torch.manual_seed(2)
    network = build_network(name, {**arguments, "norm": "none"}).double().eval()
    with torch.inference_mode():
        middle = network(torch.full((1, 1, 96, 96), 0.5, dtype=torch.float64))[..., 40:56, 40:56]
    assert float(middle.std()) < 1e-12


def test_the_deepest_level_of_pix2pix_still_varies_with_the_image():
    # a normalised single voxel would be zero for every image
    torch.manual_seed(0)
    network = build_network("pix2pix_unet", {"width": 4, "levels": 4, "norm": "instance"})
    deepest = []
    network.falls[-1].register_forward_hook(lambda module, inputs, output: deepest.append(output))
    network(torch.rand(1, 1, 16, 32))
    network(torch.rand(1, 1, 16, 32))
    assert not torch.equal(*deepest)


def test_pix2pix_drops_out_in_its_three_coarsest_rises_alone():
    network = build_network("pix2pix_unet", {"width": 2, "levels": 5, "dropout": 0.5})
    drops = [any(isinstance(part, torch.nn.Dropout) for part in rise.body) for rise in network.rises]
    assert drops == [True, True, True, False, False]


def test_without_coarse_answers_the_finest_alone_answers():
    arguments = {"widths": [4, 8, 8], "dilations": [1, 2]}
    torch.manual_seed(4)
    every = build_network("multiscale_attention", arguments).eval()
    finest = build_network("multiscale_attention", {**arguments, "coarse_answers": False}).eval()
    rest = {name: weight for name, weight in every.state_dict().items() if not name.startswith("heads.")}
    finest.load_state_dict(rest)
    mr = torch.rand(1, 1, 13, 18)
    with torch.inference_mode():
        assert not torch.equal(every(mr), finest(mr))
        for head in every.heads:
            head.weight.zero_()
            head.bias.zero_()
        assert torch.equal(every(mr), finest(mr))
