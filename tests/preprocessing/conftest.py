"""A head in outline: skin, dark skull, brain, a dark sinus; bright enough to tell whether a mask is whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume

# a busy machine is no failure
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def _head(*, spacing_mm: float = 2.0, noise: float = 0.0, seed: int = 0) -> tuple[Volume, np.ndarray]:
    """An MR of about 180 x 200 x 190 mm, and its true outline (boolean)."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(mm / spacing_mm) for mm in (180, 216, 200))
    x, y, z = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * spacing_mm for n in shape), indexing="ij")

    def ellipsoid(grown_mm: float) -> np.ndarray:
        return (x / (70 + grown_mm)) ** 2 + (y / (88 + grown_mm)) ** 2 + (z / (80 + grown_mm)) ** 2 < 1

    voxels = np.zeros(shape)
    voxels[ellipsoid(0)] = 180
    voxels[ellipsoid(-6)] = 8
    voxels[ellipsoid(-14)] = 120
    voxels[x**2 + (y - 55) ** 2 + (z + 20) ** 2 < 15**2] = 3
    sigma = noise * 180
    voxels = np.hypot(voxels + rng.normal(0, sigma, shape), rng.normal(0, sigma, shape)) if noise else voxels
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    return Volume(voxels.astype(np.float32), Geometry(shape, affine), Quantity.MR), ellipsoid(0)


@pytest.fixture
def head() -> Callable[..., tuple[Volume, np.ndarray]]:
    """Called with `spacing_mm`, `noise` (part of the brightest tissue) and `seed`: MR and true outline."""
    return _head
