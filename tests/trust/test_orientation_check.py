"""Turned heads are told from upright ones by what was learnt from upright ones."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.trust.orientation_check import ALL_POSES, OrientationRule, Pose, _seen, learn_orientation
from mr2ct.trust.slice_picture import square_picture
from mr2ct.trust.slice_view import SliceView


def blob(plane, rng):
    """A shape that is unlike itself upside-down and, in a sagittal slice, unlike itself from behind."""
    i, j = np.mgrid[-1:1:60j, -1:1:60j]
    outline = i**2 + (j * 0.8) ** 2 < rng.uniform(0.5, 0.6)
    nose = {"axial": (0.0, 0.7), "coronal": (0.0, -0.75), "sagittal": (0.7, -0.4)}[plane]
    mr = 0.5 * outline + 0.8 * (np.hypot(i - nose[0], j - nose[1]) < rng.uniform(0.15, 0.2))
    if plane == "coronal":
        mr -= 0.4 * (np.abs(j - 0.3) < 0.1) * outline
    return square_picture(SliceView(plane, mr.astype(np.float32), outline, (3.0, 3.0)))


@pytest.fixture(scope="module")
def rule():
    rng = np.random.default_rng(1)
    return learn_orientation(
        {plane: [blob(plane, rng) for _ in range(6)] for plane in ("sagittal", "coronal", "axial")}
    )


def test_upright_slices_are_left_alone(rule):
    rng = np.random.default_rng(2)
    for plane in ("axial", "coronal", "sagittal"):
        assert rule.best_poses({plane: blob(plane, rng)})[1] > 0
    pictures = {plane: blob(plane, rng) for plane in ("axial", "coronal", "sagittal")}
    assert rule.best_poses(pictures)[1] > 0


def test_left_and_right_do_not_count(rule):
    picture = blob("coronal", np.random.default_rng(3))
    assert rule.best_poses({"coronal": picture[:, ::-1]})[1] == pytest.approx(rule.best_poses({"coronal": picture})[1])


def test_upside_down_is_found_and_named(rule):
    rng = np.random.default_rng(4)
    pictures = {"coronal": blob("coronal", rng)[:, :, ::-1], "sagittal": blob("sagittal", rng)[:, :, ::-1]}
    pose, margin = rule.best_poses(pictures | {"axial": blob("axial", rng)})
    assert margin < 0
    assert pose.words == "upside-down"


def test_a_slice_of_another_plane_is_found(rule):
    pose, margin = rule.best_poses({"axial": blob("sagittal", np.random.default_rng(5))})
    assert margin < 0
    assert "exchanged" in pose.words


def test_the_rule_survives_json(rule):
    picture = {"axial": blob("axial", np.random.default_rng(6))}
    again = OrientationRule.from_json(rule.to_json())
    assert again.best_poses(picture) == rule.best_poses(picture)


def test_there_are_48_poses_and_each_shows_three_planes():
    assert len(set(ALL_POSES)) == 48
    pictures = dict.fromkeys(("axial", "coronal", "sagittal"), np.zeros((3, 20, 20), np.float32))
    assert all(len(_seen(pose, pictures)) == 3 for pose in ALL_POSES)


@pytest.mark.parametrize("pose", ALL_POSES)
def test_what_is_seen_agrees_with_turning_a_volume(pose):
    """Independent: transpose and flip a whole volume, and cut its middle slices."""
    from mr2ct.geometry import PLANE_AXIS
    from mr2ct.trust.orientation_check import _turned

    volume = np.random.default_rng(7).random((5, 5, 5)).astype(np.float32)
    true = volume.transpose(pose.axes)[tuple(slice(None, None, -1 if f else 1) for f in pose.flipped)]
    pictures = {plane: volume.take(2, axis=axis)[None] for plane, axis in PLANE_AXIS.items()}
    for plane, source, turn in _seen(pose, pictures):
        np.testing.assert_array_equal(_turned(pictures[source], turn)[0], true.take(2, axis=PLANE_AXIS[plane]))


def test_words_of_poses():
    assert Pose((0, 1, 2), (True, False, False)).words == "as labelled"
    assert Pose((0, 1, 2), (False, True, True)).words == "front to back and upside-down"
    assert Pose((0, 2, 1), (False, False, False)).words == "with the axes front-back and head-foot exchanged"
