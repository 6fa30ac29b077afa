"""Everything inside the cavity: fluid, folded cortex, ventricles, deep nuclei, cerebellum, brain stem, dura, veins.

Distances are modelled on the coarse part of one window and stretched; only labels are painted at full resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.phantom.canvas import Canvas, Window
from mr2ct.phantom.hull import Hull, as_distance
from mr2ct.phantom.shapes import Field, Points, capsule, ellipsoid, ramp, smooth_union
from mr2ct.phantom.tissues import Label


@dataclass(frozen=True)
class _Sketch:
    """What the painters share: the window, its coarse points bent by noise, how far the brain has shrunk (0 to 1)."""

    canvas: Canvas
    window: Window
    points: Points
    cavity: Field
    atrophy: float
    gap_mm: float

    def refine(self, field: Field) -> Field:
        return self.canvas.refine_window(field, self.window)


def paint_brain(canvas: Canvas, hull: Hull) -> None:
    """Fill the cavity with fluid and paint brain, dura and vessels into it."""
    canvas.labels[hull.cavity < 0] = Label.CSF
    window = canvas.window((-76, -112, -90), (76, 80, 88))
    if window.labels.size == 0:
        return
    where = canvas.coarse(window)
    bend = [np.float32(2.0) * canvas.noise(28)[where] for _ in range(3)]
    x, y, z = (p[where] + b for p, b in zip(canvas.coarse_points, bend, strict=True))
    atrophy = canvas.generator.beta(1.2, 1.8)
    gap_mm = canvas.generator.uniform(1.3, 2.0) + 2.2 * atrophy
    sketch = _Sketch(canvas, window, (x, y, z), hull.cavity[window.where], atrophy, gap_mm)
    _paint_cerebrum(sketch)
    _paint_hindbrain(sketch)
    _paint_deep(sketch)
    _paint_dura(sketch)
    _paint_vessels(sketch)


def tentorium_height(points: Points) -> Field:
    """Z of the tent between cerebrum and cerebellum at (x, y), in standard mm."""
    x, y, _ = points
    return np.asarray(-28 + 26 * np.exp(-((x / 32) ** 2) - ((y + 45) / 32) ** 2), dtype=np.float32)


def _paint_cerebrum(sketch: _Sketch) -> None:
    x, y, z = points = sketch.points
    behind = ramp(y, -18, -32)
    above_tent = (z - tentorium_height(points) - 2) * behind + 40 * (1 - behind)
    core = np.hypot(x, y + 20) - 15
    limit = np.where(z < -14, np.minimum(above_tent, core), above_tent)
    depth = np.minimum(-sketch.cavity - sketch.gap_mm, sketch.refine(limit.astype(np.float32)))
    folds = sketch.refine(_sulcus_distance(sketch))
    reach = sketch.refine((13 + 6 * np.sin(x / 9 + y / 14) * np.cos(z / 11)).astype(np.float32))
    sulcus = np.hypot(folds, np.maximum(depth - reach, 0)) - np.float32(0.35 + 0.8 * sketch.atrophy)
    surface = np.minimum(np.minimum(depth, sulcus), sketch.refine(_fissures(sketch)))
    inside = (depth > 0) & (surface > 0) & (sketch.cavity < 0)
    sketch.window.paint(inside & (surface < 3.0), Label.GREY_MATTER)
    sketch.window.paint(inside & (surface >= 3.0), Label.WHITE_MATTER)


def _sulcus_distance(sketch: _Sketch) -> Field:
    """Distance in mm to sheets (the zero level of band-limited noise) along which the cortex folds in."""
    where = sketch.canvas.coarse(sketch.window)
    level = (sketch.canvas.noise(14) + 0.3 * sketch.canvas.noise(26))[where]
    signed = as_distance((level / np.float32(0.2)).astype(np.float32), sketch.canvas.coarse_mm)
    return np.abs(np.clip(signed, -8, 8))


def _fissures(sketch: _Sketch) -> Field:
    """Distance in mm to the cleft between the hemispheres, and to the Sylvian fissures with the insula."""
    x, y, z = points = sketch.points
    callosum = ellipsoid(points, (0, -6, 0), (30, 40, 29))
    between = np.hypot(x, np.maximum(-callosum, 0)) - (0.6 + sketch.atrophy)
    sheet = z + 4 - 0.3 * (y - 10) - 0.12 * (np.abs(x) - 50)
    outside = np.maximum(np.abs(y - 4) - 30, 0) ** 2 + np.maximum(38 - np.abs(x), 0) ** 2
    insula = np.sqrt(
        np.maximum(np.abs(sheet) - 12, 0) ** 2 + (np.abs(x) - 38) ** 2 + np.maximum(np.abs(y - 4) - 20, 0) ** 2
    )
    sylvian = np.minimum(np.sqrt(sheet**2 + outside), insula) - (0.5 + 1.4 * sketch.atrophy)
    return np.asarray(np.minimum(between, sylvian), dtype=np.float32)


def _paint_hindbrain(sketch: _Sketch) -> None:
    x, y, z = points = sketch.points
    window = sketch.window
    below_tent = tentorium_height(points) - 2 - z
    front = -(y + 37) - 0.35 * np.maximum(16 - np.abs(x), 0) + 0.25 * np.abs(x)
    notch = np.hypot(x, z + 66) - 13
    limit = sketch.refine(np.minimum(np.minimum(below_tent, front), notch).astype(np.float32))
    depth = np.minimum(limit, -sketch.cavity - 0.8 * sketch.gap_mm)
    folia = sketch.canvas.noise(12)[sketch.canvas.coarse(window)]
    wave = depth * np.float32(1.15) + sketch.refine((0.25 * z + 1.6 * folia).astype(np.float32))
    inside = depth > 0
    window.paint(inside, Label.GREY_MATTER)
    arbor = np.maximum(np.abs(np.abs(x) - 20) - 14, 0) + np.abs(z + 40 - 3 * folia) * 0.8 + np.maximum(-y - 76, 0) * 0.7
    core = sketch.refine(arbor.astype(np.float32)) < 7
    leaf = np.sin(wave) > 0.35
    window.paint(inside & (depth > 2) & (core | leaf), Label.WHITE_MATTER)
    window.paint((sketch.refine(_brain_stem(points)) < 0) & (sketch.cavity < 0), Label.WHITE_MATTER)


def _brain_stem(points: Points) -> Field:
    midbrain = capsule(points, (0, -17, -2), (0, -24, -30), (11, 12))
    medulla = capsule(points, (0, -28, -38), (0, -42, -66), (10, 6.5))
    stem = smooth_union(midbrain, medulla, 5)
    stem = smooth_union(stem, ellipsoid(points, (0, -23, -32), (17, 12, 13)), 5)
    for side in (-1, 1):
        stem = smooth_union(stem, capsule(points, (side * 12, -28, -35), (side * 22, -46, -38), (6, 5)), 4)
        stem = smooth_union(stem, capsule(points, (side * 8, -18, -12), (side * 17, -12, 0), (7, 7)), 4)
    return smooth_union(stem, capsule(points, (0, -42, -66), (0, -46, -190), (5.8, 5.0)), 3)


def _paint_deep(sketch: _Sketch) -> None:
    nuclei = np.full(sketch.points[0].shape, 99, dtype=np.float32)
    for side in (-1, 1):
        for centre, radii in (
            ((11, -18, 8), (9, 14, 9)),
            ((26, 3, 2), (5.5, 16, 10)),
            ((13, 14, 8), (5, 10, 10)),
        ):
            nuclei = np.minimum(nuclei, ellipsoid(sketch.points, (side * centre[0], centre[1], centre[2]), radii))
    tissue = np.isin(sketch.window.labels, (Label.GREY_MATTER, Label.WHITE_MATTER))
    sketch.window.paint((sketch.refine(nuclei) < 0) & tissue, Label.DEEP_GREY)
    ventricles = sketch.refine(_ventricles(sketch))
    sketch.window.paint((ventricles < 0) & (sketch.cavity < 0), Label.CSF)


def _ventricles(sketch: _Sketch) -> Field:
    points = sketch.points
    size = sketch.canvas.generator.uniform(-0.8, 0.8) + 4.0 * sketch.atrophy
    distance = ellipsoid(points, (0, -14, 0), (1.8 + 0.6 * size, 14, 9))
    distance = np.minimum(distance, ellipsoid(points, (0, -40, -34), (6, 5, 9)))
    path = [(8, 30, 6), (9, 10, 18), (12, -20, 21), (23, -40, 14), (25, -68, 4)]
    radii = [3.0 + size, 4.2 + size, 3.8 + size, 5.0 + size, 1.5 + 0.4 * size]
    for side in (-1, 1):
        for a, b, r, q in zip(path, path[1:], radii, radii[1:], strict=False):
            part = capsule(points, (side * a[0], a[1], a[2]), (side * b[0], b[1], b[2]), (max(r, 1.5), max(q, 1.0)))
            distance = smooth_union(distance, part, 2)
        horn = capsule(points, (side * 27, -40, 8), (side * 31, -12, -18), (3 + 0.5 * size, 2 + 0.3 * size))
        distance = smooth_union(distance, horn, 2)
    return distance


def _paint_dura(sketch: _Sketch) -> None:
    x, y, z = points = sketch.points
    inside = sketch.cavity < 0
    callosum = ellipsoid(points, (0, -10, 0), (30, 50, 34))
    height = tentorium_height(points)
    falx = np.maximum(np.maximum(np.abs(x) - 0.7, 4 - callosum), height - z)
    tent = np.maximum(np.maximum(np.abs(z - height) - 0.8, y + 30), 24 - np.hypot(x, y + 20))
    sheets = sketch.refine(np.minimum(falx, tent).astype(np.float32)) < 0
    sketch.window.paint(inside & (sheets | (sketch.cavity > -0.9)), Label.DURA)


def _paint_vessels(sketch: _Sketch) -> None:
    x, y, z = points = sketch.points
    inside: NDArray[np.bool_] = sketch.cavity < 0
    midline = np.where((z > -14) & (y < 72), np.abs(x), np.float32(99))
    superior = sketch.refine(midline) + 0.8 * np.maximum(-sketch.cavity, 0) < 6.5
    transverse = np.where(y < -52, np.abs(z + 26) - 4.5, np.float32(99))
    lateral = (sketch.refine(transverse) < 0) & (sketch.cavity > -5)
    rods = capsule(points, (0, -50, -2), (0, -98, -18), (2.5, 3.0))
    arteries = capsule(points, (0, -8, -48), (0, -9, -18), (1.8, 1.6))
    for side in (-1, 1):
        rods = np.minimum(rods, capsule(points, (side * 55, -52, -28), (side * 42, -42, -60), (4.0, 4.0)))
        arteries = np.minimum(arteries, capsule(points, (side * 12, 2, -34), (side * 12, 5, -22), (2.4, 2.0)))
        arteries = np.minimum(arteries, capsule(points, (side * 12, 4, -20), (side * 34, 2, -14), (1.8, 1.4)))
    sketch.window.paint(inside & (superior | lateral | (sketch.refine(rods) < 0)), Label.VEIN)
    sketch.window.paint(inside & (sketch.refine(arteries) < 0), Label.ARTERY)
