"""Slices that graze a head's side, with the tissue that lies there: made from the middle slices of the other planes.

A middle slice of a plane never shows what slices near the pole of its axis show, such as the temporal muscle in
sagittal ones: `off_middle` stretches the tissue of the wrong place. The middle slices of the other two planes hold the
pole's tissue. The line of an axial slice at a share `height` of the way to the temple is what the sagittal slice there
shows along one line; turned round the axis through the temple it fills that slice. Undulating depth and radius keep it
from being a figure of a lathe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from mr2ct.datasets.off_middle import Vault, cut_elsewhere, find_vault, jittered
from mr2ct.datasets.smooth_fields import smooth_field
from mr2ct.geometry import PLANE_AXIS

_HEIGHTS = (0.5, 0.92)
_DEPTH_MM, _RADIUS_SHARE = 6.0, 0.15
_SLOPE = 0.2
_ASPECT = 0.35
_AXIAL = PLANE_AXIS["axial"]

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Pole:
    """Where a head is cut, seen in one slice.

    The pole lies along `axis` (0 rows, 1 columns), to the side of `sign`; the profile is taken from the half of the
    slice at the side `half` of that axis.
    """

    axis: int
    sign: int
    half: int


def pole_cut_places(
    shape: tuple[int, ...],
    vault: Vault,
    pole: Pole,
    *,
    height: float,
    aspect: float = 1.0,
    depth: Field | float = 0.0,
    radius: Field | float = 0.0,
) -> NDArray[np.float32]:
    """(2, rows, columns): where in the slice each pixel of the cut comes from, in voxels.

    Parameters
    ----------
    height : share of the half-axis towards the pole, 0 the middle. aspect : of the cut's ellipse, columns to rows.
    depth : mm that the cut undulates by, towards the pole. radius : share that the profile is stretched by.

    Example
    -------
    >>> places = pole_cut_places((9, 9), Vault((4, 4), (4, 4)), Pole(0, 1, 1), height=0.5)
    >>> places[:, 4, 4].tolist(), places[:, 4, 7].tolist(), places[:, 1, 4].tolist()
    ([6.0, 4.0], [6.0, 7.0], [6.0, 7.0])
    """
    rows, columns = np.indices(shape, dtype=np.float32)
    # the circles that the profile is turned along are circles in mm
    spacing_mm = vault.spacing_mm
    down, along = (rows - vault.centre[0]) * spacing_mm[0], (columns - vault.centre[1]) * spacing_mm[1]
    squeezed = np.hypot(down * np.sqrt(aspect), along / np.sqrt(aspect)) / spacing_mm[1 - pole.axis]
    towards = vault.centre[pole.axis] + pole.sign * (
        height * vault.half_axes[pole.axis] + depth / spacing_mm[pole.axis]
    )
    across = vault.centre[1 - pole.axis] + pole.half * squeezed * (1 + radius)
    towards = np.broadcast_to(towards, shape)
    return np.stack((towards, across) if pole.axis == 0 else (across, towards)).astype(np.float32)


def draw_pole(generator: Generator, *, upright: bool) -> Pole:
    """A random pole that the slice shows: of an upright one the vertex, or the side as it is above the skull base."""
    signs = (-1, 1)
    if not upright:
        return Pole(int(generator.integers(2)), signs[generator.integers(2)], signs[generator.integers(2)])
    if generator.random() < 0.5:
        return Pole(1, 1, signs[generator.integers(2)])
    return Pole(0, signs[generator.integers(2)], 1)


def cut_at_a_pole(
    images: Mapping[str, NDArray[Any]],
    *,
    axis: int,
    generator: Generator,
    lowest_hu: float,
    spacing_mm: Sequence[float],
) -> dict[str, NDArray[Any]]:
    """A case of one slice as if another plane were cut near a random pole; the same for all images.

    Parameters and result as those of `off_middle.moved_off_middle`.
    """
    upright = axis != _AXIAL

    def places(mask: NDArray[Any]) -> NDArray[np.float32]:
        vault = jittered(find_vault(mask, upright=upright, spacing_mm=spacing_mm), generator)
        of_field = torch.Generator().manual_seed(int(generator.integers(2**31)))
        undulation = smooth_field(mask.shape, channels=2, count=1, generator=of_field)[0].numpy()
        slopes = generator.normal(0, _SLOPE, 2) * np.asarray(spacing_mm)
        slant = sum(s * (at - c) for s, at, c in zip(slopes, np.indices(mask.shape), vault.centre, strict=True))
        return pole_cut_places(
            mask.shape,
            vault,
            draw_pole(generator, upright=upright),
            height=float(generator.uniform(*_HEIGHTS)),
            aspect=float(np.exp(generator.uniform(-_ASPECT, _ASPECT))),
            depth=_DEPTH_MM * undulation[0] + slant,
            radius=_RADIUS_SHARE * undulation[1],
        )

    return cut_elsewhere(images, places, axis=axis, lowest_hu=lowest_hu, spacing_mm=spacing_mm)
