"""One player: its schedule, its steps, and what stops it."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from mr2ct.errors import RecipeError
from mr2ct.training.average import moving_average
from mr2ct.training.learner import Learner, Schedule, update
from mr2ct.training.optimisers import optimiser_of

# --- schedule


def test_warm_up_is_linear_and_ends_at_the_peak():
    schedule = Schedule(total_steps=100, warmup_steps=4, decay="constant")
    assert [schedule(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_is_half_way_down_half_way_along():
    schedule = Schedule(total_steps=110, warmup_steps=10, decay="cosine", final=0.2)
    assert schedule(10) == 1.0
    assert schedule(60) == pytest.approx(0.6)
    assert schedule(110) == pytest.approx(0.2)
    assert schedule(35) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)


def test_linear_decay_begins_where_it_is_told():
    schedule = Schedule(total_steps=100, decay="linear", decay_from=0.5)
    assert [schedule(step) for step in (0, 49, 50, 75, 100)] == [1.0, 1.0, 1.0, 0.5, 0.0]


@given(
    total=st.integers(1, 300),
    warmup=st.integers(0, 400),
    decay=st.sampled_from(["constant", "linear", "cosine"]),
    decay_from=st.floats(0, 1),
    final=st.floats(0, 1),
    step=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_the_share_is_within_0_and_1_and_never_rises_after_warm_up(total, warmup, decay, decay_from, final, step):
    schedule = Schedule(total, warmup, decay, decay_from, final)
    assert 0 <= schedule(step) <= 1
    assert schedule(0) > 0 or final == 0
    if step >= warmup:
        assert schedule(step + 1) <= schedule(step)
        assert schedule(step) >= final - 1e-12


# --- learner


def learner(fabric, **how) -> Learner:
    torch.manual_seed(0)
    settings = {"learning_rate": 0.1, "schedule": Schedule(total_steps=10, decay="linear"), **how}
    return Learner(fabric, nn.Linear(2, 1), **settings)


def test_a_step_is_torchs_adamw_at_the_scheduled_rate(fabric):
    ours = learner(fabric, optimiser=optimiser_of("adamw", betas=(0.8, 0.9), weight_decay=0.1))
    torch.manual_seed(0)
    theirs = nn.Linear(2, 1)
    optimiser = torch.optim.AdamW(theirs.parameters(), lr=0.1, betas=(0.8, 0.9), weight_decay=0.1)
    images = torch.rand(4, 2)
    for step in range(5):
        update(ours(images).square().mean(), [ours])
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 10)
        theirs(images).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    torch.testing.assert_close(ours.network.weight, theirs.weight)
    assert ours.learning_rate == pytest.approx(0.05)


def test_the_gradients_norm_is_clipped(fabric):
    clipped = learner(fabric, clip_norm=0.5)
    seen = []
    clipped._optimiser.optimizer.register_step_pre_hook(
        lambda optimiser, *_: seen.append(nn.utils.get_total_norm([p.grad for p in clipped.network.parameters()]))
    )
    update(1000 * clipped(torch.rand(4, 2)).square().mean(), [clipped])
    assert float(seen[0]) == pytest.approx(0.5, rel=1e-3)


def test_a_frozen_learner_gets_no_gradient_but_passes_it_on(fabric):
    judge = learner(fabric)
    judge.freeze(True)
    image = torch.rand(1, 2, requires_grad=True)
    judge(image).sum().backward()
    assert image.grad is not None
    assert all(p.grad is None for p in judge.network.parameters())
    judge.freeze(False)
    judge(image).sum().backward()
    assert all(p.grad is not None for p in judge.network.parameters())


def test_gradients_are_cleared_by_a_step(fabric):
    ours = learner(fabric)
    update(ours(torch.rand(1, 2)).sum(), [ours])
    assert all(p.grad is None for p in ours.network.parameters())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run_before_a_step(fabric, bad):
    ours = learner(fabric)
    before = ours.network.weight.clone()
    with pytest.raises(RecipeError, match=r"no longer a finite number; got (nan|-?inf); lower optimiser.learning_rate"):
        update(ours(torch.rand(1, 2)).sum() * bad, [ours])
    assert torch.equal(before, ours.network.weight)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_ends_the_run_before_a_step(fabric, bad, clip_norm):
    ours = learner(fabric, clip_norm=clip_norm)
    update(ours(torch.rand(1, 2)).sum(), [ours])
    before = copy.deepcopy(ours.state_dict())
    ours.network.weight.register_hook(lambda gradient: gradient * bad)
    with pytest.raises(RecipeError, match=r"the gradient is no longer a finite number; got (nan|inf); lower"):
        update(ours(torch.rand(1, 2)).sum(), [ours])
    assert torch.equal(before["network"]["weight"], ours.network.weight)
    assert before["schedule"] == ours.state_dict()["schedule"]


def test_float16_passes_over_infinite_gradients_and_goes_on():
    scaled = MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu", init_scale=4.0))
    ours = learner(Fabric(accelerator="cpu", devices=1, plugins=[scaled]), clip_norm=1.0)
    before = ours.network.weight.clone()
    hook = ours.network.weight.register_hook(lambda gradient: gradient * math.inf)
    update(ours(torch.rand(1, 2)).sum(), [ours])
    assert torch.equal(before, ours.network.weight)
    assert float(scaled.scaler.get_scale()) == 2.0
    assert math.isfinite(ours.gradient_norm)
    hook.remove()
    update(ours(torch.rand(1, 2)).sum(), [ours])
    assert not torch.equal(before, ours.network.weight)


def test_no_limit_leaves_the_gradient_as_it_is(fabric):
    free = learner(fabric)
    seen = []
    free._optimiser.optimizer.register_step_pre_hook(lambda *_: seen.append(free.network.weight.grad.clone()))
    images = torch.rand(4, 2)
    (expected,) = torch.autograd.grad(1000 * free(images).square().mean(), [free.network.weight])
    update(1000 * free(images).square().mean(), [free])
    assert torch.equal(seen[0], expected)


def test_the_place_in_the_schedule_survives_and_its_shape_is_the_new_ones(fabric):
    first = learner(fabric)
    for _ in range(4):
        update(first(torch.rand(1, 2)).sum(), [first])
    same, longer = learner(fabric), learner(fabric, schedule=Schedule(total_steps=20, decay="linear"))
    same.load_state_dict(first.state_dict())
    longer.load_state_dict(first.state_dict())
    assert same.learning_rate == first.learning_rate == pytest.approx(0.06)
    assert longer.learning_rate == pytest.approx(0.08)
    update(longer(torch.rand(1, 2)).sum(), [longer])
    assert longer.learning_rate == pytest.approx(0.075)


# --- moving average


def test_the_average_follows_by_its_decay_and_faster_at_first():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = moving_average(network, decay=0.3)
    average.update_parameters(network)
    nn.init.constant_(network.weight, 1.0)
    expected = 0.0
    for n in range(1, 6):
        average.update_parameters(network)
        expected += (1 - min(0.3, (1 + n) / (10 + n))) * (1 - expected)
        assert float(average.module.weight) == pytest.approx(expected, rel=1e-5)


def test_the_average_includes_running_statistics_and_counts():
    network = nn.BatchNorm1d(1)
    average = moving_average(network, decay=0.5)
    for _ in range(3):
        network(torch.rand(8, 1) + 5)
        average.update_parameters(network)
    assert float(average.module.running_mean) > 0.2
    assert int(average.module.num_batches_tracked) == 3
