"""Made-up heads in one slice: MR and CT of the same random anatomy, quick to make and as individual as real ones."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume

SHAPE = (170, 200)


def arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """MR (arbitrary units) and CT (HU), (rows, columns) of 1 mm; no symmetry, folds and air of its own."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(*(np.arange(n) - n / 2 for n in SHAPE), indexing="ij")
    warp = [ndimage.gaussian_filter(rng.normal(size=SHAPE), 18) * 900 for _ in range(2)]
    size = rng.uniform(0.92, 1.05, 2)
    radius = np.hypot((x + warp[0] * 0.4) / (64 * size[0]), (y + warp[1] * 0.4) / (80 * size[1]))
    folds = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.5)
    folds = np.tanh(folds / folds.std())
    air = np.hypot(x - rng.uniform(-15, 15), y - 62) < rng.uniform(7, 11)
    layers = [radius < 0.84, radius < 0.93, radius < 1.0]
    mr = np.select(layers, [110 + 35 * folds, np.full(SHAPE, 12.0), np.full(SHAPE, 190.0)], default=3.0)
    bone = 900 + 250 * np.tanh(ndimage.gaussian_filter(rng.normal(size=SHAPE), 3) * 10)
    ct = np.select(layers, [35 + 4 * folds, bone, np.full(SHAPE, -70.0)], default=-1000.0)
    mr, ct = np.where(air & (radius < 0.84), 3, mr), np.where(air & (radius < 0.84), -950, ct)
    mr = ndimage.gaussian_filter(mr, 0.7) + rng.normal(0, 3, SHAPE)
    return np.abs(mr), ndimage.gaussian_filter(ct, 0.7) + rng.normal(0, 6, SHAPE)


def volumes(mr: np.ndarray, ct: np.ndarray, *, axis: int = 2, spacing_mm: float = 1.0) -> tuple[Volume, Volume]:
    """The arrays as volumes one voxel thick along `axis`, axes towards left, posterior, superior."""
    mr, ct = (np.expand_dims(array, axis).astype(np.float32) for array in (mr, ct))
    grid = Geometry(mr.shape, np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0]))
    return Volume(mr, grid, Quantity.MR), Volume(ct, grid, Quantity.HU)


def moved(ct: np.ndarray, *, shift: tuple[float, float] = (0, 0), degrees: float = 0.0) -> np.ndarray:
    """The CT turned about the middle and shifted; air comes in from outside."""
    turned = ndimage.rotate(ct, degrees, reshape=False, order=1, cval=-1000) if degrees else ct
    return ndimage.shift(turned, shift, order=1, cval=-1000)
