"""What a CT on a grid of its own did not image is left out of its case, and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mr2ct.datasets.case_images import Reading, read_paired
from mr2ct.datasets.cases import find_synthrad
from mr2ct.datasets.ct_coverage import within_ct
from mr2ct.datasets.prepare import prepare
from mr2ct.datasets.store import CaseStore, StoredCase
from mr2ct.errors import DataSetError
from mr2ct.geometry import Geometry, difference, part_of
from mr2ct.io import write_volume
from mr2ct.preprocessing.pipeline import Prepared, default_pipeline, undo_geometry
from mr2ct.preprocessing.rigid_transform import RigidTransform
from mr2ct.volume import Quantity, Volume

from .conftest import SHAPE, tiny_head

RESAMPLED = Reading(align="resample")


def cut_ct(root: Path, case: str, *, last: int, first: int = 0) -> None:
    """Leave of a case's CT the slices from `first` to `last` alone."""
    ct = tiny_head()[1]
    box = (slice(0, SHAPE[0]), slice(0, SHAPE[1]), slice(first, last))
    write_volume(Volume(ct.voxels[box].copy(), part_of(ct.geometry, box), Quantity.HU), root / case / "ct.nii.gz")


def prepared_case(root: Path, store: Path, reading: Reading = RESAMPLED) -> tuple[StoredCase, dict[str, float]]:
    summary = prepare(find_synthrad(root), default_pipeline(), store, reading=reading)
    assert summary.failed == {}
    (case,) = CaseStore.open(store).cases
    return case, dict(summary.uncovered)


@pytest.mark.parametrize("mask", [True, False])
def test_a_case_ends_where_its_ct_does(write_synthrad, tmp_path: Path, mask: bool):
    whole, uncovered = prepared_case(write_synthrad("a", root="whole", mask=mask), tmp_path / "one")
    assert uncovered == {}
    assert whole.info.record["uncovered_share"] == 0
    root = write_synthrad("a", mask=mask)
    cut_ct(root, "a", last=6)
    case, uncovered = prepared_case(root, tmp_path / "store")
    # of 12 slices of 2 mm six are left, and of them no plane that was mixed with what lies beyond
    height = case.info.shape[2]
    assert case.info.shape == (28, 32, height)
    assert 10 <= height <= 12
    np.testing.assert_array_equal(case.info.affine, whole.info.affine)
    for name in ("ct", "mr", "mask"):
        np.testing.assert_array_equal(getattr(case, name)(), getattr(whole, name)()[:, :, :height])
    left_out = 1 - case.mask().sum() / whole.mask().sum()
    assert uncovered == {"a": pytest.approx(left_out)}
    assert case.info.record["uncovered_share"] == pytest.approx(left_out, abs=1e-4)


def test_a_cut_case_still_leads_back_to_its_mr(write_synthrad, tmp_path: Path):
    root, original = write_synthrad("a"), tiny_head()[0].geometry
    back = []
    for first in (0, 4):
        cut_ct(root, "a", first=first, last=12)
        case, _ = prepared_case(root, tmp_path / f"store {first}")
        ct = Volume(case.ct(), Geometry(case.info.shape, np.array(case.info.affine)), Quantity.HU)
        back.append(undo_geometry(ct, case.info.record, original))
    assert difference(back[1].geometry, original) is None
    np.testing.assert_allclose(back[1].voxels[:, :, 6:11], back[0].voxels[:, :, 6:11], atol=1)


def test_what_a_turned_ct_does_not_reach_is_outside_the_body(write_synthrad, tmp_path: Path, monkeypatch):
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
    middle = tiny_head()[0].geometry.affine @ [*((n - 1) / 2 for n in SHAPE), 1]
    turn[:3, 3] = middle[:3] - turn[:3, :3] @ middle[:3]
    monkeypatch.setattr("mr2ct.preprocessing.registration.register_rigid", lambda fixed, moving: RigidTransform(turn))
    root = write_synthrad("a")
    (folder,) = root.iterdir()
    write_volume(Volume(np.ones(SHAPE, np.uint8), tiny_head()[0].geometry, Quantity.MASK), folder / "mask.nii.gz")
    case, uncovered = prepared_case(root, tmp_path / "store", Reading(align="rigid"))
    beyond = case.mask() == 0
    assert 0.02 < beyond.mean() < 0.4
    assert 0.02 < uncovered["a"] < 0.4
    assert (case.ct()[beyond] == -1024).all()
    assert (case.mr()[beyond] == 0).all()
    assert case.ct()[~beyond].min() > -1024


def test_a_ct_of_another_place_is_refused(write_synthrad, tmp_path: Path):
    root = write_synthrad("a", "b")
    ct = tiny_head()[1]
    away = np.array(ct.geometry.affine)
    away[2, 3] += 500
    write_volume(Volume(ct.voxels, Geometry(SHAPE, away), Quantity.HU), root / "a" / "ct.nii.gz")
    cut_ct(root, "b", first=10, last=12)
    summary = prepare(find_synthrad(root), default_pipeline(), tmp_path / "store", reading=RESAMPLED)
    assert "hardly anything of what the MR shows; got 0.0 % of the body" in summary.failed["a"]
    assert "hardly anything" in summary.failed["b"]


def test_a_pair_is_compared_where_its_ct_was_imaged(write_synthrad):
    root = write_synthrad("a")
    cut_ct(root, "a", last=6)
    (case,) = find_synthrad(root)
    pair = read_paired(case, RESAMPLED)
    np.testing.assert_array_equal(pair.compared.voxels[:, :, :6], pair.mask.voxels[:, :, :6])
    assert not pair.compared.voxels[:, :, 6:].any()
    assert pair.mask.voxels[:, :, 6:].any()
    bare = write_synthrad("a", root="bare", mask=False)
    assert read_paired(find_synthrad(bare)[0], RESAMPLED).compared is None


def test_a_ct_that_covers_all_changes_nothing():
    mr, ct, mask = tiny_head()
    prepared = default_pipeline().apply(mr, ct=ct, mask=mask)
    everywhere = Volume(np.ones(SHAPE, np.uint8), mr.geometry, Quantity.MASK)
    cut, uncovered_share = within_ct(prepared, everywhere)
    assert uncovered_share == 0
    for name in ("mr", "ct", "mask"):
        one, other = getattr(cut, name), getattr(prepared, name)
        assert one.geometry == other.geometry
        np.testing.assert_array_equal(one.voxels, other.voxels)
    nowhere = Volume(np.zeros(SHAPE, np.uint8), mr.geometry, Quantity.MASK)
    with pytest.raises(DataSetError, match=r"got 0.0 % of the body"):
        within_ct(Prepared(prepared.mr, None, prepared.mask, {}), nowhere)
