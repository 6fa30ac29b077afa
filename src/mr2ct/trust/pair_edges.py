"""Do edges in the MR and edges in the CT lie in one place and run one way? The similarity that an audit measures by.

Normalised gradient fields (Haber and Modersitzki, MICCAI 2006): the squared cosine between the two images' gradients,
each shortened by its noise. MR and CT of one head share the skin and both tables of the skull, whatever their contrast.
The squared cosine is a sum of products, so all shifts at once are a few Fourier transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.preprocessing.morphology import dilated
from mr2ct.trust.pair_images import Bools, Floats, PairImages

RIM_MM = 8.0
CT_EDGE_HU = 60.0
"""A change of HU from pixel to pixel that counts half as an edge; the brain's noise lies below, skin and bone above."""

_MR_EDGE = 0.06
_CT_RANGE_HU = (-1000.0, 1000.0)
_SMOOTHING_PIXELS = 1.0


@dataclass(frozen=True)
class EdgeTensors:
    """For each pair of axes (a, b), the product of the gradient's components along them, of either image.

    Parameters
    ----------
    pairs : (0, 0), (0, 1), ... in two or three dimensions. mr, ct : one array for each of them.
    energy : (the MR's shape) the trace of its tensor, 0 to 1: how much of an edge there is.
    """

    pairs: tuple[tuple[int, int], ...]
    mr: tuple[Floats, ...]
    ct: tuple[Floats, ...]
    energy: Floats

    def weight(self, number: int) -> float:
        """How often the product counts in the squared cosine: mixed ones twice."""
        return 1.0 if self.pairs[number][0] == self.pairs[number][1] else 2.0

    def agreement(self) -> float:
        """The squared cosine, averaged over the MR's edges as the images lie: 0 to 1; heads have 0.2 to 0.45."""
        total = sum(
            self.weight(n) * float((m * c).sum()) for n, (m, c) in enumerate(zip(self.mr, self.ct, strict=True))
        )
        return total / max(float(self.energy.sum()), 1e-6)


def edge_tensors(pair: PairImages) -> EdgeTensors:
    """The edges of a pair; the MR's count within 8 mm of its body alone.

    Example
    -------
    >>> edge_tensors(pair).agreement()  # doctest: +SKIP
    0.34
    """
    spacing = (pair.spacing_mm,) * 3
    near = dilated(np.atleast_3d(pair.mr_body), spacing, RIM_MM).reshape(pair.mr.shape)
    dark, bright = np.percentile(pair.mr, 2.5), np.percentile(pair.mr[pair.mr_body], 97.5)
    noise = max(_MR_EDGE * float(bright - dark), 1e-6)
    pairs = tuple(combinations_with_replacement(range(pair.mr.ndim), 2))
    of_mr = _products(pair.mr, noise, pairs, near)
    of_ct = _products(np.clip(pair.ct, *_CT_RANGE_HU), CT_EDGE_HU * pair.spacing_mm, pairs, None)
    energy = np.asarray(sum(array for (a, b), array in zip(pairs, of_mr, strict=True) if a == b), dtype=np.float32)
    return EdgeTensors(pairs, of_mr, of_ct, energy)


def _products(
    image: Floats, noise: float, pairs: Sequence[tuple[int, int]], within: Bools | None
) -> tuple[Floats, ...]:
    from scipy import ndimage

    axes = range(image.ndim)
    gradient = [
        ndimage.gaussian_filter(image, _SMOOTHING_PIXELS, order=[int(axis == other) for other in axes]) for axis in axes
    ]
    length = np.sqrt(sum(g**2 for g in gradient) + noise**2)
    unit = [g / length if within is None else g / length * within for g in gradient]
    return tuple((unit[a] * unit[b]).astype(np.float32) for a, b in pairs)


def agreement_by_shift(
    mr: Sequence[Floats], ct: Sequence[Floats], weights: Sequence[float], *, reach: int
) -> NDArray[np.float32]:
    """The summed squared cosine for every shift of up to `reach` pixels along each axis.

    Parameters
    ----------
    mr : one array for each pair of axes. ct : the same, larger by `reach` at every side. weights : of each product.

    Returns
    -------
    (2 reach + 1, ...): entry `s + reach` is for a CT whose anatomy lies `s` pixels further along than the MR's.

    Example
    -------
    >>> edge = np.zeros(5); edge[2] = 1; found = np.zeros(9); found[5] = 1
    >>> agreement_by_shift([edge], [found], [1.0], reach=2).round(3).tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0]
    """
    from scipy import fft

    size = [fft.next_fast_len(int(n), real=True) for n in ct[0].shape]
    summed: Any = sum(
        w * np.conj(fft.rfftn(m, size)) * fft.rfftn(c, size) for m, c, w in zip(mr, ct, weights, strict=True)
    )
    return np.asarray(fft.irfftn(summed, size)[(slice(0, 2 * reach + 1),) * mr[0].ndim], dtype=np.float32)


def peak(surface: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """The shift (in pixels, from the middle) at which the surface is highest, between pixels by a parabola; the height.

    Example
    -------
    >>> peak(np.array([0.0, 1.0, 3.0, 3.0, 1.0], dtype=np.float32))[0].round(2).tolist()
    [0.5]
    """
    top = np.unravel_index(int(surface.argmax()), surface.shape)
    shift = []
    for axis, n in enumerate(surface.shape):
        at = float(top[axis])
        if 0 < top[axis] < n - 1:
            before, here, after = (float(np.take(surface[_line(top, axis)], top[axis] + d)) for d in (-1, 0, 1))
            bend = before - 2 * here + after
            at += 0.5 * (before - after) / bend if bend < 0 else 0.0
        shift.append(at - (n - 1) / 2)
    return np.array(shift), float(surface[top])


def _line(top: Sequence[np.intp], axis: int) -> tuple[slice | np.intp, ...]:
    return tuple(slice(None) if other == axis else at for other, at in enumerate(top))
