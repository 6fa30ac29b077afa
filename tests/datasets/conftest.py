"""Tiny data sets on disk: an ellipsoid of a head with a bony shell, in the layouts that people have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mr2ct.datasets.store import CaseInfo
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.volume import Quantity, Volume

SHAPE = (14, 16, 12)
AFFINE = np.diag([-2.0, -2.0, 2.0, 1.0])


def tiny_head(seed: int = 0) -> tuple[Volume, Volume, Volume]:
    """MR, CT and mask of one random head, 2 mm voxels, axes towards left, posterior, superior."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes)) * rng.uniform(0.95, 1.05)
    geometry = Geometry(SHAPE, AFFINE)
    mr = np.select([radius < 0.6, radius < 0.75, radius < 0.9], [300.0, 30.0, 500.0], default=0.0)
    ct = np.select([radius < 0.6, radius < 0.75, radius < 0.9], [40, 1200, -90], default=-1000)
    mr = mr + rng.uniform(0, 20, SHAPE)
    return (
        Volume(mr.astype(np.float32), geometry, Quantity.MR),
        Volume(ct.astype(np.int16), geometry, Quantity.HU),
        Volume((radius < 0.9).astype(np.uint8), geometry, Quantity.MASK),
    )


@pytest.fixture
def write_synthrad(tmp_path: Path) -> Callable[..., Path]:
    """Write a SynthRAD folder of the named cases and return it; `suffix` and `mask` may be chosen."""

    def write(*cases: str, root: str = "data", suffix: str = ".nii.gz", mask: bool = True) -> Path:
        folder = tmp_path / root
        for number, case in enumerate(cases):
            for name, volume in zip(("mr", "ct", "mask"), tiny_head(number), strict=True):
                if mask or name != "mask":
                    write_volume(volume, folder / case / f"{name}{suffix}")
        return folder

    return write


@pytest.fixture
def tiny_info() -> Callable[..., CaseInfo]:
    """Make a CaseInfo of a 2 x 3 x 4 case with chosen fields."""

    def make(case: str = "c1", **fields: object) -> CaseInfo:
        defaults: dict = {"patient": case, "centre": "A", "source": "real", "shape": (2, 3, 4)}
        return CaseInfo(case, **{**defaults, "affine": np.eye(4).tolist(), "record": {"steps": []}, **fields})

    return make
