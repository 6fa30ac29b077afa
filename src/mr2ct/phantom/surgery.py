"""What an operation leaves: a bone flap with its saw line and burr holes, a resection cavity, an enhancing rim.

Patients who are imaged for radiotherapy of the brain have often been operated on, so a network must have seen skulls
with gaps.
"""

from __future__ import annotations

import numpy as np

from mr2ct.phantom.canvas import Canvas
from mr2ct.phantom.hull import Hull
from mr2ct.phantom.shapes import Triple, ellipsoid
from mr2ct.phantom.tissues import Label


def paint_surgery(canvas: Canvas, hull: Hull) -> None:
    """Cut a round bone flap somewhere on the vault and leave a cavity, or a tumour, below it."""
    generator = canvas.generator
    side = float(generator.choice([-1, 1]))
    towards = np.array([side * generator.uniform(0.25, 1), generator.uniform(-0.9, 0.9), generator.uniform(0.1, 1)])
    towards /= np.linalg.norm(towards)
    surface = towards * (74, 92, 76) + (0, -17, 8)
    reach = 42.0
    window = canvas.window(_around(surface, -reach), _around(surface, reach))
    if window.labels.size == 0:
        return
    offset = [p - np.float32(c) for p, c in zip(window.points, surface, strict=True)]
    along = sum(o * np.float32(t) for o, t in zip(offset, towards, strict=True))
    radial = np.sqrt(np.maximum(sum(o * o for o in offset) - along * along, 0)) + canvas.window_noise(window, 40)
    flap_mm = generator.uniform(16, 32)
    bone = np.isin(window.labels, (Label.CORTICAL_BONE, Label.DIPLOE)) & (window.points[2] > -12)
    kerf = np.abs(radial - flap_mm) < generator.uniform(0.6, 1.6)
    hole = np.zeros_like(kerf)
    across = np.cross(towards, (0.3, 0.5, 0.8))
    across /= np.linalg.norm(across)
    for angle in generator.uniform(0, 2 * np.pi, generator.integers(1, 5)):
        place = flap_mm * (np.cos(angle) * across + np.sin(angle) * np.cross(towards, across))
        distance = sum((o - np.float32(c)) ** 2 for o, c in zip(offset, place, strict=True))
        hole |= distance - along * along < np.float32(generator.uniform(5, 7.5) ** 2)
    gone = bone & (kerf | hole)
    window.paint(gone, Label.MUSCLE if generator.random() < 0.5 else Label.MUCOSA)
    _paint_lesion(canvas, hull, surface - towards * generator.uniform(12, 32))


def _paint_lesion(canvas: Canvas, hull: Hull, centre: np.ndarray) -> None:
    generator = canvas.generator
    radius = generator.uniform(6, 18)
    window = canvas.window(_around(centre, -2.2 * radius), _around(centre, 2.2 * radius))
    if window.labels.size == 0:
        return
    radii = radius * generator.uniform(0.7, 1.3, 3)
    shape = ellipsoid(window.points, _around(centre, 0), (float(radii[0]), float(radii[1]), float(radii[2])))
    shape = shape + np.float32(0.15 * radius) * canvas.window_noise(window, 15)
    brain = hull.cavity[window.where] < -1.0
    swollen = (shape < 0.8 * radius) & brain & (window.labels == Label.WHITE_MATTER)
    window.paint(swollen, Label.GREY_MATTER)
    window.paint((shape < generator.uniform(1.5, 4)) & brain, Label.DURA)
    window.paint((shape < 0) & brain, Label.CSF if generator.random() < 0.7 else Label.MUCOSA)


def _around(centre: np.ndarray, reach_mm: float) -> Triple:
    return (float(centre[0] + reach_mm), float(centre[1] + reach_mm), float(centre[2] + reach_mm))
