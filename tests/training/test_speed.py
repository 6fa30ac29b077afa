"""Operations are counted as one counts by hand, and counting changes nothing of what is learnt."""

from __future__ import annotations

import pytest
import torch

from mr2ct.training.assembly import batch_source, build_generator, build_method, open_cases
from mr2ct.training.recipe import parse_recipe
from mr2ct.training.speed import CountedMethod, Peak, Speed, peak_of


class OneConvolution:
    """A method that does nothing but one 3 x 3 convolution; every third step it does two."""

    def __init__(self) -> None:
        self.network, self.steps = torch.nn.Conv2d(2, 4, 3, padding=1, bias=False), 0

    def train_step(self, batch):
        self.steps += 1
        names = ["l1"] if self.steps % 3 else ["l1", "adversarial"]
        with torch.no_grad():
            return {name: self.network(batch["mr"]).sum() for name in names}


def test_a_step_s_operations_are_counted_by_kind():
    counted = CountedMethod(OneConvolution())
    assert counted.gflop_per_step == 0
    convolution = 2 * (3 * 3 * 2 * 4) * (8 * 8) / 1e9
    for step in range(1, 7):
        counted.train_step({"mr": torch.zeros(1, 2, 8, 8)})
        expected = {1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: (4 + 2 * 2) / 6}[step] * convolution
        assert counted.gflop_per_step == pytest.approx(expected)


@pytest.mark.parametrize("method", ["supervised", "pix2pix"])
def test_counting_changes_nothing(small_recipe, fabric, tmp_path, differences, method):
    states = []
    for counts in (False, True):
        recipe = parse_recipe(small_recipe(method))
        torch.manual_seed(1)
        cases = open_cases(recipe.data, seed=1, folder=tmp_path)
        learns = build_method(recipe, build_generator(recipe), fabric)
        learns = CountedMethod(learns) if counts else learns
        for _, batch in zip(range(2), batch_source(recipe, cases, fabric, folder=tmp_path)(0), strict=False):
            learns.train_step(batch)
        states.append(learns.state_dict())
    assert differences(*states) == []
    assert learns.gflop_per_step > 0


def test_a_gpu_s_peak_goes_by_its_name(monkeypatch):
    names = {"NVIDIA H200": 989, "NVIDIA H100 PCIe": 756, "NVIDIA H100 80GB HBM3": 989, "Some GPU": None}
    for name, tflops in names.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert peak_of(torch.device("cuda"), dtype=torch.bfloat16).tflops == tflops


def test_a_cpu_s_peak_is_measured_and_draws_nothing():
    before = torch.get_rng_state()
    peak = peak_of(torch.device("cpu"), dtype=torch.float32)
    assert peak.tflops > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_speed_in_words():
    assert "1.0 % of the peak (100 TFLOP/s, x)" in Speed(10, 100, Peak(100, "x")).words
    assert Speed(10, 100, Peak(None, "Some GPU")).words.endswith("peak unknown (Some GPU)")
    assert Speed(10, 100, Peak(None, "")).share_of_peak is None
