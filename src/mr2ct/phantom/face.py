"""The facial skeleton around its cavities: orbits with eyes, nose, and the air sinuses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct.phantom.canvas import Canvas, Window
from mr2ct.phantom.hull import Hull
from mr2ct.phantom.shapes import Field, Triple, capsule, ellipsoid, ramp, smooth_union, superellipsoid
from mr2ct.phantom.tissues import Label

Mask = NDArray[np.bool_]

_TURBINATES = (((8.5, 50, -70), (3.6, 22, 4.5)), ((6, 45, -57), (2.4, 18, 5)), ((4.5, 38, -48), (1.6, 10, 3.5)))


def paint_face(canvas: Canvas, hull: Hull) -> None:
    """Paint facial bone, then hollow it: orbits, nasal cavity and sinuses. The wall to the brain is left closed."""
    window = canvas.window((-75, -5, -100), (75, 125, 18))
    if window.labels.size == 0:
        return
    rough = 0.7 * canvas.window_noise(window, 9)
    outside_brain = hull.away_from_brain(window, canvas.spacing_mm)
    _paint_bone_frame(canvas, window, rough)
    for side in (-1, 1):
        _paint_orbit(canvas, window, side, rough, outside_brain)
    _paint_nasal_cavity(canvas, window, rough, outside_brain)
    # neither do sinuses break through the skin
    _paint_sinuses(canvas, window, rough, outside_brain & (hull.skin[window.where] < -3.5))


def _bone_shell(window: Window, distance: Field, thickness_mm: float) -> None:
    soft = np.isin(window.labels, (Label.FAT, Label.MUSCLE, Label.CORTICAL_BONE, Label.SPONGY_BONE, Label.DIPLOE))
    window.paint((distance < thickness_mm) & (distance >= 0) & soft, Label.CORTICAL_BONE)


def _paint_bone_frame(canvas: Canvas, window: Window, rough: Field) -> None:
    where = canvas.coarse(window)
    x, y, z = (p[where] for p in canvas.coarse_points)
    points = (x, y, z)
    bone = superellipsoid(points, (0, 74, -16), (17, 11, 11), 2.5)
    bone = smooth_union(bone, capsule(points, (0, 83, -28), (0, 95, -50), (5.0, 2.5)), 4)
    for side in (-1, 1):
        rods = (
            ((14, 80, -22), (34, 76, -17), (6, 6)),
            ((34, 76, -17), (54, 58, -24), (6, 5)),
            ((54, 58, -24), (55, 52, -48), (4, 5)),
            ((55, 52, -50), (30, 68, -56), (7, 4)),
            ((56, 48, -52), (66, 22, -52), (4.5, 2.6)),
            ((66, 22, -52), (66, -8, -47), (2.6, 3.2)),
            ((14, 80, -24), (16, 74, -60), (3.5, 3.5)),
            ((16, 74, -60), (22, 72, -82), (3.5, 5)),
            ((50, 50, -56), (36, 46, -80), (5, 4)),
            ((46, 46, -30), (40, 30, -40), (3, 3)),
        )
        bone = smooth_union(bone, ellipsoid(points, (side * 47, 57, -56), (11, 8, 9)), 5)
        lateral_wall = superellipsoid(
            (points[0] - 0.55 * side * (points[1] - 42), points[1], points[2]), (side * 45, 42, -36), (3, 16, 18), 3
        )
        bone = smooth_union(bone, lateral_wall, 3)
        for start, end, radii in rods:
            rod = capsule(points, (side * start[0], *start[1:]), (side * end[0], *end[1:]), radii)
            bone = smooth_union(bone, rod, 3)
    bone = canvas.refine_window(bone, window) + 0.6 * rough
    soft = np.isin(window.labels, (Label.FAT, Label.MUSCLE, Label.SKIN))
    window.paint((bone < 0) & soft, Label.CORTICAL_BONE)
    window.paint((bone < -2.8) & (window.labels == Label.CORTICAL_BONE), Label.SPONGY_BONE)


def _paint_orbit(canvas: Canvas, window: Window, side: int, rough: Field, free: Mask) -> None:
    generator = canvas.generator
    points = window.points
    x, y = points[:2]
    orbit = capsule(points, (side * 33, 60, -37), (side * 16, 24, -31), (19.5, 3.5)) + 0.4 * rough
    rim = y + 0.35 * (side * x - 30) < 70
    _bone_shell(window, np.where(rim, orbit, np.float32(9)), generator.uniform(1.0, 1.8))
    hollow = free & (orbit < 0) & rim & (window.labels != Label.OUTSIDE) & (window.labels != Label.SKIN)
    window.paint(hollow, Label.FAT)
    eye: Triple = (side * 33, 62 + generator.uniform(-2, 3), -37)
    nerve = capsule(points, (side * 32, 50, -37), (side * 15, 22, -31), (1.9, 1.9))
    window.paint(nerve < 0, Label.WHITE_MATTER)
    for dx, dz in ((0, 9.5), (0, -9.5), (9.5, 0), (-9.5, 0)):
        near: Triple = (side * (33 + dx), 62, -37 + dz)
        muscle = capsule(points, near, (side * 17, 27, -31), (1.8, 1.6))
        window.paint((muscle < 0) & hollow, Label.MUSCLE)
    radius = generator.uniform(11.6, 12.8)
    ball = ellipsoid(points, eye, (radius, radius, radius))
    window.paint(ball < 0, Label.MUSCLE)
    window.paint(ball < -1.0, Label.VITREOUS)
    lens = ellipsoid(points, (eye[0], eye[1] + 8, eye[2]), (4.5, 2.4, 4.5))
    window.paint(lens < 0, Label.LENS)
    lid = (ball >= 0) & (ball < 3) & (y > eye[1] + 3) & (window.labels == Label.OUTSIDE)
    window.paint(lid, Label.SKIN)


def _paint_nasal_cavity(canvas: Canvas, window: Window, rough: Field, free: Mask) -> None:
    generator = canvas.generator
    x, y, z = points = window.points
    width = 15 - 9 * ramp(z, -68, -44)
    cavity = superellipsoid(((x * (15 / width)).astype(np.float32), y, z), (0, 50, -60), (15, 36, 23), 3)
    nostrils = np.minimum(
        capsule(points, (-6, 84, -66), (-6.5, 99, -80), (5, 3.5)),
        capsule(points, (6, 84, -66), (6.5, 99, -80), (5, 3.5)),
    )
    _bone_shell(window, np.where(y < 78, cavity, np.float32(9)), 1.5)
    cavity = np.minimum(cavity, nostrils)
    hollow = free & (cavity < 0) & (window.labels != Label.OUTSIDE)
    window.paint(hollow, Label.AIR)
    window.paint(hollow & (cavity > -generator.uniform(1.0, 3.0)) & (y < 84), Label.MUCOSA)
    bend = generator.uniform(-3, 3) * np.sin((z + 60) / 14)
    window.paint(hollow & (np.abs(x - bend) < 1.7), Label.MUCOSA)
    window.paint(free & (cavity < 0) & (np.abs(x - bend) < 0.7) & (y < 74), Label.SPONGY_BONE)
    swelling = generator.uniform(0, 1.5)
    for side in (-1, 1):
        for centre, radii in _TURBINATES:
            turbinate = ellipsoid(points, (side * centre[0], centre[1], centre[2]), radii) + 0.6 * rough - swelling
            window.paint((turbinate < 0) & hollow, Label.MUCOSA)
            window.paint((turbinate < -2.4 - swelling) & hollow, Label.CORTICAL_BONE)


def _paint_sinuses(canvas: Canvas, window: Window, rough: Field, free: Mask) -> None:
    generator = canvas.generator
    points = window.points
    swollen = generator.uniform(0.2, 1.2) if generator.random() < 0.7 else generator.uniform(1.5, 5)
    cells = canvas.window_noise(window, 16)
    for side in (-1, 1):
        size = generator.uniform(0.85, 1.1)
        maxillary = superellipsoid(points, (side * 30, 48, -67), (13.5 * size, 18 * size, 16 * size), 2.5) + 1.3 * rough
        _hollow(window, maxillary, free=free, wall_mm=1.3, mucosa_mm=swollen)
        ethmoid = superellipsoid(points, (side * 6.5, 49, -39), (6, 21, 11), 3.5) + 0.6 * rough
        septa = np.where(np.abs(cells) < 0.16, np.float32(9), ethmoid)
        _hollow(window, ethmoid, free=free, wall_mm=1.0, mucosa_mm=0.0)
        window.paint((ethmoid < -0.2) & (septa > 0), Label.MUCOSA)
        tall, wide = generator.uniform(3, 17), generator.uniform(6, 17)
        frontal = ellipsoid(points, (side * wide * 0.8, 79, -16 + tall * 0.5), (wide, generator.uniform(4, 7), tall))
        _hollow(window, frontal + 1.2 * rough, free=free, wall_mm=1.8, mucosa_mm=0.3)
        deep = generator.uniform(8, 13)
        sphenoid = superellipsoid(points, (side * 7.5, 15, -42), (7, deep, 9), 2.6) + 0.7 * rough
        _hollow(window, sphenoid, free=free, wall_mm=1.2, mucosa_mm=0.4)


def _hollow(window: Window, distance: Field, *, free: Mask, wall_mm: float, mucosa_mm: float) -> None:
    _bone_shell(window, distance, wall_mm)
    inside = free & (distance < 0) & ~np.isin(window.labels, (Label.OUTSIDE, Label.VITREOUS))
    window.paint(inside, Label.AIR)
    window.paint(inside & (distance > -mucosa_mm), Label.MUCOSA)
