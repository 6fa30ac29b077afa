"""The outline scored: filled, without couch, inside the mask; empty where there is no body."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.evaluation.body_outline import body_outline
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.volume import Quantity, Volume


@pytest.fixture
def head(oblique_affine: np.ndarray) -> Volume:
    """40 x 36 x 20 voxels: an ellipsoid with a hollow, and a couch below it."""
    i, j, k = np.meshgrid(*(np.arange(n) for n in (40, 36, 20)), indexing="ij")
    hu = np.where(((i - 20) / 14) ** 2 + ((j - 20) / 12) ** 2 + ((k - 10) / 20) ** 2 < 1, 40, -1000)
    hu[18:22, 18:22, 8:12] = -1000
    hu[:, 1:4] = 200
    return Volume(hu.astype(np.int16), Geometry((40, 36, 20), oblique_affine), Quantity.HU)


def test_it_is_the_body_mask_where_nothing_is_left_out(head):
    everything = np.ones(head.geometry.shape, dtype=bool)
    assert np.array_equal(body_outline(head, everything), body_mask(head).voxels != 0)


def test_couch_and_what_lies_outside_the_mask_do_not_count(head):
    inside = np.zeros(head.geometry.shape, dtype=bool)
    inside[4:36, 6:34] = True
    outline = body_outline(head, inside)
    assert outline[20, 20, 10]
    assert not outline[:, :4].any()
    other = np.where(inside, head.voxels, 3000).astype(np.int16)
    assert np.array_equal(body_outline(head.with_voxels(other), inside), outline)


def test_air_has_no_outline(head):
    assert not body_outline(head.with_voxels(np.full(head.geometry.shape, -1000.0)), head.voxels > -2000).any()
