"""What every generator of the registry promises: any size, two and three dimensions, gradients, export."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mr2ct.models import REGISTRY, build_network
from mr2ct.models.blocks import NORMALISATIONS

SMALL = {
    "attention_unet": {"widths": [4, 8, 8]},
    "multiscale_attention": {"widths": [4, 8, 8], "dilations": [1, 2]},
    "pix2pix_unet": {"width": 4, "levels": 3},
    "resnet": {"width": 4, "blocks": 1},
}
SIZES = {
    2: [(16, 24), (9, 7), (1, 13), (17, 1), (1, 1), (31, 33)],
    3: [(8, 8, 16), (5, 1, 7), (1, 1, 1), (9, 6, 11)],
}
SHAPES = [size for sizes in SIZES.values() for size in sizes]

every_network = pytest.mark.parametrize("name", REGISTRY)
every_dimension = pytest.mark.parametrize("dims", SIZES)


def small_network(name: str, **arguments: object) -> torch.nn.Module:
    torch.manual_seed(7)
    return build_network(name, {**SMALL[name], **arguments})


def images(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_every_registered_network_is_under_contract():
    assert SMALL.keys() == REGISTRY.keys()


@every_network
@pytest.mark.parametrize("size", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_keeps_any_grid_with_a_batch_of_one(name, size, training):
    network = small_network(name, dims=len(size)).train(training)
    sct = network(images(1, 1, *size))
    assert sct.shape == (1, 1, *size)
    assert sct.dtype == torch.float32
    assert torch.isfinite(sct).all()


@every_network
@pytest.mark.parametrize("norm", NORMALISATIONS)
def test_takes_every_normalisation_even_of_a_single_voxel(name, norm):
    network = small_network(name, norm=norm)
    assert network(images(1, 1, 1, 1)).shape == (1, 1, 1, 1)


@every_network
def test_takes_neighbouring_slices_as_channels(name):
    network = small_network(name, in_channels=5)
    assert network(images(2, 5, 12, 10)).shape == (2, 1, 12, 10)


@every_network
@every_dimension
def test_gradients_reach_every_parameter(name, dims):
    # a bias before most normalisations has no effect, so that its gradient would be zero rightly
    network = small_network(name, dims=dims, norm="none")
    network(images(2, 1, *[16] * dims)).square().mean().backward()
    unreached = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert unreached == []


@every_network
@every_dimension
def test_evaluation_is_deterministic_and_the_batch_does_not_matter(name, dims):
    network = small_network(name, dims=dims).eval()
    mr = images(3, 1, *[11] * dims)
    with torch.inference_mode():
        together, again = network(mr), network(mr)
        alone = torch.cat([network(one[None]) for one in mr])
    assert torch.equal(together, again)
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


@every_network
def test_weights_alone_make_the_network_again(name):
    one, other = small_network(name).eval(), build_network(name, SMALL[name]).eval()
    other.load_state_dict(one.state_dict())
    mr = images(1, 1, 9, 9)
    assert torch.equal(one(mr), other(mr))


@every_network
@every_dimension
def test_bfloat16_comes_close_and_the_answer_is_float32(name, dims):
    network = small_network(name, dims=dims).eval()
    mr = images(1, 1, *[16] * dims)
    with torch.inference_mode():
        full = network(mr)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reduced = network(mr)
    assert reduced.dtype == torch.float32
    assert (reduced - full).abs().max() < 0.03 * (1 + full.abs().max())
    # a bfloat16 head would give no more than a few hundred different values
    assert not torch.equal(reduced, reduced.bfloat16().float())


@every_network
@every_dimension
def test_can_be_exported_by_torch(name, dims):
    network = small_network(name, dims=dims).eval()
    mr = images(2, 1, *[13] * dims)
    program = torch.export.export(network, (mr,), strict=False)
    torch.testing.assert_close(program.module()(mr), network(mr))


@every_network
def test_onnx_runtime_gives_the_same(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = small_network(name).eval()
    mr = images(1, 1, 13, 10)
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (mr,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: mr.numpy()})
    with torch.inference_mode():
        expected = network(mr).numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-5, rtol=1e-4)
