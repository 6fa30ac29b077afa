"""The cervical spine with its canal and cord, and the great vessels of the neck."""

from __future__ import annotations

import numpy as np

from mr2ct.phantom.canvas import Canvas
from mr2ct.phantom.shapes import capsule, ellipsoid, ramp, smooth_union, superellipsoid
from mr2ct.phantom.tissues import Label

_LEVELS_MM = (-80.0, -96.0, -114.0, -131.0, -148.0, -165.0, -182.0)


def paint_neck(canvas: Canvas) -> None:
    """Paint vertebrae and discs, the canal with fluid and cord, carotid arteries and jugular veins."""
    window = canvas.window((-60, -110, -210), (60, 25, -58))
    if window.labels.size == 0:
        return
    x, y, z = window.points
    bend = canvas.generator.uniform(-4, 8) * ramp(z, -85, -180)
    points = (x, y - bend, z)
    rough = 0.5 * canvas.window_noise(window, 9)
    soft = ~np.isin(window.labels, (Label.OUTSIDE, Label.SKIN, Label.AIR, Label.CSF, Label.WHITE_MATTER))
    column = superellipsoid((x, points[1], np.full_like(z, -28)), (0, -27, -28), (8.5, 8, 50), 2.4)
    window.paint((column < -0.5) & (z < -98) & soft, Label.CARTILAGE)
    bone = capsule(points, (0, -24, -74), (0, -26, -96), (5, 6.5))
    for number, height in enumerate(_LEVELS_MM):
        bone = np.minimum(bone, _vertebra(points, number, height))
    bone = bone + rough
    window.paint((bone < 0) & soft, Label.CORTICAL_BONE)
    window.paint((bone < -1.7) & soft, Label.SPONGY_BONE)
    canal = capsule(points, (0, -44, -64), (0, -46, -200), (11, 8))
    window.paint((canal < 0.8) & (z < -74), Label.DURA)
    window.paint((canal < 0) & (z < -66), Label.CSF)
    window.paint(capsule(points, (0, -42, -60), (0, -46, -200), (6.3, 5.0)) < 0, Label.WHITE_MATTER)
    for side in (-1, 1):
        artery = capsule(points, (side * 24, -10, -60), (side * 30, -12, -200), (2.6, 3.6))
        vein = capsule(points, (side * 32, -20, -60), (side * 36, -16, -200), (4.0, 5.5))
        free = np.isin(window.labels, (Label.FAT, Label.MUSCLE, Label.GLAND))
        window.paint((vein < 0) & free, Label.VEIN)
        window.paint((artery < 0) & free, Label.ARTERY)


def _vertebra(points: tuple[np.ndarray, np.ndarray, np.ndarray], number: int, height: float) -> np.ndarray:
    ring = np.hypot(np.hypot(points[0] / 1.25, points[1] + 45) - 12.5, (points[2] - height) * 0.6) - 2.8
    bone = np.where(points[1] < -40, ring, np.float32(9)).astype(np.float32)
    lateral = 20.0 if number else 23.0
    for side in (-1, 1):
        bone = smooth_union(bone, ellipsoid(points, (side * lateral, -36, height), (8, 7, 6.5)), 3)
    if number == 0:
        front = capsule(points, (-18, -24, height), (18, -24, height), (3.5, 3.5))
        front = np.minimum(front, capsule(points, (-18, -22, height), (0, -16, height), (4, 4)))
        return np.minimum(bone, np.minimum(front, capsule(points, (18, -22, height), (0, -16, height), (4, 4))))
    bone = np.minimum(bone, superellipsoid(points, (0, -27, height), (10, 8.5, 6.8), 3))
    spine = capsule(points, (0, -59, height - 1), (0, -74 if number == 1 else -70, height - 8), (3.0, 4.2))
    return smooth_union(bone, spine, 3)
