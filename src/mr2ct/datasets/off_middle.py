"""Slices far from the middle of a head, made from middle ones: where a cut grazes the skull, bone looks thick and wide.

Data sets of middle slices never show a network how the skull looks near the vertex, the forehead or the temples. A head
is nearly a set of nested ellipsoids: a plane at a share `height` of the half-axis above the middle meets, at radius r,
the tissue that the middle plane shows at radius sqrt(r² + height²) (all radii in units of the half-axes). Moving MR, CT
and mask by that rule gives a pair with real tissue and the geometry of a grazing cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch.nn import functional as F

from mr2ct.errors import DataSetError
from mr2ct.geometry import PLANE_AXIS

VAULT_DEPTH_MM = 88.0
"""From the vertex down to the middle of the brain's vault, where coronal and sagittal slices have their centre."""

_UPPER_MM = 120.0
_HEIGHTS = (0.3, 0.7, 0.97)
_JITTER_MM = 6.0
FEWEST_MM2 = 800
"""A moved mask of a smaller area hardly meets the head: the slice is left as it is."""

_AXIAL = PLANE_AXIS["axial"]


@dataclass(frozen=True)
class Vault:
    """The ellipse of a head in one slice, in voxels along the slice's two axes: its centre and its half-axes.

    `spacing_mm` is the distance between the voxels along the two axes.
    """

    centre: tuple[float, float]
    half_axes: tuple[float, float]
    spacing_mm: tuple[float, ...] = (1.0, 1.0)


def find_vault(mask: NDArray[Any], *, upright: bool, spacing_mm: Sequence[float] = (1.0, 1.0)) -> Vault:
    """The vault's ellipse in a body mask (rows, columns).

    Parameters
    ----------
    mask : non-zero inside. upright : the second axis runs from feet to head (coronal and sagittal slices).
    spacing_mm : along rows and columns.

    Raises
    ------
    DataSetError : an empty mask.

    Example
    -------
    >>> find_vault(np.ones((101, 201)), upright=False).half_axes
    (50.0, 100.0)
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise DataSetError("no vault in an empty mask", expected="a body mask of a head slice")
    if not upright:
        low, high = (int(rows.min()), int(columns.min())), (int(rows.max()), int(columns.max()))
        middles = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
        return Vault(middles, ((high[0] - low[0]) / 2, (high[1] - low[1]) / 2), tuple(spacing_mm))
    top = columns.max()
    of_vault = rows[columns > top - _UPPER_MM / spacing_mm[1]]
    middle, half = (of_vault.min() + of_vault.max()) / 2, (of_vault.max() - of_vault.min()) / 2
    depth = VAULT_DEPTH_MM / spacing_mm[1]
    return Vault((float(middle), float(top - depth)), (float(half), float(depth)), tuple(spacing_mm))


def off_middle(
    image: NDArray[Any], vault: Vault, *, height: float, nearest: bool = False, outside: float = 0.0
) -> NDArray[np.float32]:
    """What a plane at `height` (share of the half-axis, 0 is the middle) would show, given the middle slice `image`.

    Parameters
    ----------
    image : (rows, columns). nearest : take the nearest voxel rather than interpolate (masks). outside : beyond `image`.

    Example
    -------
    >>> float(off_middle(np.ones((9, 9)), Vault((4, 4), (4, 4)), height=0.0).mean())
    1.0
    """
    return sampled(image, _places(image.shape, vault, height), nearest=nearest, outside=outside)


def _places(shape: Sequence[int], vault: Vault, height: float) -> NDArray[np.float32]:
    """(2, rows, columns): where each pixel of the moved slice comes from, in voxels."""
    grid = np.indices(tuple(shape), dtype=np.float32)
    units = np.stack([(g - c) / a for g, c, a in zip(grid, vault.centre, vault.half_axes, strict=True)])
    radius = np.sqrt((units**2).sum(0))
    # at the very centre the direction is undefined: a thousandth of the half-axis keeps it finite
    stretch = np.sqrt(radius**2 + height**2) / np.maximum(radius, 1e-3)
    at = [c + a * u * stretch for c, a, u in zip(vault.centre, vault.half_axes, units, strict=True)]
    return np.stack(at).astype(np.float32)


def sampled(
    image: NDArray[Any], places: NDArray[np.float32], *, nearest: bool = False, outside: float = 0.0
) -> NDArray[np.float32]:
    """The slice `image` read at `places` (2, rows, columns), in voxels; `outside` beyond it."""
    above = torch.from_numpy(np.asarray(image, dtype=np.float32) - np.float32(outside))
    # grid_sample counts x (the last axis) first, from -1 to 1 between the middles of the outermost voxels
    shares = np.stack([2 * a / max(n - 1, 1) - 1 for a, n in zip(places, image.shape, strict=True)][::-1], axis=-1)
    moved = F.grid_sample(
        above[None, None],
        torch.from_numpy(shares.astype(np.float32))[None],
        mode="nearest" if nearest else "bilinear",
        align_corners=True,
    )
    return np.asarray(moved[0, 0].numpy() + np.float32(outside))


def moved_off_middle(
    images: Mapping[str, NDArray[Any]],
    *,
    axis: int,
    generator: Generator,
    lowest_hu: float,
    spacing_mm: Sequence[float],
) -> dict[str, NDArray[Any]]:
    """A case of one slice (mr and ct where it has them, and mask) as if cut at a random height; the same for all.

    Parameters
    ----------
    images : (i, j, k) arrays one voxel thick along `axis`. lowest_hu : what lies beyond the CT.
    spacing_mm : along the two other axes.

    Returns
    -------
    Arrays of the same shapes; `images` itself where the cut would hardly meet the head.
    """

    def places(mask: NDArray[Any]) -> NDArray[np.float32]:
        vault = jittered(find_vault(mask, upright=axis != _AXIAL, spacing_mm=spacing_mm), generator)
        return _places(mask.shape, vault, draw_height(generator))

    return cut_elsewhere(images, places, axis=axis, lowest_hu=lowest_hu, spacing_mm=spacing_mm)


def cut_elsewhere(
    images: Mapping[str, NDArray[Any]],
    places_of: Callable[[NDArray[Any]], NDArray[np.float32]],
    *,
    axis: int,
    lowest_hu: float,
    spacing_mm: Sequence[float],
) -> dict[str, NDArray[Any]]:
    """All images of a case of one slice read at the places that `places_of` gives for its mask (rows, columns).

    Parameters and result as those of `moved_off_middle`.
    """
    flat = {name: np.take(np.asarray(image), 0, axis) for name, image in images.items()}
    if not flat["mask"].any():
        return dict(images)
    places = places_of(flat["mask"])
    cut = {
        name: sampled(image, places, nearest=name == "mask", outside=lowest_hu if name == "ct" else 0.0)
        for name, image in flat.items()
    }
    if np.count_nonzero(cut["mask"]) * math.prod(spacing_mm) < FEWEST_MM2:
        return dict(images)
    return {name: np.expand_dims(image, axis) for name, image in cut.items()}


def jittered(vault: Vault, generator: Generator) -> Vault:
    """The vault, its centre moved by a few random millimetres."""
    one, other = (
        float(c + generator.normal(0, _JITTER_MM) / size)
        for c, size in zip(vault.centre, vault.spacing_mm, strict=True)
    )
    return replace(vault, centre=(one, other))


def draw_height(generator: Generator) -> float:
    """A random height: half of them near the pole, where a cut grazes the skull, and none near the middle."""
    return float(np.interp(generator.random(), (0.0, 0.5, 1.0), _HEIGHTS))
