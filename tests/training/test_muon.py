"""Muon against torch's own, and AdamW for what is no matrix; a recipe's name leads to each."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mr2ct.training.muon import MATRIX_RATE, Muon, is_matrix, orthogonalised
from mr2ct.training.optimisers import OPTIMISERS, optimiser_of

RATE = 0.02


def stepped(optimiser: torch.optim.Optimizer, layer: nn.Module, *, steps: int = 4) -> nn.Module:
    torch.manual_seed(1)
    for _ in range(steps):
        layer(torch.rand(8, 3, 5, 5)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    return layer


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 24, 3), nn.BatchNorm2d(24), nn.Conv2d(24, 1, 1))


@given(rows=st.integers(2, 40), columns=st.integers(2, 40), scale=st.floats(1e-4, 1e4), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_singular_values_become_about_one_and_the_directions_stay(rows, columns, scale, seed):
    matrix = scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonalised(matrix).float() @ right.T
    strong = values > 0.05 * values[0]
    assert ((found.diag()[strong] > 0.4) & (found.diag()[strong] < 1.4)).all()
    assert found.fill_diagonal_(0).abs().max() < 0.15


@pytest.mark.parametrize(("has", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_it_multiplies_in_bfloat16_only_where_the_device_does(monkeypatch, has, dtype):
    monkeypatch.setattr("mr2ct.training.muon.has_bfloat16", lambda device: has and device == "cpu")
    assert orthogonalised(torch.eye(4)).dtype == dtype


def test_a_matrix_moves_as_with_torchs_muon():
    theirs = getattr(torch.optim, "Muon", None)
    if theirs is None:
        pytest.skip("this torch has no Muon")
    torch.manual_seed(0)
    ours, other = nn.Linear(48, 32, bias=False), nn.Linear(48, 32, bias=False)
    other.load_state_dict(ours.state_dict())
    began = ours.weight.detach().clone()
    one = Muon(ours.parameters(), lr=RATE / MATRIX_RATE, weight_decay=0.1)
    two = theirs(other.parameters(), lr=RATE, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for step in range(5):
        images = torch.randn(96, 48, generator=torch.Generator().manual_seed(step))
        for layer, optimiser in ((ours, one), (other, two)):
            layer(images).square().mean().backward()
            optimiser.step()
            optimiser.zero_grad()
    apart, moved = (torch.linalg.norm(other.weight - weight) for weight in (ours.weight, began))
    assert apart < 0.03 * moved  # bfloat16 inside


def test_what_is_no_matrix_moves_as_with_adamw():
    ours, other = network(), network()
    assert [is_matrix(p) for p in ours.parameters()] == [True, False, False, False, False, False]
    for layer in (ours, other):
        layer[0].requires_grad_(False)
    how = {"lr": RATE, "betas": (0.8, 0.9), "weight_decay": 0.1}
    stepped(Muon(ours.parameters(), **how), ours)
    stepped(torch.optim.AdamW(other.parameters(), **how), other)
    torch.testing.assert_close(ours.state_dict(), other.state_dict())


def test_a_kernel_moves_as_the_matrix_of_its_outputs_by_all_else():
    gradient = torch.randn(16, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel, matrix = (nn.Parameter(torch.ones(shape)) for shape in (gradient.shape, (16, 36)))
    kernel.grad, matrix.grad = gradient.clone(), gradient.reshape(16, 36).clone()
    Muon([kernel], lr=RATE).step()
    Muon([matrix], lr=RATE).step()
    torch.testing.assert_close(kernel.reshape(16, 36), matrix)
    reach = (kernel.detach() - 1).square().mean().sqrt()
    assert reach == pytest.approx(0.2 * RATE * MATRIX_RATE, rel=0.35)  # as far as AdamW's numbers, times the rate


def test_its_state_goes_on_where_it_was():
    torch.manual_seed(2)
    whole, halves = network(), network()
    unbroken = Muon(whole.parameters(), lr=RATE)
    stepped(unbroken, whole, steps=2)
    first = Muon(halves.parameters(), lr=RATE)
    stepped(first, halves, steps=2)
    resumed = Muon(halves.parameters(), lr=RATE)
    resumed.load_state_dict(deepcopy(first.state_dict()))
    stepped(resumed, halves)
    stepped(unbroken, whole)
    torch.testing.assert_close(whole.state_dict(), halves.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_recipes_name_makes_the_optimiser_with_its_values(name):
    made = optimiser_of(name, betas=(0.7, 0.8), weight_decay=0.3)(network().parameters(), lr=0.5)
    assert isinstance(made, OPTIMISERS[name])
    for group in made.param_groups:
        assert (group["betas"], group["weight_decay"], group["lr"]) == ((0.7, 0.8), 0.3, 0.5)
