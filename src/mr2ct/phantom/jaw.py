"""Jaws, teeth, tongue and the airway behind them."""

from __future__ import annotations

import numpy as np

from mr2ct.phantom.canvas import Canvas, Window
from mr2ct.phantom.shapes import Field, capsule, ellipsoid, smooth_union, superellipsoid
from mr2ct.phantom.tissues import Label


def paint_jaws(canvas: Canvas) -> None:
    """Paint maxilla, mandible, teeth, masseter, tongue and pharynx."""
    window = canvas.window((-70, -30, -160), (70, 105, -35))
    if window.labels.size == 0:
        return
    rough = 0.6 * canvas.window_noise(window, 10)
    _paint_chewing_muscles(window, rough)
    _paint_mouth(canvas, window, rough)
    arch = _arch_distance(window)
    _paint_maxilla(window, arch, rough)
    _paint_mandible(window, arch, rough)
    _paint_teeth(canvas, window, arch)


def paint_pharynx(canvas: Canvas) -> None:
    """Paint the airway from the back of the nose to the larynx, with its wall."""
    window = canvas.window((-22, -30, -200), (22, 40, -45))
    if window.labels.size == 0:
        return
    x, y, z = window.points
    width = canvas.generator.uniform(0.6, 1.1)
    flat = (x * np.float32(0.65), y, z)
    tube = capsule(flat, (0, 22, -62), (0, 6, -84), (8.5, 7.5 * width))
    for start, end, radii in (
        ((0, 6, -84), (0, 1, -118), (6.5 * width, 7 * width)),
        ((0, 1, -118), (0, 8, -190), (7 * width, 8.5)),
    ):
        tube = smooth_union(tube, capsule(flat, start, end, radii), 3)
    tube = tube + 0.8 * canvas.window_noise(window, 12)
    bone = np.isin(window.labels, (Label.CORTICAL_BONE, Label.SPONGY_BONE, Label.OUTSIDE, Label.TOOTH))
    window.paint((tube < 2.0) & ~bone & (window.labels != Label.AIR), Label.MUCOSA)
    window.paint((tube < 0) & ~bone, Label.AIR)


def _arch_distance(window: Window) -> Field:
    """Distance in the axial plane to the horseshoe of the teeth, large behind its ends."""
    x, y, _ = window.points
    level = np.hypot(x / 26, (y - 40) / 40)
    radius = np.hypot(x, y - 40)
    distance = np.abs(radius * (1 - 1 / np.maximum(level, np.float32(0.05))))
    return np.where(y > 38, distance, np.hypot(np.abs(x) - 26, y - 38)).astype(np.float32)


def _paint_bone(window: Window, distance: Field, table_mm: float) -> None:
    soft = ~np.isin(window.labels, (Label.OUTSIDE, Label.AIR, Label.SKIN))
    window.paint((distance < 0) & soft, Label.CORTICAL_BONE)
    window.paint((distance < -table_mm) & soft, Label.SPONGY_BONE)


def _paint_maxilla(window: Window, arch: Field, rough: Field) -> None:
    points = window.points
    z = points[2]
    ridge = np.hypot(arch, np.maximum(np.abs(z + 88) - 5, 0)) - 6.0
    palate = superellipsoid(points, (0, 46, -84.5), (26, 36, 2.6), 3.5)
    bone = smooth_union(ridge, palate, 3) + rough
    _paint_bone(window, bone, 1.5)


def _paint_mandible(window: Window, arch: Field, rough: Field) -> None:
    points = window.points
    z = points[2]
    bone = np.hypot(arch, np.maximum(np.abs(z + 121) - 9, 0)) - 5.5
    bone = smooth_union(bone, ellipsoid(points, (0, 80, -128), (14, 7, 8)), 4)
    for side in (-1, 1):
        rods = (
            ((26, 40, -122), (45, 6, -118), (6, 5)),
            ((48, -4, -76), (51, -6, -58), (4.5, 4.0)),
            ((48, 16, -76), (50, 18, -58), (3.5, 2.2)),
        )
        for start, end, radii in rods:
            rod = capsule(points, (side * start[0], *start[1:]), (side * end[0], *end[1:]), radii)
            bone = smooth_union(bone, rod, 4)
        lean = side * points[0] - 46.5 + 0.06 * (points[2] + 90)
        ramus = superellipsoid((lean, points[1] - 0.15 * (points[2] + 90), points[2]), (0, 6, -96), (4, 15, 27), 3.5)
        bone = smooth_union(bone, ramus, 3)
        bone = smooth_union(bone, ellipsoid(points, (side * 51, -6, -56), (9, 5, 5)), 2)
    _paint_bone(window, bone + rough, 1.9)


def _paint_teeth(canvas: Canvas, window: Window, arch: Field) -> None:
    generator = canvas.generator
    x, y, z = window.points
    angle = np.arctan2(x / 26, np.maximum(y - 40, 0) / 40 + 1e-3)
    place = angle * np.float32(16 / np.pi)
    number = np.clip(np.floor(place + 8), 0, 15).astype(np.intp)
    across = (place - np.floor(place) - 0.5) * 8.6
    for low, high in ((-107.0, -86.0), (-126.0, -107.6)):
        present = generator.random(16) > generator.choice([0.02, 0.15, 0.9], p=[0.6, 0.3, 0.1])
        size = generator.uniform(0.85, 1.1, 16).astype(np.float32)
        middle, half = (low + high) / 2, (high - low) / 2
        taper = np.clip(1 - 0.35 * np.abs(z - (high if low < -110 else low)) / (2 * half), 0.4, 1)
        radial = np.hypot(arch / (4.2 * taper), across / (3.7 * taper)) / size[number]
        tooth = (radial < 1) & (np.abs(z - middle) < half) & present[number] & (y > 44)
        window.paint(tooth & (window.labels != Label.OUTSIDE), Label.TOOTH)


def _paint_chewing_muscles(window: Window, rough: Field) -> None:
    points = window.points
    for side in (-1, 1):
        masseter = superellipsoid(points, (side * 56, 16, -88), (7, 15, 30), 2.5)
        pterygoid = superellipsoid(points, (side * 36, 8, -84), (8, 12, 24), 2.2)
        lateral = capsule(points, (side * 46, -2, -58), (side * 22, 18, -58), (6, 8))
        muscle = np.minimum(np.minimum(masseter, pterygoid), lateral) + rough
        window.paint((muscle < 0) & np.isin(window.labels, (Label.FAT, Label.MUSCLE)), Label.MUSCLE)
        cheek = ellipsoid(points, (side * 46, 44, -84), (9, 13, 14)) + rough
        window.paint((cheek < 0) & (window.labels == Label.MUSCLE), Label.FAT)


def _paint_mouth(canvas: Canvas, window: Window, rough: Field) -> None:
    points = window.points
    generator = canvas.generator
    tongue = smooth_union(
        superellipsoid(points, (0, 42, -103), (22, 32, 15), 2.3), ellipsoid(points, (0, 30, -116), (19, 26, 14)), 6
    )
    tongue = tongue + rough
    inside = ~np.isin(window.labels, (Label.OUTSIDE, Label.SKIN, Label.AIR))
    gap = generator.uniform(0.0, 3.5)
    window.paint((tongue < gap) & (points[2] > -104) & inside, Label.AIR if gap > 1 else Label.MUCOSA)
    window.paint((tongue < 0) & inside, Label.TONGUE)
    palate = superellipsoid(points, (0, 14, -86), (15, 10, 4), 2.2) + rough
    window.paint((palate < 0) & inside, Label.MUCOSA)
