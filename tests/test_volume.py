"""A volume is frozen and holds few number types."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume

GRID = Geometry((2, 3, 4), np.eye(4))


@pytest.mark.parametrize(
    ("quantity", "given", "held"),
    [
        (Quantity.MR, np.float32, np.float32),
        (Quantity.MR, np.int16, np.int16),
        (Quantity.MR, np.float64, np.float32),
        (Quantity.MR, np.uint16, np.float32),
        (Quantity.MR, np.uint8, np.float32),
        (Quantity.HU, np.int16, np.int16),
        (Quantity.HU, np.int32, np.float32),
        (Quantity.MASK, bool, np.uint8),
        (Quantity.MASK, np.int64, np.uint8),
    ],
)
def test_number_types(quantity: Quantity, given: type, held: type):
    voxels = np.arange(24).reshape(2, 3, 4).astype(given)
    volume = Volume(voxels, GRID, quantity)
    assert volume.voxels.dtype == held
    np.testing.assert_array_equal(volume.voxels, voxels)


@pytest.mark.parametrize(
    "voxels", [np.zeros((2, 3, 4), complex), np.zeros((2, 3, 4), "U3"), np.zeros((2, 3, 4), object)]
)
def test_what_is_no_real_number_is_refused(voxels: np.ndarray):
    with pytest.raises(InputError, match="not real numbers"):
        Volume(voxels, GRID, Quantity.MR)


def test_voxels_must_fit_their_grid():
    with pytest.raises(GeometryError, match=r"got shape \(4, 3, 2\); expected shape \(2, 3, 4\)"):
        Volume(np.zeros((4, 3, 2)), GRID, Quantity.MR)


def test_a_volume_is_frozen_and_its_source_is_not():
    voxels = np.zeros((2, 3, 4), np.float32)
    volume = Volume(voxels, GRID, Quantity.MR)
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        volume.quantity = Quantity.HU  # type: ignore[misc]
    voxels[0, 0, 0] = 1


def test_with_voxels_keeps_the_grid_and_the_quantity():
    volume = Volume(np.zeros((2, 3, 4)), GRID, Quantity.MR)
    assert volume.with_voxels(np.ones((2, 3, 4))).quantity is Quantity.MR
    other = volume.with_voxels(np.ones((2, 3, 4)), quantity=Quantity.MASK)
    assert (other.quantity, other.voxels.dtype, other.geometry) == (Quantity.MASK, np.uint8, GRID)
    with pytest.raises(GeometryError):
        volume.with_voxels(np.ones((2, 3, 5)))
