"""The constancy set: chosen by a rule, stored with checksums, compared voxel by voxel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.datasets.case_images import Reading
from mr2ct.datasets.cases import PairedCase
from mr2ct.errors import DataSetError
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.trust.commissioning_case import CommissionedCase
from mr2ct.trust.commissioning_constancy import StoredCase, apart_hu, choose, compare, store, voxels_sha256
from mr2ct.trust.commissioning_lines import LineVerdict
from mr2ct.trust.commissioning_tolerances import Tolerances
from mr2ct.trust.verdict import InputVerdict, Verdict
from mr2ct.volume import Quantity, Volume

SHAPE = (6, 5, 4)
GRID = Geometry(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]))


def case_of(name, mae_hu, sct_file, **figures):
    known = {"mae_hu": mae_hu, "mae_bone_hu": 2 * mae_hu, "bone_dice": 0.8, "path_length_mae_mm": 2.0}
    return CommissionedCase(name, name, "", known | figures, InputVerdict(Verdict.PASS), None, sct_file, {"mr": "aa"})


@given(st.lists(st.floats(1, 500), min_size=1, max_size=40))
def test_the_set_spans_what_the_site_has(tmp_path_factory, errors):
    cases = [case_of(f"c{n:02}", value, None) for n, value in enumerate(errors)]
    chosen = choose(cases)
    assert len(chosen) == len({one.case for one in chosen})
    assert len(chosen) == (5 if len(errors) >= 10 else min(3, len(errors)))
    assert chosen[0].figures["mae_hu"] == min(errors)
    assert chosen[-1].figures["mae_hu"] == max(errors)
    assert choose(cases[::-1]) == chosen
    if len(errors) >= 3:
        assert np.percentile(errors, 50, method="nearest") in [one.figures["mae_hu"] for one in chosen]


@pytest.fixture
def site(tmp_path):
    """A case whose CT is a block of tissue, its mask, and a folder with a stored sCT."""
    rng = np.random.default_rng(1)
    hu = rng.integers(-1000, 1500, SHAPE).astype(np.int16)
    sct, ct = (Volume(hu + shift, GRID, Quantity.HU) for shift in (0, 9))
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:4] = 1
    write_volume(Volume(rng.uniform(1, 9, SHAPE).astype(np.float32), GRID, Quantity.MR), tmp_path / "mr.nii.gz")
    write_volume(ct, tmp_path / "ct.nii.gz")
    write_volume(Volume(mask, GRID, Quantity.MASK), tmp_path / "mask.nii.gz")
    write_volume(sct, tmp_path / "report" / "constancy" / "p1_sct.nii.gz")
    paths = {part: tmp_path / f"{part}.nii.gz" for part in ("mr", "ct", "mask")}
    return PairedCase("p1", "p1", "", **paths), sct, tmp_path


def compared(site, *, now_sct=None, tolerances=None, **changes):
    pair, sct, folder = site
    stored = store(case_of("p1", 50.0, folder / "report/constancy/p1_sct.nii.gz"), report_folder=folder / "report")
    again = write_volume(sct if now_sct is None else now_sct, folder / "again.nii.gz")
    now = replace(case_of("p1", 50.0, again), **changes)
    lines = compare(
        StoredCase.from_json(stored.to_json()),
        now,
        case=pair,
        reading=Reading(),
        report_folder=folder / "report",
        tolerances=tolerances or Tolerances(),
    )
    assert {line.case for line in lines} == {"p1"}
    return {line.key: line for line in lines}


def failing(lines):
    return [key for key, line in lines.items() if line.verdict is not LineVerdict.PASS]


def test_the_same_passes(site):
    lines = compared(site)
    assert failing(lines) == []
    assert len(lines) == 8
    assert all(line.value == 0 for line in lines.values())


def test_other_voxels(site):
    sct = site[1]
    voxels = sct.voxels.copy()
    voxels[2, 2, 2] += 600
    voxels[5, 0, 0] += 900
    lines = compared(site, now_sct=sct.with_voxels(voxels))
    assert lines["repeat_sct_mean_hu"].value == pytest.approx(600 / (3 * 5 * 4))
    assert lines["repeat_sct_max_hu"].value == 900
    assert failing(lines) == ["repeat_sct_mean_hu", "repeat_sct_max_hu"]
    wide = Tolerances(repeat_sct_mean_hu=20, repeat_sct_max_hu=900)
    assert failing(compared(site, now_sct=sct.with_voxels(voxels), tolerances=wide)) == []


def test_another_grid(site):
    moved = Volume(site[1].voxels, Geometry(SHAPE, np.diag([2.0, 2.0, 4.0, 1.0])), Quantity.HU)
    lines = compared(site, now_sct=moved)
    assert failing(lines) == ["repeat_sct_mean_hu", "repeat_sct_max_hu"]
    assert "another grid" in lines["repeat_sct_mean_hu"].remark


def test_other_inputs_verdict_and_figures(site):
    figures = {"mae_hu": 53.0, "mae_bone_hu": 100.0, "path_length_mae_mm": 2.1}
    refused = InputVerdict(Verdict.REFUSE)
    lines = compared(site, checksums={"mr": "bb", "mask": "cc"}, verdict=refused, figures=figures)
    assert lines["repeat_inputs_changed"].value == 2
    assert lines["repeat_inputs_changed"].remark == "mr, mask"
    assert lines["repeat_mae_hu"].value == pytest.approx(3.0)
    assert lines["repeat_mae_hu"].remark == "was 50, is 53"
    # the Dice is gone
    assert failing(lines) == ["repeat_inputs_changed", "repeat_check_changed", "repeat_mae_hu", "repeat_bone_dice"]


def test_a_stored_sct_that_is_altered_or_gone(site):
    pair, sct, folder = site
    path = folder / "report/constancy/p1_sct.nii.gz"
    stored = store(case_of("p1", 50.0, path), report_folder=folder / "report")
    arguments = {"case": pair, "reading": Reading(), "report_folder": folder / "report", "tolerances": Tolerances()}
    write_volume(sct.with_voxels(sct.voxels + np.int16(1)), path)
    with pytest.raises(DataSetError, match="is not the sCT that was stored"):
        compare(stored, case_of("p1", 50.0, path), **arguments)
    path.unlink()
    with pytest.raises(DataSetError, match="the stored sCT of p1 is missing"):
        compare(stored, case_of("p1", 50.0, path), **arguments)


def test_a_stored_case_that_lacks_a_part():
    with pytest.raises(DataSetError, match="incomplete"):
        StoredCase.from_json({"case": "p1"})


def test_the_checksum_is_of_voxels_alone(tmp_path):
    from mr2ct.io import read_volume

    sct = Volume(np.arange(120, dtype=np.int16).reshape(SHAPE), GRID, Quantity.HU)
    digests = {voxels_sha256(sct)}
    for name in ("a.nii.gz", "a.mha", "a.nrrd"):
        digests.add(voxels_sha256(read_volume(write_volume(sct, tmp_path / name), quantity=Quantity.HU)))
    assert len(digests) == 1
    assert voxels_sha256(sct.with_voxels(sct.voxels + np.int16(1))) not in digests


@given(st.integers(0, 2**32 - 1))
def test_differences_are_symmetric_and_zero_for_one(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(-1000, 3000, (2, *SHAPE)).astype(np.int16)
    inside = rng.random(SHAPE) < 0.5
    inside[0, 0, 0] = True
    assert apart_hu(one, other, inside) == apart_hu(other, one, inside)
    assert apart_hu(one, one, inside) == (0.0, 0.0)
    assert apart_hu(one, other, inside)[0] <= apart_hu(one, other, inside)[1]
