"""Pairs of files become figures, exclusions with reasons, or, for a single pair, its own error."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mr2ct.errors import DataSetError, GeometryError, InputError, MissingDependencyError, Mr2ctError
from mr2ct.evaluation.case_score import score_case
from mr2ct.evaluation.pairing import CasePair, Sources, find_pairs
from mr2ct.evaluation.scoring import ScoringOptions, score_pair, score_pairs, structures_of
from mr2ct.evaluation.tissue_metrics import TissueThresholds
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.io.checksum import sha256
from mr2ct.volume import Quantity, Volume

OPTIONS = ScoringOptions("synthrad2023")


@pytest.fixture
def pairs(tmp_path: Path, write_truth, write_converted) -> tuple[CasePair, ...]:
    cases = ["p1", "p2", "p3"]
    return find_pairs(Sources(write_converted(tmp_path / "out", cases), write_truth(tmp_path / "truth", cases))).pairs


def rewrite(path: Path, change) -> None:
    write_volume(change(read_volume(path, quantity=Quantity.HU)), path)


def on_another_grid(volume: Volume) -> Volume:
    return Volume(volume.voxels, Geometry(volume.geometry.shape, np.diag([3.0, 3.0, 5.0, 1.0])), volume.quantity)


def test_a_pair_is_scored_as_its_volumes_are(pairs, head_ct, head_mask):
    scored = score_pair(pairs[0], OPTIONS)
    sct = read_volume(pairs[0].sct, quantity=Quantity.HU)
    assert scored.score.image == score_case(sct, head_ct, head_mask, protocol="synthrad2023").image
    assert scored.mask_from == "mask file"
    assert scored.checksums["ct"] == hashlib.sha256(pairs[0].ct.read_bytes()).hexdigest()
    assert set(scored.checksums) == {"sct", "ct", "mask"}
    assert len(scored.profile.depth_mm) > 5


def test_without_a_mask_the_body_counts_and_it_is_said(pairs):
    scored = score_pair(replace(pairs[0], mask=None), OPTIONS)
    assert scored.mask_from == "body outline of the CT"
    assert set(scored.checksums) == {"sct", "ct"}


def test_thresholds_reach_the_tissues(pairs):
    options = replace(OPTIONS, thresholds=TissueThresholds(bone_above=2000))
    assert "bone" in score_pair(pairs[0], OPTIONS).score.tissues
    assert "bone" not in score_pair(pairs[0], options).score.tissues


def test_other_grids_and_empty_masks_are_exclusions_with_reasons(pairs):
    rewrite(pairs[0].sct, on_another_grid)
    write_volume(Volume(np.zeros((16, 18, 12)), read_volume(pairs[1].ct).geometry, Quantity.MASK), pairs[1].mask)
    done, failed = score_pairs(pairs, OPTIONS)
    assert [case.pair.case for case in done] == ["p3"]
    reasons = {e.case: e.reason for e in failed}
    assert "sCT and CT lie on different grids; got affine" in reasons["p1"]
    assert "the mask is empty" in reasons["p2"]


def test_a_mask_beside_the_body_is_refused(pairs):
    corner = np.zeros((16, 18, 12), np.uint8)
    corner[:2, :2, :2] = 1
    write_volume(Volume(corner, read_volume(pairs[0].ct).geometry, Quantity.MASK), pairs[0].mask)
    with pytest.raises(DataSetError, match="mask and CT do not overlap"):
        score_pair(pairs[0], OPTIONS)


def test_a_single_pair_raises_its_own_error(pairs):
    rewrite(pairs[0].sct, on_another_grid)
    with pytest.raises(GeometryError, match="different grids"):
        score_pairs(pairs[:1], OPTIONS)


def test_none_that_can_be_scored_is_an_error(pairs):
    for pair in pairs:
        pair.sct.write_bytes(b"cut off")
    with pytest.raises(DataSetError, match="none of 3 cases could be scored"):
        score_pairs(pairs, OPTIONS)


def test_an_unforeseen_error_is_an_exclusion_too(pairs, monkeypatch):
    monkeypatch.setattr("mr2ct.evaluation.scoring.slice_profile", lambda *_: {}["odd"])
    with pytest.raises(DataSetError, match="KeyError: 'odd'"):
        score_pairs(pairs, OPTIONS)


def test_an_sct_that_is_not_in_hu_is_doubted(pairs):
    rewrite(pairs[0].sct, lambda sct: sct.with_voxels(sct.voxels + 1024))
    assert "is it in HU" in score_pair(pairs[0], OPTIONS).notes[0]
    rewrite(pairs[1].sct, lambda sct: sct.with_voxels(np.full_like(sct.voxels, -1000)))
    assert score_pair(pairs[1], OPTIONS).notes[0].startswith("the sCT is constant")


def test_label_maps_are_compared(pairs, head_ct, tmp_path: Path):
    labels = Volume((head_ct.voxels > 250).astype(np.uint8) * 7, head_ct.geometry, Quantity.MASK)
    path = write_volume(labels, tmp_path / "labels.nii.gz")
    scored = score_pair(replace(pairs[0], labels_sct=path, labels_ct=path), OPTIONS)
    assert scored.score.geometry["label_7_dice"] == 1.0


def test_path_lengths_are_figures_of_the_case(pairs):
    extras = score_pair(pairs[0], replace(OPTIONS, path_length=True)).extras
    assert extras["path_length_mae_mm"] > 0


def test_the_skull_is_compared_where_asked_for(pairs):
    extras = score_pair(pairs[0], replace(OPTIONS, skull=True)).extras
    assert 50 < extras["bone_gradient_energy_percent"] < 200
    assert 0 <= extras["brain_outline_moved_mm"] < 3 or np.isnan(extras["brain_outline_moved_mm"])
    assert "bone_gradient_energy_percent" not in score_pair(pairs[0], OPTIONS).extras


def test_the_report_puts_figures_of_the_skull_with_geometry(pairs):
    from mr2ct.evaluation.report_method import method_sentences
    from mr2ct.evaluation.report_results import other_heading, other_results
    from mr2ct.evaluation.scoring import Evaluation

    case = score_pair(pairs[0], replace(OPTIONS, skull=True))
    evaluation = Evaluation("m", OPTIONS.protocol, (case,))
    geometry, further = other_results([evaluation], seed=0)
    assert "gradient energy in bone" in geometry
    assert "gradient" not in (further or "")
    assert other_heading([evaluation]) == "Geometry"
    assert any("Brain outline moved" in sentence for sentence in method_sentences([evaluation], seed=0))


def test_what_cannot_be_compared_in_dose_is_noted_and_the_images_are_compared(pairs, monkeypatch):
    def refuse(*_, **__):
        raise InputError("dose needs a volume")

    monkeypatch.setattr("mr2ct.evaluation.dose.dose_report", refuse)
    scored = score_pair(pairs[0], replace(OPTIONS, beams=("photon",)))
    assert scored.notes == ("dose needs a volume",)
    assert scored.score.image["mae_hu"] > 0


def test_dose_without_its_package_is_an_error_for_all(pairs, monkeypatch):
    def refuse(*_, **__):
        raise MissingDependencyError("no pyRadPlan")

    monkeypatch.setattr("mr2ct.evaluation.dose.dose_report", refuse)
    with pytest.raises(MissingDependencyError):
        score_pairs(pairs, replace(OPTIONS, beams=("photon",)))


def test_dose_figures_bear_the_name_of_their_beam(pairs, monkeypatch):
    monkeypatch.setattr("mr2ct.evaluation.dose.dose_report", lambda *_, modality, **__: {"x_percent": len(modality)})
    extras = score_pair(pairs[0], replace(OPTIONS, beams=("photon", "proton"))).extras
    assert extras == {"photon_x_percent": 6, "proton_x_percent": 6}


def test_a_label_map_becomes_structures(head_ct):
    labels = head_ct.with_voxels((head_ct.voxels > 250) * 3 + (head_ct.voxels == 40) * 5, quantity=Quantity.MASK)
    found = structures_of(labels, target=5)
    assert {name: int(mask.voxels.sum()) for name, mask in found.items()} == {
        "label_3": int((head_ct.voxels > 250).sum()),
        "target": int((head_ct.voxels == 40).sum()),
    }
    with pytest.raises(DataSetError, match="no such target"):
        structures_of(None, target=1)


def test_every_case_is_reported(pairs):
    seen: list[str] = []
    score_pairs(pairs, OPTIONS, report=seen.append)
    assert sorted(seen) == ["p1", "p2", "p3"]


def test_an_unknown_protocol_is_an_error(pairs):
    with pytest.raises(Mr2ctError, match="unknown protocol"):
        score_pair(pairs[0], ScoringOptions("synthrad1999"))


def test_a_missing_mask_file_is_an_error(pairs, tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        score_pair(replace(pairs[0], mask=tmp_path / "no.mha"), OPTIONS)


def test_the_checksum_of_a_folder_covers_names_and_contents(tmp_path: Path):
    (tmp_path / "1.dcm").write_bytes(b"a")
    before = sha256(tmp_path)
    (tmp_path / "1.dcm").rename(tmp_path / "2.dcm")
    assert sha256(tmp_path) != before
