"""A run starts on the devices that its recipe names, or says in one line why it cannot."""

from __future__ import annotations

import pytest
import torch

from mr2ct.errors import RecipeError
from mr2ct.training.recipe import parse_recipe
from mr2ct.training.run import run


@pytest.mark.parametrize(
    ("there", "asked", "said"),
    [
        (0, {"accelerator": "cuda"}, r"got run.accelerator=cuda, run.devices=1 .*expected a GPU.*run.accelerator=cpu"),
        (1, {"accelerator": "cuda", "devices": 2}, r"run.devices=2 .*expected run.devices of at most 1.*run.devices=1"),
        (1, {"devices": 3}, r"run.accelerator=auto, run.devices=3 .*expected run.devices of at most 1.*run.devices=1"),
    ],
    ids=["no GPU", "too few GPUs", "too few GPUs, any accelerator"],
)
def test_devices_that_are_not_there_are_an_error_of_the_recipe(small_recipe, tmp_path, monkeypatch, there, asked, said):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(RecipeError, match=said) as caught:
        run(parse_recipe(small_recipe(run=asked)), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_processes_that_cannot_start_are_too(small_recipe, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("the address is\n in use")

    monkeypatch.setattr("mr2ct.training.run.Fabric.launch", fails)
    recipe = parse_recipe(small_recipe(run={"accelerator": "cpu"}))
    with pytest.raises(RecipeError, match=r"run.accelerator=cpu.*the address is in use.*set run.devices=1"):
        run(recipe, tmp_path / "run")
