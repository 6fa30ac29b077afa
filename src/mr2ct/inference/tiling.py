"""A volume through a network of patches: overlapping windows, blended with Gaussian weights so that no seam shows.

The scheme of nnU-Net (Isensee 2021, doi:10.1038/s41592-020-01008-z) and of MONAI's `sliding_window_inference`, on
arrays, so that any engine can run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.inference.engine import Engine
from mr2ct.inference.planes import AIR, OnProgress

_SIGMA_PER_SIZE = 0.125
_SMALLEST_WEIGHT = 1e-3


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows of `window` voxels begin so that `length` voxels are all covered, overlapping by a share at least.

    The last window ends with the volume. One window, beginning at 0, where the volume is shorter.

    Example
    -------
    >>> window_starts(10, 4, 0.5)
    [0, 2, 4, 6]
    """
    if not 0 <= overlap < 1:
        raise InputError("impossible overlap", got=overlap, expected="a share from 0 to below 1")
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    return [*range(0, length - window, step), length - window]


def gaussian_weights(size: Sequence[int]) -> NDArray[np.float32]:
    """Weights of a window of `size` voxels: largest in the middle, never below 0.001; sigma is an eighth of each side.

    Example
    -------
    >>> gaussian_weights((3, 3, 3))[1, 1, 1].item()
    1.0
    """
    weights = np.ones(tuple(size))
    for axis, n in enumerate(size):
        offset = np.arange(n) - (n - 1) / 2
        along = np.exp(-0.5 * (offset / (_SIGMA_PER_SIZE * n)) ** 2)
        weights *= along.reshape([-1 if a == axis else 1 for a in range(len(size))])
    return np.maximum(weights, _SMALLEST_WEIGHT).astype(np.float32)


def sliding_window(
    engine: Engine,
    mr: NDArray[Any],
    inside: NDArray[Any],
    *,
    patch_size: tuple[int, int, int],
    overlap: float = 0.5,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float32]:
    """The network's answer over the whole volume, blended from overlapping windows.

    Parameters
    ----------
    mr : (i, j, k) network units; background is put around it where it is smaller than a window.
    inside : (i, j, k); windows where it is all zero are not run, and what no window covers becomes air.
    overlap : share of a window's side that neighbours have in common, at least.

    Returns
    -------
    (i, j, k) float32 in network units.

    Example
    -------
    >>> sliding_window(engine, mr, mask, patch_size=(64, 64, 64)).shape  # doctest: +SKIP
    (170, 240, 260)
    """
    shape = tuple(max(n, p) for n, p in zip(mr.shape, patch_size, strict=True))
    lacking = [(0, n - have) for n, have in zip(shape, mr.shape, strict=True)]
    padded, wanted = np.pad(mr, lacking), np.pad(inside, lacking)
    windows = [window for window in _windows(shape, patch_size, overlap) if wanted[window].any()]
    weights, total, weight = gaussian_weights(patch_size), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for done, window in enumerate(windows, start=1):
        total[window] += weights * engine(padded[window][None, None].astype(np.float32))[0, 0]
        weight[window] += weights
        if on_progress is not None:
            on_progress(done / len(windows))
    covered = weight > 0
    np.divide(total, weight, out=total, where=covered)
    total[~covered] = AIR
    return total[tuple(slice(0, n) for n in mr.shape)]


def _windows(shape: Sequence[int], patch_size: Sequence[int], overlap: float) -> list[tuple[slice, ...]]:
    along = [window_starts(n, size, overlap) for n, size in zip(shape, patch_size, strict=True)]
    return [tuple(slice(a, a + n) for a, n in zip(start, patch_size, strict=True)) for start in product(*along)]
