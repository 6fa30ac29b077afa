"""The three closed surfaces that hold everything else: brain cavity, braincase and skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.phantom.canvas import Canvas, Window
from mr2ct.phantom.shapes import Field, Points, bump, capsule, ellipsoid, ramp, smooth_intersection, smooth_union
from mr2ct.phantom.shapes import superellipsoid as box


@dataclass(frozen=True)
class Hull:
    """Signed distances in mm on the fine grid, negative inside: cavity of the brain, outer braincase, skin."""

    cavity: Field
    braincase: Field
    skin: Field

    def away_from_brain(self, window: Window, spacing_mm: float) -> NDArray[np.bool_]:
        """Where a window may be hollowed: a wall at least one voxel thick stays between the hollow and the brain."""
        return np.asarray(self.cavity[window.where] > max(1.4, 1.3 * spacing_mm))


def build_hull(canvas: Canvas) -> Hull:
    """Model the surfaces on the coarse grid and stretch them to the fine one."""
    points = canvas.coarse_points
    spacing_mm = canvas.coarse_mm
    cavity = as_distance(_cavity(points), spacing_mm)
    braincase = as_distance(cavity - _skull_thickness(canvas), spacing_mm)
    skin = as_distance(_skin(canvas, braincase), spacing_mm)
    return Hull(canvas.refine(cavity), canvas.refine(braincase), canvas.refine(skin))


def as_distance(level: Field, spacing_mm: float) -> Field:
    """Divide a level function by its slope, so that it measures mm near its zero surface."""
    slope = np.sqrt(sum(g * g for g in np.gradient(level, np.float32(spacing_mm))))
    return np.asarray(level / np.clip(slope, 0.4, 3.0), dtype=np.float32)


def petrous_ridge(points: Points, side: int) -> Field:
    """The pyramid of the temporal bone, from the ear inwards to the clivus."""
    return capsule(points, (side * 60, -36, -46), (side * 14, -9, -41), (13.0, 5.0))


def clivus(points: Points) -> Field:
    """The sloping bone from the back of the sella to the front of the foramen magnum."""
    return capsule(points, (0, -7, -41), (0, -26, -69), (8.0, 4.0))


def vertebral_canal(points: Points) -> Field:
    """The canal of the spinal cord from the foramen magnum down."""
    return capsule(points, (0, -44, -58), (0, -46, -84), (16.5, 10.5))


def _cavity(points: Points) -> Field:
    x, y, z = points
    cerebrum = box(points, (0, -17, 8), (70, 90, 74), 2.25)
    # the orbital roof in front, the level of the tentorium behind
    roof = -23 + 5 * ramp(np.abs(x), 8, 30)
    floor = roof - (roof + 34) * ramp(y, 22, -25)
    cerebrum = smooth_intersection(cerebrum, (floor - z).astype(np.float32), 10)
    fossa = box(points, (0, -56, -28), (56, 50, 40), 2.1)
    # the squama of the occipital bone slopes from the inion forward to the foramen magnum
    slope = (0.70 * (-y - 62) - 0.714 * (z + 65 - 0.006 * x * x)).astype(np.float32)
    cavity = smooth_union(cerebrum, smooth_intersection(fossa, slope, 14), 10)
    for side in (-1, 1):
        cavity = smooth_union(cavity, box(points, (side * 42, -4, -24), (25.5, 33, 25), 2.2), 8)
    for side in (-1, 1):
        cavity = smooth_intersection(cavity, -petrous_ridge(points, side), 5)
    cavity = smooth_intersection(cavity, -clivus(points), 5)
    cavity = smooth_union(cavity, ellipsoid(points, (0, 2, -34), (7, 5.5, 5)), 3)
    return smooth_union(cavity, vertebral_canal(points), 6)


def _skull_thickness(canvas: Canvas) -> Field:
    x, y, z = points = canvas.coarse_points
    generator = canvas.generator
    usual = generator.uniform(4.5, 7.5)
    thickness = usual + 0.6 * canvas.noise(70) + 0.3 * canvas.noise(25)
    for side in (-1, 1):
        thickness -= (usual - 2.6) * bump(points, (side * 68, 2, -14), (26, 26, 22))
    thickness += generator.uniform(3, 9) * bump(points, (0, -108, -26), (16, 14, 13))
    thickness += generator.uniform(1, 4) * bump(points, (0, 80, -6), (22, 16, 16))
    thickness += generator.uniform(0, 2.5) * bump(points, (0, -70, 75), (40, 40, 25))
    thin = generator.uniform(1.8, 2.6)
    base = ramp(z, -12, -26) * ramp(y, -25, -5) * ramp(np.abs(x), 64, 52)
    thickness = thickness * (1 - base) + thin * base
    below = ramp(z, -42, -56)
    thickness = thickness * (1 - below) + np.minimum(thickness, 4.0) * below
    return np.asarray(np.maximum(thickness, 1.6), dtype=np.float32)


def _skin(canvas: Canvas, braincase: Field) -> Field:
    z = canvas.coarse_points[2]
    points = canvas.coarse_points
    generator = canvas.generator
    scalp = generator.uniform(4.5, 9.0) + 0.5 * canvas.noise(60)
    scalp += generator.uniform(1, 5) * ramp(z, -10, -45) * ramp(points[1], -70, -100)
    for side in (-1, 1):
        scalp += generator.uniform(5, 9) * bump(points, (side * 66, 20, -22), (14, 22, 26))
    head = braincase - np.maximum(scalp, 3)
    face = _face(points, plump=generator.uniform(-4, 5), nose_mm=generator.uniform(103, 113))
    neck_width = generator.uniform(52, 66)
    flat = (points[0] * np.float32(58 / neck_width), points[1], z)
    neck = capsule(flat, (0, -30, -75), (0, -38, -190), (56, 57))
    nape = ellipsoid(points, (0, -60, -75), (42, 32, 44))
    body = smooth_union(smooth_union(head, face, 12), smooth_union(neck, nape, 14), 16)
    for side in (-1, 1):
        body = smooth_intersection(body, -ellipsoid(points, (side * 35, 88, -39), (14, 9, 10)), 8)
    return np.asarray(body + np.float32(0.3) * canvas.noise(40), dtype=np.float32)


def _face(points: Points, *, plump: float, nose_mm: float) -> Field:
    face = box(points, (0, 30, -58), (65 + plump, 54, 56), 2.3)
    jaw = box(points, (0, 30, -98), (54 + plump, 54, 46), 2.2)
    mouth = ellipsoid(points, (0, 64, -97), (28, 30, 36))
    chin = ellipsoid(points, (0, 70, -124), (22, 19, 17))
    face = smooth_union(smooth_union(face, jaw, 14), smooth_union(mouth, chin, 10), 14)
    face = smooth_union(face, ellipsoid(points, (0, 55, -25), (52, 33, 25)), 12)
    bridge = capsule(points, (0, 78, -36), (0, nose_mm - 9, -67), (7, 8.5))
    wings = ellipsoid(points, (0, nose_mm - 17, -72), (17, 17, 10))
    return smooth_union(face, smooth_union(bridge, wings, 6), 6)
