"""The bone surface: bodies whose depth and normals are known, seen from every side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.evaluation.bone_surface import Camera, bone_surface, first_crossing

SPACING_MM = (2.0, 1.5, 1.0)
SHAPE = (31, 41, 61)


def ball(radius_mm: float = 25.0) -> np.ndarray:
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    places = np.meshgrid(*axes, indexing="ij")
    return np.clip(500 + 250 * (radius_mm - np.sqrt(sum(p**2 for p in places))), -1000, 1500)


@settings(max_examples=12, deadline=None)
@given(azimuth=st.floats(0, 360), elevation=st.floats(-80, 80))
def test_a_ball_is_round_and_brightest_in_its_middle_from_every_side(azimuth, elevation):
    picture = bone_surface(ball(), SPACING_MM, camera=Camera(azimuth, elevation, pixel_mm=2.0))
    seen = np.isfinite(picture)
    assert seen.sum() * 4 == pytest.approx(np.pi * 26**2, rel=0.08)
    middle = tuple(n // 2 for n in picture.shape)
    assert picture[middle] > 0.95
    edge = seen & ~(seen & np.roll(seen, 2, 0) & np.roll(seen, -2, 0) & np.roll(seen, 2, 1) & np.roll(seen, -2, 1))
    assert np.nanmean(picture[edge]) < 0.6


def test_crossings_lie_where_the_line_between_voxels_crosses():
    ramp = np.broadcast_to(np.arange(11.0)[:, None, None] * 10, (11, 3, 3))
    start = np.array([[0.0, 1.0, 1.0], [0.0, 9.0, 9.0]])
    found = first_crossing(ramp, start, np.array([0.5, 0.0, 0.0]), threshold=37.0, most=30)
    assert found[0] == pytest.approx(7.4)
    assert np.isnan(found[1])


def test_the_nearer_side_is_seen():
    hu = np.full((21, 21, 21), -1000.0)
    hu[3:18, 17, 3:18] = 800
    hu[8:13, 2, 8:13] = 800
    cameras = [Camera(angle, pixel_mm=1.0) for angle in (0, 180)]
    front, back = (bone_surface(hu, (1.0, 1.0, 1.0), camera=camera) for camera in cameras)
    assert np.isfinite(front).sum() == np.isfinite(back).sum()
    # from behind the small plate stands in front of the large one, which is darker for its distance
    assert np.nanmax(front) - np.nanmedian(front) < 0.05
    assert np.nanmax(back) - np.nanmedian(back) > 0.1


def test_right_and_left_are_as_for_a_person_who_faces_the_head():
    right, down = Camera(0, 0).picture_axes
    assert right == pytest.approx([-1, 0, 0])
    assert down == pytest.approx([0, 0, -1])
    assert Camera(90, 0).towards_viewer == pytest.approx([-1, 0, 0])


def test_no_bone_gives_an_empty_picture():
    assert np.isnan(bone_surface(np.zeros((5, 6, 7)), (1.0, 1.0, 1.0), camera=Camera())).all()


def test_a_slice_is_refused():
    with pytest.raises(InputError, match="not a volume"):
        bone_surface(np.zeros((5, 6)), (1.0, 1.0, 1.0), camera=Camera())
