"""Smooth random fields: what makes no two phantoms alike."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from mr2ct.phantom.shapes import Field


def stretch(field: Field, shape: tuple[int, ...], steps: tuple[float, ...]) -> Field:
    """Linear interpolation onto a finer grid: output voxel n reads the input at n * step along each axis.

    Positions past the last input voxel take its value.

    Example
    -------
    >>> stretch(np.float32([[[0.0, 2.0]]]), (1, 1, 3), (1, 1, 0.5)).tolist()
    [[[0.0, 1.0, 2.0]]]
    """
    for axis, (count, step) in enumerate(zip(shape, steps, strict=True)):
        last = field.shape[axis] - 1
        position = np.minimum(np.arange(count) * step, last)
        lower = np.minimum(position.astype(np.intp), max(last - 1, 0))
        weight = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        start = np.take(field, lower, axis=axis)
        field = start + weight * (np.take(field, np.minimum(lower + 1, last), axis=axis) - start)
    return np.ascontiguousarray(field, dtype=np.float32)


def smooth_noise(shape: tuple[int, int, int], spacing_mm: float, *, feature_mm: float, generator: Generator) -> Field:
    """Gaussian random field, mean 0, standard deviation 1, whose blobs are about `feature_mm` across.

    Drawn on a grid as coarse as the features allow, smoothed there, and stretched to `shape`.
    """
    sigma_mm = feature_mm / 4
    step = max(1.0, sigma_mm / 2 / spacing_mm)
    coarse = tuple(int(np.ceil((n - 1) / step)) + 2 for n in shape)
    white = generator.standard_normal(coarse, dtype=np.float32)
    sigma = sigma_mm / (step * spacing_mm)
    field = gaussian_filter(white, sigma, mode="wrap", truncate=3.0)
    field *= np.float32((2 * np.sqrt(np.pi) * sigma) ** 1.5) if sigma > 0.6 else np.float32(1 / max(field.std(), 1e-6))
    return stretch(field, shape, (1 / step,) * 3)
