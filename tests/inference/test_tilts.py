"""Tilted views: there and back, which planes have them, and when a head is shown tilted."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference.tilts import LONGEST_VOXELS, SHALLOWEST_VOXELS, TILT_DEG, TILTS, tilts_of
from mr2ct.inference.translator import Translator
from mr2ct.inference.views import PLAIN

CUBES = (1.0, 1.0, 1.0)


def blob(shape: tuple[int, int, int]) -> np.ndarray:
    """A smooth body that is higher on one side, 0 far from it."""
    place = [(index - n / 2) / (n / 6) for index, n in zip(np.indices(shape), shape, strict=True)]
    return (np.exp(-sum(x**2 for x in place)) * (1 + 0.3 * place[0])).astype(np.float32)


@pytest.mark.parametrize("name", TILTS)
def test_a_tilt_is_undone(name):
    body = blob((40, 52, 46))
    view = TILTS[name]
    tilted = view.alter(body)
    again = view.restore(tilted - 1) + 1
    assert again.shape == body.shape
    assert np.abs(again - body).max() < 0.06
    assert np.abs(tilted).sum() == pytest.approx(np.abs(body).sum(), rel=0.01)


def test_a_tilt_is_a_rotation_by_its_angle():
    shape = (61, 61, 5)
    bar = np.zeros(shape, np.float32)
    bar[10:51, 30] = 1
    along, across = np.nonzero(TILTS["tilted ij+"].alter(bar) > 0.5)[:2]
    slope = np.polyfit(along, across, 1)[0]
    assert abs(np.degrees(np.arctan(slope))) == pytest.approx(TILT_DEG, abs=1)


def test_no_corner_of_the_longest_volume_is_lost():
    full = np.ones((LONGEST_VOXELS, LONGEST_VOXELS, 1), np.float32)
    view = TILTS["tilted ij-"]
    assert (view.restore(view.alter(full) - 1) + 1).min() > 0.4  # its edge is blurred, and none of it is air


def test_each_plane_is_tilted_about_the_two_lines_in_it():
    shape = (SHALLOWEST_VOXELS,) * 3
    for plane, axis in PLANE_AXIS.items():
        names = tilts_of(plane, shape, CUBES)
        assert len(names) == 4
        assert all("ijk"[axis] in name.split()[1] for name in names)


@pytest.mark.parametrize("shape", [(SHALLOWEST_VOXELS - 1,) * 3, (200, 200, 1), (200, 200, LONGEST_VOXELS + 1)])
def test_slabs_and_long_volumes_are_not_tilted(shape):
    assert tilts_of("axial", shape, CUBES) == ()


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 2.5), (1.0, 1.0, 3.0), (3.0, 1.0, 1.0), (0.9, 1.0, 1.1)])
def test_volumes_whose_voxels_are_no_cubes_are_not_tilted(spacing_mm):
    assert tilts_of("axial", (200, 200, 200), spacing_mm) == ()
    assert len(tilts_of("axial", (200, 200, 200), (0.98, 1.0, 1.02))) == 4


def test_only_a_head_in_one_plane_is_shown_tilted(linear_network, describe, make_mr):
    mr = make_mr((40, 44, 130), np.eye(4))
    translator = Translator(linear_network(), describe(), device="cpu", precision="fp32")
    alone, plain = (
        Translator(linear_network(), describe(), device="cpu", precision="fp32", **how).translate(mr, planes="axial")
        for how in ({}, {"views": PLAIN})
    )
    assert alone.record["views"] == ["plain", "mirrored", *tilts_of("axial", (96, 96, 96), CUBES)]
    assert plain.record["views"] == ["plain"]
    assert translator.translate(mr).record["views"] == ["plain"]
    # a pointwise network's answers differ by what two interpolations blur
    assert np.abs(alone.sct.voxels.astype(float) - plain.sct.voxels).mean() < 60


def test_a_body_in_thick_slices_is_not_shown_tilted(linear_network, describe, make_mr):
    """Turned by indices, 12 degrees would be 33 in space."""
    thick = [{"name": "to_canonical"}, {"name": "to_spacing", "arguments": {"spacing_mm": [1, 1, 3]}}]
    description = describe(
        steps=[*thick, {"name": "body_mask"}, {"name": "percentile_scaling"}], planes=("axial",), spacing_mm=(1, 1, 3)
    )
    mr = make_mr((40, 44, 130), np.diag([1.0, 1, 3, 1]))
    done = Translator(linear_network(), description, device="cpu", precision="fp32").translate(mr)
    assert done.record["views"] == ["plain", "mirrored"]
