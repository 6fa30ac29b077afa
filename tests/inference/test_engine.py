"""Engines: float32 in and out whatever happens between, and clear words where a device is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mr2ct.errors import Mr2ctError
from mr2ct.inference.engine import TorchEngine, resolve_device, resolve_precision
from mr2ct.models import build_network


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_runs_as_torch_runs_it(dims):
    torch.manual_seed(1)
    network = build_network("attention_unet", {"widths": [2, 4], "dims": dims}).eval()
    inputs = np.random.default_rng(1).random((2, 1, *(9, 7, 5)[:dims]), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(inputs)).numpy()
    answer = TorchEngine(network, device="cpu", precision="fp32")(inputs)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_reduced_precision_stays_close_and_its_last_layer_is_float32():
    torch.manual_seed(1)
    network = build_network("attention_unet", {"widths": [4, 8]})
    inputs = np.random.default_rng(1).random((1, 1, 32, 32), dtype=np.float32)
    exact = TorchEngine(network, device="cpu", precision="fp32")(inputs)
    reduced = TorchEngine(network, device="cpu", precision="bf16")(inputs)
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(reduced, exact, atol=0.05)
    assert len(np.unique(reduced)) > 0.9 * reduced.size


def test_the_engine_puts_the_network_in_evaluation_mode_and_says_what_it_is():
    network = torch.nn.Sequential(torch.nn.Dropout(0.5)).train()
    engine = TorchEngine(network, device="cpu", precision="fp32")
    np.testing.assert_array_equal(engine(np.ones((1, 1, 4, 4), np.float32)), 1)
    assert engine.words == f"torch {torch.__version__}, cpu, fp32"
    assert engine.batch_size >= 1


def test_arrays_that_are_not_contiguous_are_taken():
    flipped = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)[..., ::-1]
    np.testing.assert_array_equal(TorchEngine(torch.nn.Identity(), device="cpu")(flipped), flipped)


def test_unknown_words_are_errors():
    with pytest.raises(Mr2ctError, match="unknown device"):
        resolve_device("tpu")
    with pytest.raises(Mr2ctError, match="unknown precision"):
        resolve_precision("fp8", "cpu")


def test_a_missing_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(Mr2ctError, match="no CUDA device"):
        resolve_device("cuda")


def test_bf16_only_where_the_hardware_has_it(monkeypatch):
    monkeypatch.setattr("mr2ct.models.bfloat16.cpu_flags", lambda: {"avx2"})
    assert resolve_precision("auto", "cpu") == "fp32"
    monkeypatch.setattr("mr2ct.models.bfloat16.cpu_flags", lambda: {"avx512_bf16"})
    assert resolve_precision("auto", "cpu") == "bf16"
    assert resolve_precision("fp32", "cpu") == "fp32"
