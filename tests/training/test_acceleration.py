"""What is on where, and that a resident, compiled run learns from the same batches as a plain one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mr2ct.datasets.resident import ResidentCutter
from mr2ct.datasets.sampling import BoxCutter, BoxPlan
from mr2ct.hounsfield import HuScaling
from mr2ct.models import build_network
from mr2ct.training import acceleration, assembly
from mr2ct.training.acceleration import Beside, is_on, make_cutter, precision_of
from mr2ct.training.assembly import batch_source, build_generator, build_method, open_cases
from mr2ct.training.learner import Learner, require_finite
from mr2ct.training.recipe import RunSettings, parse_recipe

GPU = SimpleNamespace(device=torch.device("cuda"))


def test_auto_is_a_gpu_s(fabric):
    assert [is_on(switch, fabric) for switch in ("auto", True, False)] == [False, True, False]
    assert [is_on(switch, GPU) for switch in ("auto", True, False)] == [True, True, False]


def test_auto_is_bfloat16_where_the_device_has_it(monkeypatch):
    asked = []
    monkeypatch.setattr(acceleration, "has_bfloat16", lambda device: asked.append(device) or device == "cuda")
    assert precision_of(RunSettings()) == "32-true"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert precision_of(RunSettings()) == "bf16-mixed"
    assert precision_of(RunSettings(accelerator="cpu")) == "32-true"
    assert asked == ["cpu", "cuda", "cpu"]
    assert precision_of(RunSettings(precision="16-mixed")) == "16-mixed"


def test_cases_that_do_not_fit_stay_on_disk(heads, fabric, monkeypatch):
    plan = BoxPlan((8, 8))
    make = {"plan": plan, "scaling": HuScaling(), "cases": heads}
    assert type(make_cutter(**make, resident="auto", fabric=fabric)) is BoxCutter
    assert type(make_cutter(**make, resident=True, fabric=fabric)) is ResidentCutter
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 1000))
    assert type(make_cutter(**make, resident="auto", fabric=GPU)) is BoxCutter
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**12, 10**12))
    monkeypatch.setattr(acceleration, "ResidentCutter", lambda *given: given[-1])
    assert make_cutter(**make, resident="auto", fabric=GPU) == torch.device("cuda")


def test_on_a_cpu_a_batch_is_made_where_it_is_asked_for(fabric):
    batch = {"mr": torch.zeros(1)}
    assert Beside(fabric)(lambda: batch) is batch


@pytest.mark.parametrize("method", ["supervised", "cyclegan"])
def test_resident_batches_are_the_plain_ones(small_recipe, fabric, tmp_path, method):
    batches = []
    for resident in (False, True):
        recipe = parse_recipe(small_recipe(method, run={"resident": resident}))
        cases = open_cases(recipe.data, seed=1, folder=tmp_path)
        batches.append(next(iter(batch_source(recipe, cases, fabric, folder=tmp_path)(3))))
    plain, on_device = batches
    assert plain.keys() == on_device.keys()
    assert all(torch.equal(plain[key], on_device[key]) for key in plain)
    assert all(plain[key].stride() == on_device[key].stride() for key in plain)


@pytest.mark.parametrize(("fits", "workers"), [(True, 0), (False, 2)])
def test_workers_cut_what_does_not_fit_on_the_device(small_recipe, fabric, tmp_path, monkeypatch, fits, workers):
    recipe = parse_recipe(small_recipe(data={"workers": 2}, run={"resident": True}))
    cases, asked = open_cases(recipe.data, seed=1, folder=tmp_path), []
    if not fits:
        monkeypatch.setattr(assembly, "make_cutter", lambda plan, scaling, *rest, **kept: BoxCutter(plan, scaling))
    monkeypatch.setattr(assembly, "_loaded", lambda batches, steps, *, workers: asked.append(workers) or iter(()))
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(iter(batch_source(recipe, cases, fabric, folder=tmp_path)(0)))
    assert asked == [workers]


def test_a_compiled_network_learns_alike_and_is_saved_alike(small_recipe, fabric, tmp_path, monkeypatch):
    plain_compiled = Learner.compiled
    monkeypatch.setattr(Learner, "compiled", lambda self: plain_compiled(self, backend="aot_eager"))
    losses, states = [], []
    for compiles in (False, True):
        network = {"name": "attention_unet", "arguments": {"widths": [2, 4]}}
        recipe = parse_recipe(small_recipe(network=network, run={"compile": compiles}))
        torch.manual_seed(1)
        cases = open_cases(recipe.data, seed=1, folder=tmp_path)
        method = build_method(recipe, build_generator(recipe), fabric)
        source = batch_source(recipe, cases, fabric, folder=tmp_path)(0)
        losses.append([float(method.train_step(batch)["l1"]) for _, batch in zip(range(3), source, strict=False)])
        states.append(method.state_dict())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert states[0]["generator"]["network"].keys() == states[1]["generator"]["network"].keys()
    assert states[0]["average"].keys() == states[1]["average"].keys()
    method.load_state_dict(states[0])


def test_a_compiled_network_meets_one_layout(fabric):
    """Slices of one channel are channels last whatever their strides say; a compiler would take them for two kinds."""
    network = build_network("attention_unet", {"widths": (2, 4), "norm": "none"})
    learner = Learner(fabric, network, learning_rate=1e-3, schedule=lambda step: 1.0)
    graphs = []
    learner.network.compile(dynamic=False, backend=lambda graph, inputs: graphs.append(graph) or graph.forward)
    learner._is_compiled = True
    images = torch.rand(2, 1, 6, 8)
    by_channel = images.as_strided(images.shape, (48, 1, 8, 1))
    results = [learner(images), learner(by_channel), learner(images.transpose(2, 3).contiguous().transpose(2, 3))]
    assert len(graphs) == 1
    assert all(torch.equal(result, results[0]) for result in results)


def test_a_fused_optimiser_s_state_serves_a_plain_one_and_back(fabric):
    """A run that began on a GPU goes on on a CPU, and the other way round."""

    def learner(fused):
        torch.manual_seed(0)
        made = Learner(fabric, torch.nn.Linear(2, 1), learning_rate=1e-2, schedule=lambda step: 1.0)
        for group in made._optimiser.param_groups:
            group["fused"] = fused
        return made

    def step(learns):
        fabric.backward(learns(torch.ones(3, 2)).square().sum())
        learns.step()

    for before, after in ((True, None), (None, True)):
        first, second = learner(before), learner(after)
        step(first)
        second.load_state_dict(first.state_dict())
        assert [group["fused"] for group in second._optimiser.param_groups] == [after]
        step(first)
        step(second)
        torch.testing.assert_close(second.network.weight, first.network.weight, atol=1e-4, rtol=1e-2)


def test_terms_that_are_no_numbers_are_an_error():
    with pytest.raises(Exception, match="no longer a finite number"):
        require_finite(float("nan"))
