"""Folded networks answer as before, without batch norms behind convolutions, and leave the trained one as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mr2ct.models import REGISTRY, build_network
from mr2ct.models.folding import folded

SMALL = {"attention_unet": {"widths": [4, 8]}, "multiscale_attention": {"widths": [4, 8]}}


def trained(name: str, *, norm: str, dims: int) -> nn.Module:
    torch.manual_seed(3)
    network = build_network(name, {"norm": norm, "dims": dims, **SMALL.get(name, {"width": 4})})
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
            module.weight.data.normal_(1, 0.3)
            module.bias.data.normal_(0, 0.3)
    return network


def batch_norms(network: nn.Module) -> int:
    return sum(isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)) for module in network.modules())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("name", REGISTRY)
def test_a_folded_network_answers_as_before(name, norm, dims):
    network = trained(name, norm=norm, dims=dims)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.rand(2, 1, *(24, 16, 8)[:dims])
    quick = folded(network)
    assert network.training
    assert not quick.training
    assert (batch_norms(quick) < batch_norms(network)) == (norm == "batch")
    with torch.no_grad():
        torch.testing.assert_close(quick(images), network.eval()(images), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_a_norm_that_follows_no_convolution_stays():
    row = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.LeakyReLU(0.1), nn.BatchNorm2d(2))
    assert [type(module) for module in folded(row)] == [type(module) for module in row]
