"""The braincase: outer table, marrow, inner table, and the solid bones of the skull base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct.phantom.canvas import Canvas, Window
from mr2ct.phantom.hull import Hull, clivus, petrous_ridge, vertebral_canal
from mr2ct.phantom.shapes import Field, bump, capsule, ellipsoid, smooth_union, superellipsoid
from mr2ct.phantom.tissues import Label


def paint_braincase(canvas: Canvas, hull: Hull) -> None:
    """Paint the shell between cavity and braincase: two cortical tables with marrow between where it is thick."""
    generator = canvas.generator
    shell = (hull.cavity > 0) & (hull.braincase < 0)
    table = generator.uniform(1.2, 2.1)
    variation = canvas.refine(0.25 * canvas.noise(12) + 0.35 * canvas.noise(35))
    marrow = shell & (hull.cavity > table + variation) & (-hull.braincase > table + 0.3 + variation)
    canvas.labels[shell] = Label.CORTICAL_BONE
    canvas.labels[marrow] = Label.DIPLOE
    # no bone below the foramen magnum
    window = canvas.window((-30, -75, -120), (30, -10, -60))
    z = window.points[2]
    soft = np.isin(window.labels, (Label.CORTICAL_BONE, Label.DIPLOE)) & (z < -67)
    window.paint(
        soft & (vertebral_canal(window.points) < 6 * bump((z, z, z), (-74, -74, -74), (9, 9, 9)) + 4), Label.FAT
    )


def paint_skull_base(canvas: Canvas, hull: Hull) -> None:
    """Paint the petrous pyramids, clivus, sphenoid body, mastoids with their cells, and occipital condyles."""
    window = canvas.window((-78, -75, -88), (78, 38, -20))
    if window.labels.size == 0:
        return
    rough = 0.7 * canvas.window_noise(window, 10)
    outside_brain = hull.cavity[window.where] > 0
    _paint_clivus_and_sphenoid(window, rough, outside_brain)
    for side in (-1, 1):
        _paint_petrous_bone(window, side, outside_brain)
        _paint_ear_and_mastoid(canvas, hull, side)


def _paint_clivus_and_sphenoid(window: Window, rough: Field, free: NDArray[np.bool_]) -> None:
    points = window.points
    bone = smooth_union(clivus(points), superellipsoid(points, (0, 12, -42), (18, 17, 12), 2.5), 6)
    for side in (-1, 1):
        bone = smooth_union(bone, ellipsoid(points, (side * 21, -40, -70), (6.5, 11, 7)), 3)
        wing = superellipsoid(points, (side * 30, 22, -42), (18, 5, 4), 2.2)
        bone = smooth_union(bone, wing, 4)
        for lean, back in ((11.0, 10.0), (17.0, 6.0)):
            plate = superellipsoid(points, (side * lean, back, -62), (1.6, 6, 13), 3)
            bone = smooth_union(bone, plate, 2)
    bone = bone + 0.5 * rough
    window.paint((bone < 0) & free, Label.CORTICAL_BONE)
    window.paint((bone < -1.5) & free, Label.SPONGY_BONE)


def _paint_petrous_bone(window: Window, side: int, free: NDArray[np.bool_]) -> None:
    petrous = petrous_ridge(window.points, side) + 0.5
    window.paint((petrous < 0) & free, Label.CORTICAL_BONE)
    window.paint((petrous < -1.5) & free, Label.DENSE_BONE)
    marrow = capsule(window.points, (side * 27, -16, -42), (side * 15, -9, -41), (3.6, 3.2))
    window.paint((marrow < 0) & free, Label.SPONGY_BONE)
    meatus = capsule(window.points, (side * 18, -27, -40), (side * 36, -24, -42), (3.2, 2.2))
    window.paint((meatus < 0) & free, Label.CSF)


def _paint_ear_and_mastoid(canvas: Canvas, hull: Hull, side: int) -> None:
    low, high = ((30, -75, -88), (78, 0, -20)) if side > 0 else ((-78, -75, -88), (-30, 0, -20))
    window = canvas.window(low, high)
    if window.labels.size == 0:
        return
    generator = canvas.generator
    points = window.points
    # the roof towards the brain stays closed
    free = hull.away_from_brain(window, canvas.spacing_mm)
    mastoid = smooth_union(
        ellipsoid(points, (side * 61, -38, -48), (11, 17, 15)),
        capsule(points, (side * 60, -33, -55), (side * 56, -31, -74), (9, 5)),
        5,
    )
    mastoid = mastoid + 0.8 * canvas.window_noise(window, 9)
    outside = np.isin(window.labels, (Label.FAT, Label.MUSCLE, Label.SKIN))
    window.paint((mastoid < 0) & outside & free, Label.CORTICAL_BONE)
    aerated = generator.uniform(0.2, 1.0)
    cells = 0.6 * canvas.window_noise(window, 6) + 0.5 * canvas.window_noise(window, 12)
    reach = ellipsoid(points, (side * 57, -34, -50), (5 + 9 * aerated, 9 + 9 * aerated, 10 + 13 * aerated))
    bone = np.isin(window.labels, (Label.CORTICAL_BONE, Label.DENSE_BONE, Label.DIPLOE)) & free
    near = (np.minimum(mastoid, petrous_ridge(points, side)) < -1.6) & bone & (reach < 0)
    content = Label.AIR if generator.random() < 0.85 else Label.MUCOSA
    window.paint(near & (np.abs(cells) > 0.25), content)
    middle_ear = ellipsoid(points, (side * 50, -20, -47), (3.5, 5, 6)) + 0.4 * canvas.window_noise(window, 6)
    window.paint((middle_ear < 1.2) & free, Label.CORTICAL_BONE)
    window.paint((middle_ear < 0) & free, content)
    cochlea = np.abs(ellipsoid(points, (side * 40, -20, -43), (4, 3, 2.5)))
    window.paint((cochlea < 0.7) & (window.labels == Label.DENSE_BONE), Label.CSF)
