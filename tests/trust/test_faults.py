"""Each fault changes the image as its name says, keeps it finite, and is the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.geometry import Geometry
from mr2ct.trust.faults import FAULTS, made_wrong
from mr2ct.volume import Quantity, Volume


def head(shape):
    grids = np.meshgrid(*(np.linspace(-1.2, 1.2, n) if n > 1 else [0.0] for n in shape), indexing="ij")
    inside = sum(g**2 for g in grids) < 0.8
    mr = 100 * inside + 10 * np.cos(9 * (grids[0] + grids[1])) * inside
    return Volume(mr.astype(np.float32), Geometry(shape, np.diag([4.0, 4, 5, 1])), Quantity.MR), inside


@pytest.mark.parametrize("shape", [(40, 44, 1), (1, 40, 36), (24, 26, 22)])
@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_works_in_slices_and_volumes(kind, shape):
    mr, outline = head(shape)
    first, again = (made_wrong(mr, outline, kind, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.voxels, again.voxels)
    assert np.isfinite(first.voxels).all()
    assert first.quantity is Quantity.MR
    same_grid = first.geometry == mr.geometry
    assert not same_grid or not np.array_equal(first.voxels, mr.voxels)
    assert [n == 1 for n in first.voxels.shape] == [n == 1 for n in shape]


def test_what_is_cut_or_folded_keeps_its_place():
    mr, outline = head((40, 44, 1))
    for seed in range(12):
        cropped = made_wrong(mr, outline, "crop", np.random.default_rng(seed))
        offset = np.linalg.solve(mr.geometry.affine[:3, :3], cropped.geometry.affine[:3, 3]).round().astype(int)
        part = tuple(slice(o, o + n) for o, n in zip(offset, cropped.voxels.shape, strict=True))
        seen = cropped.voxels > 0
        np.testing.assert_array_equal(cropped.voxels[seen], mr.voxels[part][seen])


def test_folding_keeps_all_signal():
    mr, outline = head((40, 44, 1))
    for seed in range(6):
        folded = made_wrong(mr, outline, "wrap", np.random.default_rng(seed))
        assert folded.voxels.sum() == pytest.approx(mr.voxels.sum(), rel=1e-4)
