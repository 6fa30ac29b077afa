"""Analytic stand-ins for a network, and a head-like MR on a straight grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mr2ct.bundles import BundleDescription
from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume


class FakeEngine:
    """Applies a function to arrays; remembers the shapes it saw."""

    words = "fake"

    def __init__(self, function, batch_size=3):
        self.function, self.batch_size, self.seen = function, batch_size, []

    def __call__(self, inputs):
        self.seen.append(inputs.shape)
        return self.function(inputs)


class Linear(torch.nn.Module):
    """Network units are `gain` times the middle channel plus `offset`."""

    def __init__(self, gain=0.4, offset=-0.5):
        super().__init__()
        self.gain, self.offset = gain, offset

    def forward(self, mr):
        middle = mr.shape[1] // 2
        return self.gain * mr[:, middle : middle + 1] + self.offset


@pytest.fixture(scope="session")
def fake_engine():
    return FakeEngine


@pytest.fixture
def linear_network():
    return Linear


@pytest.fixture
def describe():
    """Descriptions of a model; keywords change single keys."""

    def make(*, steps=None, **changes):
        if steps is None:
            steps = [{"name": name} for name in ("to_canonical", "to_spacing", "body_mask", "percentile_scaling")]
        known = {
            "format_version": 1,
            "name": "analytic",
            "method": "supervised",
            "network": {"name": "attention_unet", "arguments": {}},
            "preprocessing": {"format_version": 1, "steps": [{"arguments": {}} | step for step in steps]},
            "hu_range": (-1024, 3071),
            "spacing_mm": (1, 1, 1),
            "planes": ("axial", "coronal", "sagittal"),
            "context_slices": 1,
            "training_data": "none",
            "licence": "MIT",
            "metrics": {},
        }
        return BundleDescription(**known | changes)

    return make


def ball(shape, affine, *, seed=1):
    """A bright, smoothly shaded ellipsoid in dim noise."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    inside = sum(grid**2 for grid in grids) < 0.45
    voxels = np.where(inside, 300 + 120 * grids[0] + 60 * grids[1] * grids[2], 0) + rng.uniform(0, 6, shape)
    return Volume(voxels.astype(np.float32), Geometry(shape, affine), Quantity.MR)


@pytest.fixture
def make_mr():
    return ball
