"""Is this the head of another case under another name? Small pictures of each image, compared two by two.

A fingerprint is the image round the body's centre on coarse pixels, its slow changes taken off, so that brightness,
bias field, noise, shifts and crops change it little, while two heads differ in every fold and sinus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mr2ct.trust.pair_images import Bools, Floats, PairImages

PIXEL_MM = {2: 3.0, 3: 6.0}
PIXELS = {2: 80, 3: 40}

_CT_RANGE_HU = (-200.0, 1000.0)
_SLOW_PIXELS = 4.0
_REACH = 4
_CANDIDATES = 8


@dataclass(frozen=True)
class Fingerprint:
    """Of one pair: band-passed pictures (n, n) or (n, n, n) of MR and CT, each of mean 0 and length 1."""

    mr: Floats
    ct: Floats


@dataclass(frozen=True)
class Likeness:
    """Two cases (by number, the smaller first) and how alike their MR and their CT are: 1 for the same image."""

    one: int
    other: int
    mr: float
    ct: float


def fingerprint(pair: PairImages) -> Fingerprint:
    """The fingerprint of a pair.

    Example
    -------
    >>> fingerprint(pair).mr.shape  # doctest: +SKIP
    (80, 80)
    """
    ranks = np.clip(pair.ct, *_CT_RANGE_HU)
    dark, bright = np.percentile(pair.mr, 2.5), np.percentile(pair.mr[pair.mr_body], 99)
    mr = np.clip(pair.mr, dark, max(float(bright), float(dark) + 1e-6))
    return Fingerprint(_picture(mr, pair.mr_body, pair.spacing_mm), _picture(ranks, pair.mr_body, pair.spacing_mm))


def _picture(image: Floats, body: Bools, spacing_mm: float) -> Floats:
    from scipy import ndimage

    n, size = image.ndim, PIXELS[image.ndim]
    step = PIXEL_MM[n] / spacing_mm
    background = float(image.min())
    smooth = ndimage.gaussian_filter(np.where(body, image, background), step / 2)
    centre = np.argwhere(body).mean(axis=0)
    offset = centre - step * (size - 1) / 2
    coarse = ndimage.affine_transform(
        smooth, np.eye(n) * step, offset=offset, output_shape=(size,) * n, order=1, cval=background
    )
    within = ndimage.affine_transform(
        body.astype(np.float32), np.eye(n) * step, offset=offset, output_shape=(size,) * n, order=1
    )
    fine = _band_passed(coarse.astype(np.float32), within)
    return fine / max(float(np.linalg.norm(fine)), 1e-6)


def _band_passed(image: Floats, within: Floats) -> Floats:
    """The image less its weighted local mean, divided by the local spread, in the body."""
    from scipy import ndimage

    weight = ndimage.gaussian_filter(within, _SLOW_PIXELS) + 1e-3
    fine = (image - ndimage.gaussian_filter(image * within, _SLOW_PIXELS) / weight) * within
    spread = np.sqrt(ndimage.gaussian_filter(fine**2, _SLOW_PIXELS) / weight)
    fine = fine / (spread + 0.1 * max(float(spread.max()), 1e-6)) * within
    return np.asarray(fine - fine.mean(), dtype=np.float32)


def alike(fingerprints: Sequence[Fingerprint], *, at_least: float) -> list[Likeness]:
    """The pairs of cases whose MR or CT are alike, of one plane; each case's nearest eight are looked at closely.

    Parameters
    ----------
    fingerprints : of one shape. at_least : the smallest correlation that is reported.

    Example
    -------
    >>> rng = np.random.default_rng(0); noise = [rng.normal(size=(8, 8)) for _ in range(3)]
    >>> prints = [Fingerprint(n / np.linalg.norm(n), n / np.linalg.norm(n)) for n in noise]
    >>> [(found.one, found.other) for found in alike([*prints, prints[1]], at_least=0.9)]
    [(1, 3)]
    """
    if len(fingerprints) < 2:
        return []
    likeness: dict[tuple[int, int], list[float]] = {}
    for number, images in enumerate(([f.mr for f in fingerprints], [f.ct for f in fingerprints])):
        for one, other in _candidates(images):
            found = likeness.setdefault((one, other), [0.0, 0.0])
            found[number] = _correlation(images[one], images[other])
    return [Likeness(*pair, *values) for pair, values in sorted(likeness.items()) if max(values) >= at_least]


def _candidates(images: Sequence[Floats]) -> list[tuple[int, int]]:
    """For each image the most similar ones without any shift, after some blur that forgives a small one."""
    from scipy import ndimage

    rows = np.stack([ndimage.gaussian_filter(image, 1.0).ravel() for image in images])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    similar = rows @ rows.T
    np.fill_diagonal(similar, -2)
    nearest = np.argsort(-similar, axis=1)[:, : min(_CANDIDATES, len(images) - 1)]
    return sorted({(min(i, int(j)), max(i, int(j))) for i, row in enumerate(nearest) for j in row})


def _correlation(one: Floats, other: Floats) -> float:
    """The largest correlation over shifts of a few pixels."""
    from scipy import fft

    size = [n + _REACH for n in one.shape]
    surface = fft.irfftn(np.conj(fft.rfftn(one, size)) * fft.rfftn(other, size), size)
    near = np.ix_(*([*range(_REACH + 1), *range(-_REACH, 0)] for _ in size))
    return float(surface[near].max())
