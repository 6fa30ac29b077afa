"""A digital head: random anatomy painted as tissue labels on a grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.phantom import brain, face, jaw, neck, skull, soft, surgery
from mr2ct.phantom.canvas import COARSE_MM, Canvas
from mr2ct.phantom.hull import build_hull
from mr2ct.phantom.noise import smooth_noise, stretch
from mr2ct.phantom.shapes import Points
from mr2ct.phantom.tissues import TISSUES, Label, Tissue

_MARGIN_MM = 8.0
_FEWEST_VOXELS = 9


@dataclass(frozen=True, eq=False)
class HeadPhantom:
    """Tissue labels (i, j, k), uint8, values of `Label`, on a RAS grid, and what the labels mean."""

    labels: NDArray[np.uint8]
    geometry: Geometry
    tissues: Mapping[Label, Tissue]


@dataclass(frozen=True)
class Build:
    """Size, pose and field of view of one head; lengths in mm, angles in degrees."""

    scale: tuple[float, float, float]
    tilt_degrees: tuple[float, float, float]
    depth_mm: float


def draw_build(generator: Generator) -> Build:
    """Draw a build: heads 135 to 165 mm wide and 175 to 210 mm long, tilted by up to 15 degrees."""
    size = generator.uniform(0.90, 0.99)
    scale = tuple(float(np.clip(size + generator.normal(0, 0.02), 0.86, 1.02)) for _ in range(3))
    tilt = np.clip(generator.normal(0, (7, 4, 4)), -15, 15)
    return Build(
        (scale[0], scale[1], scale[2]),
        (float(tilt[0]), float(tilt[1]), float(tilt[2])),
        float(generator.uniform(75, 150)),
    )


def head_phantom(
    seed: int | Generator,
    *,
    spacing_mm: float = 1.0,
    shape: tuple[int, int, int] | None = None,
    operated: float = 0.0,
) -> HeadPhantom:
    """Make a head with random size, pose, anatomy and field of view.

    Parameters
    ----------
    seed : an integer or a numpy Generator; the same seed gives the same head.
    spacing_mm : edge of the cubic voxels, 0.4 to 8 mm.
    shape : voxels along (i, j, k); by default the head fits, cut somewhere between skull base and lower neck.
    operated : probability of a bone flap with a resection cavity or tumour below it.

    Raises
    ------
    InputError : a spacing out of range, or a shape without three positive axes.

    Example
    -------
    >>> head_phantom(1, spacing_mm=6.0).labels.dtype.name
    'uint8'
    """
    if not 0.4 <= spacing_mm <= 8:
        raise InputError("impossible voxel size for a head", got=f"{spacing_mm} mm", expected="0.4 to 8 mm")
    if shape is not None and (len(shape) != 3 or min(shape) < 1):
        raise InputError(
            "impossible grid for a head", got=f"shape {shape}", expected="three axes of at least one voxel"
        )
    generator = np.random.default_rng(seed)
    build = draw_build(generator)
    geometry = _grid(build, spacing_mm, shape)
    canvas = _canvas(_thickened(geometry), build, generator)
    _paint(canvas, operated=bool(generator.random() < operated))
    i, j, k = (slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(canvas.labels.shape, geometry.shape, strict=True))
    return HeadPhantom(np.ascontiguousarray(canvas.labels[i, j, k]), geometry, TISSUES)


def _paint(canvas: Canvas, *, operated: bool) -> None:
    hull = build_hull(canvas)
    soft.paint_soft_tissue(canvas, hull)
    skull.paint_braincase(canvas, hull)
    skull.paint_skull_base(canvas, hull)
    brain.paint_brain(canvas, hull)
    if operated:
        surgery.paint_surgery(canvas, hull)
    neck.paint_neck(canvas)
    jaw.paint_jaws(canvas)
    face.paint_face(canvas, hull)
    jaw.paint_pharynx(canvas)
    soft.paint_ears(canvas, hull)


def _grid(build: Build, spacing_mm: float, shape: tuple[int, int, int] | None) -> Geometry:
    top = 104 * build.scale[2] + _MARGIN_MM
    if shape is None:
        extent = (182 * build.scale[0] + 16, 238 * build.scale[1] + 16, top + build.depth_mm)
        shape = (round(extent[0] / spacing_mm), round(extent[1] / spacing_mm), round(extent[2] / spacing_mm))
    half = (np.array(shape) - 1) * spacing_mm / 2
    centre = (0.0, -4.0 * build.scale[1], top - half[2])
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = np.array(centre) - half
    return Geometry(shape, affine)


def _thickened(geometry: Geometry) -> Geometry:
    """The same grid with thin axes widened on both sides, since surfaces are measured by their slopes."""
    extra = [(max(_FEWEST_VOXELS - n, 0) + 1) // 2 for n in geometry.shape]
    affine = geometry.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array(extra)
    i, j, k = (n + 2 * e for n, e in zip(geometry.shape, extra, strict=True))
    return Geometry((i, j, k), affine)


def pose(build: Build) -> NDArray[np.float64]:
    """(3, 3) from RAS mm to the standard head's mm, but for the head's own few mm of warping."""
    return np.asarray(_rotation(build.tilt_degrees) / np.array(build.scale)[:, None], dtype=np.float64)


def _rotation(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        a, b = [n for n in range(3) if n != axis]
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn


def _canvas(geometry: Geometry, build: Build, generator: Generator) -> Canvas:
    spacing_mm = geometry.spacing_mm[0]
    factor = max(1, round(COARSE_MM / spacing_mm))
    coarse = tuple(int(np.ceil((n - 1) / factor)) + 1 for n in geometry.shape)
    axes = [
        (geometry.affine[a, 3] + spacing_mm * factor * np.arange(coarse[a]))
        .astype(np.float32)
        .reshape([-1 if b == a else 1 for b in range(3)])
        for a in range(3)
    ]
    matrix = pose(build).astype(np.float32)
    shape = (coarse[0], coarse[1], coarse[2])
    points = []
    for row in matrix:
        place = row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2]
        for feature, size in ((150, 2.3), (60, 0.6)):
            place = place + np.float32(size) * smooth_noise(
                shape, spacing_mm * factor, feature_mm=feature, generator=generator
            )
        points.append(place.astype(np.float32))
    coarse_points: Points = (points[0], points[1], points[2])
    steps = (1 / factor,) * 3
    fine: Points = coarse_points
    if factor > 1:
        fine = tuple(stretch(p, geometry.shape, steps) for p in points)  # type: ignore[assignment]
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    return Canvas(labels, fine, coarse_points, spacing_mm, factor, generator)
