from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mr2ct.cli.preprocess import Normalise
from mr2ct.datasets.case_images import Reading
from mr2ct.datasets.cases import find_synthrad, find_unpaired
from mr2ct.datasets.pipeline_choice import SCALINGS, choose_pipeline, is_learnt, learn_pipeline
from mr2ct.datasets.prepare import prepare
from mr2ct.errors import DataSetError
from mr2ct.io import write_volume
from mr2ct.preprocessing.nyul import Nyul
from mr2ct.preprocessing.pipeline import Pipeline, default_pipeline
from mr2ct.volume import Quantity

from .conftest import tiny_head


def choose(cases, root: Path, **choices: object) -> Pipeline:
    chosen = choose_pipeline(root, **{"normalise": "core", "n4": False, "spacing_mm": 1.0, **choices})
    return learn_pipeline(chosen, cases, Reading())


def test_without_choices_it_is_the_pipeline_of_the_shipped_models(tmp_path: Path):
    assert choose([], tmp_path) == default_pipeline()


def test_every_choice_of_the_command_is_known():
    assert [normalise.value for normalise in Normalise] == [*SCALINGS, "nyul"]


@pytest.mark.parametrize("normalise", SCALINGS)
def test_the_scaling_goes_after_mask_and_bias_field_and_before_the_ct_is_clipped(normalise: str, tmp_path: Path):
    names = [step.name for step in choose([], tmp_path, normalise=normalise, n4=True).steps]
    assert names == ["to_canonical", "to_spacing", "body_mask", "n4", SCALINGS[normalise].name, "clip_hu"]


def test_a_bias_field_corrected_case_is_prepared(write_synthrad, tmp_path: Path):
    cases = find_synthrad(write_synthrad("a"))
    summary = prepare(cases, choose(cases, tmp_path / "store", n4=True, spacing_mm=4.0), tmp_path / "store")
    assert summary.failed == {}


def test_a_standard_histogram_is_learnt_from_the_training_cases_and_kept_by_the_store(write_synthrad, tmp_path: Path):
    root = write_synthrad("a", "b", "c")
    (root / "c" / "mr.nii.gz").write_bytes(b"broken")
    cases, store = find_synthrad(root), tmp_path / "store"
    learnt = choose(cases, store, normalise="nyul")
    assert sum(isinstance(step, Nyul) for step in learnt.steps) == 1
    assert learnt == choose(cases[:2], store, normalise="nyul")
    assert learnt != choose(cases[:1], store, normalise="nyul")
    assert prepare(cases, learnt, store).prepared == ("a", "b")
    assert choose(cases[:1], store, normalise="nyul") == learnt
    shutil.rmtree(store / "cases")
    assert choose(cases[:1], store, normalise="nyul") != learnt


def test_what_is_left_to_learn_is_known_before_and_told_case_by_case(write_synthrad, tmp_path: Path):
    cases, store, told = find_synthrad(write_synthrad("a", "b")), tmp_path / "store", []
    chosen = choose_pipeline(store, normalise="nyul", n4=False, spacing_mm=4.0)
    assert not is_learnt(chosen)
    learnt = learn_pipeline(chosen, cases, Reading(), report=told.append)
    assert is_learnt(learnt)
    assert told == ["a", "b"]
    prepare(cases, learnt, store)
    assert choose_pipeline(store, normalise="nyul", n4=False, spacing_mm=4.0) == learnt
    assert is_learnt(choose_pipeline(store, normalise="core", n4=False, spacing_mm=4.0))


def test_a_standard_histogram_is_learnt_from_unpaired_mrs(tmp_path: Path):
    mr, ct, _ = tiny_head()
    write_volume(mr, tmp_path / "mr" / "p1.nii.gz")
    write_volume(ct, tmp_path / "ct" / "p2.nii.gz")
    cases = find_unpaired(tmp_path / "mr", tmp_path / "ct")
    assert isinstance(choose(cases, tmp_path / "store", normalise="nyul").steps[3], Nyul)
    with pytest.raises(DataSetError, match="no image"):
        choose([case for case in cases if case.case == "p2-ct"], tmp_path / "store", normalise="nyul")


@pytest.mark.parametrize("n4", [False, True])
@pytest.mark.parametrize("normalise", ["percentile", "zscore", "nyul"])
def test_a_generous_mask_does_not_change_the_scale(normalise: str, n4: bool, write_synthrad, tmp_path: Path):
    chosen = choose(find_synthrad(write_synthrad("a")), tmp_path, normalise=normalise, n4=n4, spacing_mm=4.0)
    mr, _, _ = tiny_head()
    generous = mr.with_voxels(np.ones(mr.geometry.shape, dtype=np.uint8), quantity=Quantity.MASK)
    given, found = chosen.apply(mr, mask=generous), chosen.apply(mr)
    assert given.mask.voxels.sum() > 1.3 * found.mask.voxels.sum()
    np.testing.assert_array_equal(given.mr.voxels, found.mr.voxels)
    assert found.mr.voxels.std() > 0.1


def test_what_cannot_be_chosen_is_refused(tmp_path: Path):
    with pytest.raises(
        DataSetError, match="unknown normalisation; got 'wish'; expected core, percentile, zscore, nyul"
    ):
        choose([], tmp_path, normalise="wish")
    with pytest.raises(DataSetError, match="unusable voxel size; got 0 mm"):
        choose([], tmp_path, spacing_mm=0.0)
    with pytest.raises(DataSetError, match="unusable voxel size; got 1 x 1 x 0 mm"):
        choose([], tmp_path, spacing_mm=(1.0, 1.0, 0.0))
