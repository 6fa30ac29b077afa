"""The grid a phantom is painted on: every voxel knows where it lies in the standard head.

Anatomy is described once, in the mm of a standard head (x right, y front, z up, origin near the anterior commissure,
in the proportions of MNI space). A head of its own size, pose and shape comes from warping those coordinates.
Smooth fields are computed on a grid of about 2 mm and stretched, thin structures on windows of the full grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mr2ct.phantom.noise import smooth_noise, stretch
from mr2ct.phantom.shapes import Field, Points
from mr2ct.phantom.tissues import Label

COARSE_MM = 2.0


@dataclass(frozen=True)
class Window:
    """A box of the canvas: `points` are its standard coordinates, `labels` a writable view of its labels."""

    points: Points
    labels: NDArray[np.uint8]
    where: tuple[slice, slice, slice]

    def paint(self, inside: NDArray[np.bool_], label: Label) -> None:
        """Give the label to the voxels of the window where `inside` is true."""
        self.labels[inside] = label


@dataclass(frozen=True)
class Canvas:
    """Labels (i, j, k) and the standard coordinates of the voxels, fine and coarse.

    `factor` fine voxels make one coarse voxel; coarse voxel n lies on fine voxel n * factor.
    """

    labels: NDArray[np.uint8]
    points: Points
    coarse_points: Points
    spacing_mm: float
    factor: int
    generator: Generator

    @property
    def coarse_mm(self) -> float:
        """Spacing of the coarse grid in mm."""
        return self.spacing_mm * self.factor

    def refine(self, field: Field) -> Field:
        """A coarse field on the fine grid."""
        if self.factor == 1:
            return field
        return stretch(field, self.labels.shape, (1 / self.factor,) * 3)

    def coarse(self, window: Window) -> tuple[slice, slice, slice]:
        """The part of the coarse grid that covers a window."""
        i, j, k = (slice(s.start // self.factor, -(-s.stop // self.factor) + 1) for s in window.where)
        return (i, j, k)

    def refine_window(self, field: Field, window: Window) -> Field:
        """A field on the coarse part of a window (see `coarse`), stretched to the window."""
        if self.factor == 1:
            return field[: window.labels.shape[0], : window.labels.shape[1], : window.labels.shape[2]]
        return stretch(field, window.labels.shape, (1 / self.factor,) * 3)

    def noise(self, feature_mm: float) -> Field:
        """A smooth random field on the coarse grid, mean 0, standard deviation 1."""
        shape = self.coarse_points[0].shape
        return smooth_noise(shape, self.coarse_mm, feature_mm=feature_mm, generator=self.generator)

    def window_noise(self, window: Window, feature_mm: float) -> Field:
        """A smooth random field on a window of the fine grid, mean 0, standard deviation 1."""
        shape = window.labels.shape
        return smooth_noise(shape, self.spacing_mm, feature_mm=feature_mm, generator=self.generator)

    def window(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> Window:
        """The smallest box of voxels that holds the standard-space box from `low` to `high`, or an empty one."""
        inside = np.ones(self.coarse_points[0].shape, dtype=bool)
        for p, a, b in zip(self.coarse_points, low, high, strict=True):
            inside &= (p >= a - 2 * self.coarse_mm) & (p <= b + 2 * self.coarse_mm)
        slices = []
        for axis in range(3):
            hit = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
            if hit.size == 0:
                slices = [slice(0, 0)] * 3
                break
            slices.append(slice(int(hit[0]) * self.factor, (int(hit[-1]) + 1) * self.factor))
        where = (slices[0], slices[1], slices[2])
        x, y, z = (p[where] for p in self.points)
        return Window((x, y, z), self.labels[where], where)
