"""Soft tissue under the skin: scalp fat, temporal and neck muscles, face fat, ears."""

from __future__ import annotations

import numpy as np

from mr2ct.phantom.canvas import Canvas, Window
from mr2ct.phantom.hull import Hull
from mr2ct.phantom.shapes import Field, bump, capsule, ellipsoid, ramp
from mr2ct.phantom.tissues import Label


def paint_soft_tissue(canvas: Canvas, hull: Hull) -> None:
    """Fill the skin with fat, then lay in skin, scalp muscle and the muscles of temple, face and neck."""
    generator = canvas.generator
    x, y, z = points = canvas.points
    labels = canvas.labels
    skin_mm = generator.uniform(1.5, 2.6)
    inside = hull.skin < 0
    labels[inside] = Label.FAT
    galea = inside & (hull.braincase > 0) & (hull.braincase < generator.uniform(0.6, 1.8)) & (z > -30)
    labels[galea] = Label.MUSCLE
    streaks = canvas.refine(canvas.noise(18) + 0.6 * canvas.noise(9))
    fat_mm = generator.uniform(2.5, 7) + generator.uniform(0, 10) * ramp(y, -60, -100) * ramp(z, -50, -80)
    neck = inside & (hull.skin < -skin_mm - fat_mm) & (z < -42) & (y < -8) & (np.abs(streaks) > 0.07)
    face = inside & (hull.skin < -skin_mm - fat_mm - 3) & (z < -45) & (y >= -8) & (streaks > -0.15)
    nape = inside & (y < -70) & (z < -32) & (hull.skin < -skin_mm - fat_mm) & (np.abs(streaks) > 0.08)
    labels[(neck | face | nape) & (hull.braincase > 0)] = Label.MUSCLE
    for side in (-1, 1):
        temple = bump(points, (side * 66, 10, -20), (18, 28, 30)) > 0.42
        temple &= (hull.braincase > 0) & (hull.skin < -skin_mm - generator.uniform(1.5, 4)) & (np.abs(streaks) > 0.06)
        labels[temple & (side * x > 0)] = Label.MUSCLE
    labels[inside & (hull.skin > -skin_mm)] = Label.SKIN


def paint_ears(canvas: Canvas, hull: Hull) -> None:
    """Paint the auricles, which stand off the head, the ear canals, which open into the air, and the parotid glands."""
    for side in (-1, 1):
        window = canvas.window(*_box(side, (46, -75, -100), (112, 15, 0)))
        if window.labels.size == 0:
            continue
        points = window.points
        x = points[0]
        wave = canvas.window_noise(window, 14)
        _paint_auricle(canvas, window, hull.skin[window.where], wave)
        canal = capsule(points, (side * 94, -24, -51), (side * 53, -20, -48), (3.8, 2.6)) + 0.3 * wave
        beside = (side * x > 52) & hull.away_from_brain(window, canvas.spacing_mm)
        soft = np.isin(window.labels, (Label.FAT, Label.MUSCLE, Label.SKIN))
        window.paint((canal < 1.5) & beside & soft, Label.CARTILAGE)
        window.paint((canal < 1.2) & beside & (side * x < 68) & (window.labels == Label.AIR), Label.CORTICAL_BONE)
        window.paint((canal < 0) & beside & (window.labels != Label.OUTSIDE), Label.AIR)
        parotid = ellipsoid(points, (side * 60, -8, -76), (9, 16, 20)) + 1.5 * wave
        window.paint((parotid < 0) & np.isin(window.labels, (Label.FAT, Label.MUSCLE)), Label.GLAND)


def _paint_auricle(canvas: Canvas, window: Window, skin: Field, wave: Field) -> None:
    """A curved sheet that leaves the skin in front of the ear and stands off further behind."""
    _, y, z = window.points
    stand_off = canvas.generator.uniform(0.25, 0.75)
    rim = np.hypot((y + 36) / 17, (z + 42) / 29)
    height = 1.0 + stand_off * np.maximum(-22 - y, 0) + 1.2 * wave
    sheet = np.abs(skin - height) - 1.9
    auricle = (sheet < 0) & (rim < 1)
    bowl = (skin < height) & (skin >= 0) & (np.hypot((y + 26) / 7, (z + 47) / 9) < 1)
    air = window.labels == Label.OUTSIDE
    window.paint((auricle | (bowl & (skin < 2.5))) & air, Label.SKIN)
    window.paint(auricle & air & (sheet < -1.0) & (rim < 0.88), Label.CARTILAGE)


def _box(
    side: int, low: tuple[float, float, float], high: tuple[float, float, float]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    if side > 0:
        return low, high
    return (-high[0], low[1], low[2]), (-low[0], high[1], high[2])
