"""Beams: where gantry angles point in the patient, and frames that hold every voxel."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.errors import InputError
from mr2ct.evaluation.beam_frame import beam_directions, beam_frame, from_frame, gantry_direction, onto_frame
from mr2ct.geometry import Geometry, corners_mm, world_to_voxel


@pytest.mark.parametrize(
    ("angle", "towards"), [(0, (0, -1, 0)), (90, (1, 0, 0)), (180, (0, 1, 0)), (270, (-1, 0, 0)), (360, (0, -1, 0))]
)
def test_gantry_angles_are_those_of_iec_61217(angle: float, towards: tuple[int, int, int]):
    """0 degrees from in front to the back, 90 degrees from the patient's left to the right."""
    np.testing.assert_allclose(gantry_direction(angle), towards, atol=1e-12)


def test_a_frame_is_orthogonal_and_covers_the_volume(awkward_affine: np.ndarray):
    grid = Geometry((5, 7, 4), awkward_affine)
    for direction in (gantry_direction(33.0), (0.0, 0.0, -2.0), (1.0, 2.0, 3.0)):
        frame = beam_frame(grid, direction, step_mm=1.3)
        axes = frame.affine[:3, :3] / 1.3
        np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(axes[:, 2], np.array(direction) / np.linalg.norm(direction), atol=1e-12)
        at = world_to_voxel(frame.affine, corners_mm(grid))
        assert (at >= -0.5).all()
        assert (at <= np.array(frame.shape) - 0.5).all()


def test_there_and_back_again_keeps_a_smooth_image(awkward_affine: np.ndarray):
    grid = Geometry((14, 15, 13), awkward_affine)
    frame = beam_frame(grid, gantry_direction(70.0), step_mm=0.5)
    i, j, k = np.meshgrid(*(np.linspace(-2, 2, n) for n in grid.shape), indexing="ij")
    smooth = np.exp(-(i**2) - j**2 - k**2).astype(np.float32)
    np.testing.assert_allclose(from_frame(onto_frame(smooth, grid, frame), frame, grid), smooth, atol=0.06)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_beams_through_a_slice_stay_in_it(axis: int, awkward_affine: np.ndarray):
    shape = [6, 7, 8]
    shape[axis] = 1
    grid = Geometry((shape[0], shape[1], shape[2]), awkward_affine)
    directions = beam_directions(grid, (0.0, 45.0, 120.0))
    np.testing.assert_allclose(directions @ grid.directions[:, axis], 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert all(beam_frame(grid, direction).shape[1] == 1 for direction in directions)


def test_what_is_no_beam_is_refused():
    grid, flat = Geometry((4, 4, 4), np.eye(4)), Geometry((4, 4, 1), np.eye(4))
    with pytest.raises(InputError, match="unusable beam direction"):
        beam_frame(grid, (0, 0, 0))
    with pytest.raises(InputError, match="unusable beam direction"):
        beam_frame(grid, (1, 0))
    with pytest.raises(InputError, match="unusable step"):
        beam_frame(grid, (1, 0, 0), step_mm=0)
    with pytest.raises(InputError, match="leaves the slice"):
        beam_frame(flat, (0, 0, 1))
