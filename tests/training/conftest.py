"""Stores of tiny heads, small recipes, and states compared bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from mr2ct.datasets.store import CaseInfo, CaseStore, create_store, write_case
from mr2ct.preprocessing.pipeline import default_pipeline

VOLUME = (40, 44, 36)


def tiny_head(seed: int, shape: tuple[int, int, int] = VOLUME) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MR (network units), CT (HU) and mask of a random ellipsoid with a bony shell that is dark in MR."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    radius = np.sqrt(sum((axis * rng.uniform(1.05, 1.25)) ** 2 for axis in axes))
    layers = [radius < 0.7, radius < 0.85, radius < 1.0]
    mr = np.select(layers, [0.6 + 0.1 * axes[0], 0.05, 0.9], default=0.0)
    ct = np.select(layers, [40 + 20 * axes[1], 1200, -90], default=-1000)
    return mr.astype(np.float32), ct.astype(np.int16), (radius < 1.0).astype(np.uint8)


def write_heads(
    root: Path, names: list[str], *, shape: tuple[int, int, int] = VOLUME, source: str = "real", has: str = "mr ct"
) -> Path:
    """A store of one head a name, of which the patient is named alike; `has` chooses the images."""
    create_store(root, settings={"pipeline": default_pipeline().to_record()})
    for number, name in enumerate(names):
        mr, ct, mask = tiny_head(number, shape)
        info = CaseInfo(name, name.split("-")[0], "AB"[number % 2], source, shape, np.eye(4).tolist(), {})
        write_case(root, info=info, mr=mr if "mr" in has else None, ct=ct if "ct" in has else None, mask=mask)
    return root


@pytest.fixture(name="write_heads", scope="session")
def _write_heads() -> Callable[..., Path]:
    return write_heads


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store of six real patients, two of them in single slices, and one of two phantoms."""
    folder = tmp_path_factory.mktemp("stores")
    real = write_heads(folder / "real", ["p1", "p2", "p3", "p4"])
    write_heads(real, ["p5-axial", "p6-axial"], shape=(40, 44, 1))
    return {"real": real, "phantom": write_heads(folder / "phantom", ["f1", "f2"], source="phantom")}


@pytest.fixture
def heads(stores: dict[str, Path]) -> tuple[Any, ...]:
    """The cases of the store of real patients."""
    return CaseStore.open(stores["real"]).cases


@pytest.fixture
def small_recipe(stores: dict[str, Path]) -> Callable[..., dict[str, Any]]:
    """The content of a recipe that trains in a second; sections given as keywords are merged into it."""

    def make(method: str = "supervised", **sections: dict[str, Any]) -> dict[str, Any]:
        judge = {"discriminator": {"name": "patchgan", "arguments": {"width": 2, "levels": 2}}}
        content: dict[str, Any] = {
            "name": "small",
            "seed": 3,
            "method": {"name": method, **({} if method == "supervised" else judge)},
            "network": {"name": "attention_unet", "arguments": {"widths": [2, 4], "dropout": 0.2}},
            "data": {
                "stores": [{"path": str(stores["real"])}],
                "validation_patients": 1,
                "test_patients": 1,
                "size": [24, 24],
                "batch_size": 2,
            },
            "optimiser": {"warmup_steps": 2, "ema_decay": 0.7},
            "run": {"max_steps": 6, "validate_every": 3, "validation_cases": 2, "precision": "32-true"},
        }
        for section, changes in sections.items():
            content[section] = {**content.get(section, {}), **changes} if isinstance(changes, dict) else changes
        return content

    return make


@pytest.fixture
def fabric() -> Fabric:
    """One process on the CPU in float32."""
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def leaves(state: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and number of a nested state with its place."""
    children = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else ()
    if not isinstance(state, dict | list | tuple):
        yield path, state
    for key, value in children:
        yield from leaves(value, f"{path}.{key}")


@pytest.fixture
def differences() -> Callable[[Any, Any], list[str]]:
    """The places where two states are not the same bit for bit."""

    def same(one: Any, other: Any) -> bool:
        return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other

    def compare(one: Any, other: Any) -> list[str]:
        first, second = dict(leaves(one)), dict(leaves(other))
        shared = first.keys() & second.keys()
        return sorted(first.keys() ^ second.keys()) + [p for p in sorted(shared) if not same(first[p], second[p])]

    return compare
