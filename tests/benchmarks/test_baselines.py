"""What the baselines learn from and give back, their sizes in the papers, and an interrupted training."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch


@pytest.fixture
def pictures(benchmarks):
    return importlib.import_module("baselines.pictures")


@pytest.fixture
def timed_loop(benchmarks):
    return importlib.import_module("baselines.timed_loop")


@pytest.mark.parametrize("shape", [(40, 31), (256, 256), (231, 244)])
def test_a_ct_comes_back_from_its_picture_on_its_own_grid(pictures, shape):
    ct_hu = np.random.default_rng(0).uniform(-1024, 3071, shape)
    there = pictures.hu_of(pictures.ct_picture(ct_hu, bits=8), shape)
    # half a grey level of 4095 / 255 HU
    assert np.abs(there - ct_hu).max() <= 4095 / 255 / 2 + 0.01
    np.testing.assert_allclose(pictures.hu_of(pictures.ct_picture(ct_hu, bits=None), shape), ct_hu, atol=0.01)


def test_a_slice_larger_than_the_picture_is_resized_and_comes_back_smooth(pictures):
    rows, columns = np.meshgrid(np.linspace(-1, 1, 300), np.linspace(-1, 1, 280), indexing="ij")
    ct_hu = np.where(rows**2 + columns**2 < 0.6, 40.0, -1000.0)
    there = pictures.hu_of(pictures.ct_picture(ct_hu, bits=8), ct_hu.shape)
    assert there.shape == ct_hu.shape
    assert np.abs(there - ct_hu).mean() < 15


def test_pictures_have_256_grey_levels_and_span_the_whole_range(pictures):
    mr = np.linspace(5.0, 905.0, 40 * 40).reshape(40, 40)
    picture = pictures.mr_picture(mr, bits=8)
    assert picture.shape == (1, 256, 256)
    assert (picture.min(), picture.max()) == (-1, 1)
    assert len(picture.unique()) == 256
    assert len(pictures.mr_picture(mr, bits=None).unique()) > 1000
    assert torch.isfinite(pictures.mr_picture(np.zeros((9, 9)), bits=8)).all()


def test_volumes_are_cut_from_foot_to_head_and_slices_are_taken_as_they_are(pictures):
    assert pictures.slice_axis((9, 1, 7), np.eye(4)) == 1
    assert pictures.slice_axis((9, 8, 7), np.eye(4)) == 2
    turned = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
    assert pictures.slice_axis((9, 8, 7), turned) == 0
    assert [cut.shape for cut in pictures.slices_of(np.zeros((9, 8, 7)), turned)] == [(8, 7)] * 9


def test_the_generators_are_as_large_as_the_published_ones(benchmarks):
    def millions(network: torch.nn.Module) -> float:
        return sum(parameter.numel() for parameter in network.parameters()) / 1e6

    # pytorch-CycleGAN-and-pix2pix prints 54.41 M and 11.38 M for three channels in and out
    assert millions(importlib.import_module("baselines.plain_pix2pix").UNet256(64)) == pytest.approx(54.41, abs=0.01)
    assert millions(importlib.import_module("baselines.plain_cyclegan").resnet_9(64)) == pytest.approx(11.37, abs=0.01)


@pytest.mark.parametrize("name", ["plain-pix2pix", "plain-cyclegan", "monai-attention-unet"])
def test_an_interrupted_training_goes_on_with_its_time_and_its_weights(
    name, benchmarks, pictures, timed_loop, tmp_path
):
    kind = importlib.import_module("baselines").BASELINES[name]
    rng = np.random.default_rng(1)
    pairs = [pictures.Pair(f"p{n}", rng.uniform(0, 9, (30, 20)), rng.uniform(-1000, 900, (30, 20))) for n in range(3)]
    how = {"checkpoint": tmp_path / "model.pt", "device": "cpu", "seed": 1}
    model = kind(width=2)
    first = timed_loop.train(model, pairs, minutes=1e-6, **how)
    assert first["steps"] == 1
    again = kind(width=2)
    assert timed_loop.train(again, pairs, minutes=1e-6, **how)["steps"] == 1
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert timed_loop.train(again, pairs, minutes=first["minutes"] + 1e-6, **how)["steps"] == 2
    hu = timed_loop.convert(
        timed_loop.load(kind(width=2), how["checkpoint"]), pairs[0].mr[:, :, None], np.eye(4), device="cpu"
    )
    assert (hu.shape, hu.dtype) == ((30, 20, 1), np.int16)
    assert -1024 <= hu.min() <= hu.max() <= 3071


def test_the_unpaired_one_never_sees_a_pair(timed_loop, pictures, benchmarks):
    pairs = [pictures.Pair(f"p{n // 2}", np.zeros((4, 4)), np.zeros((4, 4))) for n in range(6)]
    kind = importlib.import_module("baselines.plain_cyclegan").PlainCycleGAN
    rng = np.random.default_rng(2)
    for _ in range(50):
        of_mr, of_ct = timed_loop._drawn(pairs, kind, rng)
        assert pairs[of_mr[0]].patient != pairs[of_ct[0]].patient
