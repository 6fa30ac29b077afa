"""Structural similarity of an sCT and its CT inside a mask, voxel for voxel as the SynthRAD2023 challenge counts it.

Each voxel's similarity is that of the 7 x 7 x 7 windows around it (Wang et al. 2004, doi:10.1109/TIP.2003.819861, with
a flat window and sample covariance). Only windows that lie wholly in the image count, so nothing depends on what is
assumed beyond its border. Planes go through one at a time: no array of the volume's size is made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.evaluation.image_metrics import voxels_to_compare

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

WINDOW = 7
"""Voxels along each side of the window; a window's centre is at least 3 voxels from the image's border."""

_K1, _K2 = 0.01, 0.03


def ssim(
    sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], *, lowest_hu: float, highest_hu: float
) -> float:
    """Mean structural similarity in the mask, -1 to 1, as SynthRAD2023 computes it.

    Both images (i, j, k) are clipped to [lowest_hu, highest_hu], set to lowest_hu outside the mask and shifted to start
    at 0; the mean is taken over voxels of the mask that are 3 voxels or more from the border.

    An image with *one* axis of fewer than 7 voxels (a single slice) cannot hold the published window: its slices across
    that axis are compared in 7 x 7 windows, and the mean runs over all of them. With two such axes, or no voxel of
    the mask away from the border, the value is NaN.

    Raises
    ------
    GeometryError : different shapes, or not three axes. DataSetError : an empty mask.

    Example
    -------
    >>> ct_hu = np.arange(512.0).reshape(8, 8, 8)
    >>> round(ssim(ct_hu, ct_hu, np.ones((8, 8, 8)), lowest_hu=-1024, highest_hu=3000), 9)
    1.0
    """
    sct_hu, ct_hu, mask = in_memory_order(sct_hu, ct_hu, mask)
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    sct, ct = (above_lowest_hu(hu, inside, lowest_hu, highest_hu) for hu in (sct_hu, ct_hu))
    thin = thin_axes(inside.shape)
    if len(thin) > 1:
        return float("nan")
    if thin:
        sct, ct = (np.moveaxis(image, thin[0], 0) for image in (sct, ct))
        inside = np.moveaxis(inside, thin[0], 0)
    return mean_similarity(sct, ct, inside, data_range=highest_hu - lowest_hu, flat=bool(thin))


def thin_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes too short for the window.

    Example
    -------
    >>> thin_axes((200, 1, 180))
    (1,)
    """
    return tuple(axis for axis, n in enumerate(shape) if n < WINDOW)


def in_memory_order(
    sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The three arrays with all axes reversed where the sCT's first axis is the fastest in memory (as NIfTI reads).

    SSIM does not depend on the order of the axes; how fast planes are walked through does.

    Example
    -------
    >>> in_memory_order(*(np.zeros((2, 3, 4), order="F"),) * 3)[0].shape
    (4, 3, 2)
    """
    if sct_hu.flags.f_contiguous and not sct_hu.flags.c_contiguous:
        return sct_hu.T, ct_hu.T, mask.T
    return sct_hu, ct_hu, mask


def above_lowest_hu(hu: NDArray[Any], inside: Bool, lowest_hu: float, highest_hu: float) -> Float64:
    """HU above `lowest_hu`, clipped at `highest_hu` and 0 outside the mask; float64, of the shape given.

    Example
    -------
    >>> above_lowest_hu(np.array([-2000, 0, 5000]), np.array([True, True, False]), -1024, 3000).tolist()
    [0.0, 1024.0, 0.0]
    """
    above = hu.astype(np.float64, order="C")
    np.clip(above, lowest_hu, highest_hu, out=above)
    above -= lowest_hu
    above[~inside] = 0
    return above


def mean_similarity(
    one: Float64, other: Float64, mask: Bool, *, data_range: float, flat: bool = False, power: float | None = None
) -> float:
    """Mean SSIM over the mask's voxels whose window fits into the image; NaN where there is none.

    Parameters
    ----------
    one, other, mask : one shape (a, b, c); the images not negative, in the unit of `data_range`.
    flat : windows of 1 x 7 x 7 in place of 7 x 7 x 7.
    power : where given, the mean is that of max(SSIM, 0) to this power, which multi-scale SSIM asks for.

    Example
    -------
    >>> image = np.random.default_rng(0).random((8, 9, 10))
    >>> mean_similarity(image, image, np.ones((8, 9, 10), dtype=bool), data_range=1.0)
    1.0
    """
    windows = tuple(1 if flat and axis == 0 else WINDOW for axis in range(3))
    centres = mask[tuple(slice(w // 2, n - w // 2) for w, n in zip(windows, mask.shape, strict=True))]
    box = _bounding_box(centres)
    if box is None:
        return float("nan")
    reach = tuple(slice(side.start, side.stop + w - 1) for side, w in zip(box, windows, strict=True))
    total, count = 0.0, 0
    for sums, counted in zip(_window_sums(one[reach], other[reach], windows[0]), centres[box], strict=True):
        similarity = _similarity(sums, windows[0] * WINDOW * WINDOW, data_range)[counted]
        if power is not None:
            similarity = np.maximum(similarity, 0) ** power
        total += float(similarity.sum())
        count += similarity.size
    return total / count


def _bounding_box(mask: Bool) -> tuple[slice, slice, slice] | None:
    if not mask.any():
        return None
    box = []
    for axis in range(3):
        along = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(along[0]), int(along[-1]) + 1))
    return (box[0], box[1], box[2])


def _window_sums(one: Float64, other: Float64, depth: int) -> Iterator[Float64]:
    """For each plane of window centres, (4, b, c): the sums of x, y, x^2 + y^2 and xy over each window."""
    shape = (4, depth, one.shape[1] - WINDOW + 1, one.shape[2] - WINDOW + 1)
    latest = np.empty(shape)
    for number, (x, y) in enumerate(zip(one, other, strict=True)):
        for term, plane in enumerate((x, y, x * x + y * y, x * y)):
            latest[term, number % depth] = _sums_of_seven(_sums_of_seven(plane).T).T
        if number >= depth - 1:
            # the order of the planes in the ring does not matter to their sum
            yield latest.sum(axis=1)


def _sums_of_seven(plane: Float64) -> Float64:
    """(n - 6, m): each seven neighbouring rows added up, with four additions in place of six."""
    two = plane[:-1] + plane[1:]
    four = two[:-2] + two[2:]
    four = four[:-3]
    four += two[4:-1]
    four += plane[6:]
    return four


def _similarity(sums: Float64, n_window: int, data_range: float) -> Float64:
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    x, y, squares, products = sums
    x, y = x / n_window, y / n_window
    means, powers = x * y, x * x + y * y
    covariance = (products - n_window * means) / (n_window - 1)
    variances = (squares - n_window * powers) / (n_window - 1)
    return np.asarray((2 * means + c1) * (2 * covariance + c2) / ((powers + c1) * (variances + c2)))
