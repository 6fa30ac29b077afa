"""Air inside a head: against SciPy's distance map, on heads drawn for it, and on the phantom's own truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mr2ct.errors import GeometryError
from mr2ct.evaluation.enclosed_air import ENCLOSED_DEPTH_MM, Pockets, deep_brain, enclosed_air, pockets
from mr2ct.phantom import head_mask, head_phantom, simulate_ct
from mr2ct.phantom.tissues import Label
from mr2ct.preprocessing.morphology import depth_mm

SPACING_MM = (3.0, 2.0, 2.5)


def ball(shape=(40, 50, 44), radius=0.9) -> np.ndarray:
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return sum(axis**2 for axis in axes) < radius**2


def test_enclosed_air_agrees_with_a_distance_map():
    hu = np.random.default_rng(0).integers(-1000, 500, ball().shape)
    room = ndimage.distance_transform_edt(np.pad(ball(), 1), sampling=SPACING_MM)[1:-1, 1:-1, 1:-1]
    assert np.array_equal(enclosed_air(hu, depth_mm(ball(), SPACING_MM)), (hu < -250) & (room > ENCLOSED_DEPTH_MM))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99))
def test_pockets_add_up_and_ignore_directions(seed):
    where = np.random.default_rng(seed).random((8, 9, 10)) < 0.4
    found = pockets(where, SPACING_MM)
    assert found.total_ml == pytest.approx(where.sum() * 15 / 1000)
    assert found.largest_ml <= found.total_ml + 1e-12
    turned = pockets(where[::-1].transpose(1, 2, 0), (2.0, 2.5, 3.0))
    assert (turned.count, turned.largest_ml) == (found.count, pytest.approx(found.largest_ml))


def test_nothing_has_no_pockets():
    assert pockets(np.zeros((3, 3, 3), bool), SPACING_MM) == Pockets(0, 0.0, 0.0)
    assert not deep_brain(np.zeros((3, 3, 3), np.float32), SPACING_MM).any()


def test_deep_brain_is_deep_and_high():
    head = ball((60, 70, 80))
    brain = deep_brain(depth_mm(head, (2.5, 2.5, 2.5)), (2.5, 2.5, 2.5))
    assert brain.any()
    assert not (brain & ~ndimage.binary_erosion(head, iterations=5)).any()
    vertex = np.flatnonzero(head.any(axis=(0, 1)))[-1]
    assert np.flatnonzero(brain.any(axis=(0, 1)))[0] >= vertex - 32


@pytest.mark.parametrize("seed", [1, 2])
def test_a_phantom_has_air_in_its_sinuses_and_nothing_but_brain_in_its_deep_brain(seed):
    phantom = head_phantom(seed, spacing_mm=4.0)
    head = head_mask(phantom).voxels != 0
    spacing_mm = phantom.geometry.spacing_mm
    hu = simulate_ct(phantom, seed).voxels
    depth = depth_mm(head, spacing_mm)
    brain = deep_brain(depth, spacing_mm)
    assert not np.isin(phantom.labels[brain], [Label.AIR, Label.CORTICAL_BONE, Label.DIPLOE]).any()
    assert pockets(enclosed_air(hu, depth), spacing_mm).total_ml > 5


def test_other_shapes_are_refused():
    with pytest.raises(GeometryError, match="different shapes"):
        enclosed_air(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)))
