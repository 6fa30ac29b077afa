"""The segmenter learns from labels made of the CT; its batches repeat themselves and its score is Dice."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mr2ct.datasets.splits import Split, write_split
from mr2ct.datasets.store import CaseStore
from mr2ct.errors import DataSetError
from mr2ct.hounsfield import HuScaling
from mr2ct.models.tissue_segmenter import TissueSegmenter
from mr2ct.training.learner import Learner
from mr2ct.training.tissue_features import read_segmenter
from mr2ct.training.tissue_labels import IGNORED, TissueClass
from mr2ct.training.tissue_segmentation import (
    LabelledBatches,
    TissueSegmentation,
    class_dice,
    degraded,
    labelled_slices,
    segmentation_dice,
)

SCALING = HuScaling()


@pytest.fixture
def slices(heads):
    return labelled_slices(heads, SCALING, of_volume=2)


def batches(slices, **how) -> LabelledBatches:
    return LabelledBatches(
        slices, **{"size": 24, "batch_size": 3, "hu_per_unit": SCALING.hu_per_unit, "seed": 1, **how}
    )


def test_volumes_give_slices_of_each_plane_and_slices_give_themselves(heads, slices):
    volumes = [case for case in heads if 1 not in case.info.shape]
    assert len(slices) == 6 * len(volumes) + len(heads) - len(volumes)
    assert all(one.ct.shape == one.labels.shape and one.ct.dim() == 3 for one in slices)
    assert {int(n) for one in slices for n in one.labels.unique()} >= {TissueClass.CORTICAL_BONE, TissueClass.FAT}


def test_without_a_ct_there_is_nothing_to_learn(write_heads, tmp_path):
    store = CaseStore.open(write_heads(tmp_path / "mr", ["p1"], has="mr"))
    with pytest.raises(DataSetError, match="no CT to learn the tissues from"):
        labelled_slices(store.cases, SCALING)


def test_a_batch_depends_on_seed_and_step_alone(slices):
    one, again = batches(slices)[4], batches(slices)[4]
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["degraded"], batches(slices)[5]["degraded"])
    assert not torch.equal(one["degraded"], batches(slices, seed=2)[4]["degraded"])


@pytest.mark.parametrize("size", [24, 64])
def test_batches_have_their_size_whatever_that_of_the_slices(slices, size):
    batch = batches(slices, size=size)[0]
    assert batch["degraded"].shape == (3, 1, size, size)
    assert batch["labels"].shape == (3, size, size)
    assert set(batch["labels"].unique().tolist()) <= {*TissueClass, IGNORED}


def test_a_degraded_ct_is_still_that_ct(slices):
    ct = slices[0].ct[None]
    changed = [
        degraded(ct, hu_per_unit=SCALING.hu_per_unit, generator=torch.Generator().manual_seed(n)) for n in range(9)
    ]
    errors = torch.stack([(one - ct).abs().mean() for one in changed]) * SCALING.hu_per_unit
    assert errors.min() > 1
    assert errors.max() < 250
    assert all(one.min() >= -1 and one.max() <= 1 for one in changed)


def test_dice_is_that_of_the_counted_voxels():
    labels = torch.tensor([[[0, 0, 1, 1, 2, IGNORED]]])
    found = F.one_hot(torch.tensor([[[0, 1, 1, 1, 0, 2]]]), 3).movedim(-1, 1).float()
    # 2 * both + 1 over the sum of both sizes + 1
    assert class_dice(found, labels).tolist() == pytest.approx([3 / 5, 5 / 6, 1 / 2])


def test_it_learns_to_tell_the_tissues_of_a_small_head_apart(slices, fabric):
    torch.manual_seed(0)
    network = TissueSegmenter(classes=len(TissueClass), widths=(8, 8))
    method = TissueSegmentation(Learner(fabric, network, learning_rate=0.02, schedule=lambda step: 1.0), ema_decay=0.8)
    source = batches(slices, batch_size=6)
    first = method.train_step(source[0])
    for step in range(1, 40):
        last = method.train_step(source[step])
    assert first.keys() == {"cross_entropy", "dice"}
    assert last["cross_entropy"] < first["cross_entropy"] / 2
    assert segmentation_dice(method.averaged, slices)["dice_cortical_bone"] > 0.8


def test_a_segmentation_goes_on_from_its_state(slices, fabric, differences):
    def method() -> TissueSegmentation:
        torch.manual_seed(0)
        network = TissueSegmenter(classes=len(TissueClass), widths=(4, 4))
        return TissueSegmentation(Learner(fabric, network, learning_rate=0.01, schedule=lambda step: 1.0))

    source, whole, half, rest = batches(slices), method(), method(), method()
    for step in range(4):
        whole.train_step(source[step])
    for step in range(2):
        half.train_step(source[step])
    rest.load_state_dict(half.state_dict())
    for step in range(2, 4):
        rest.train_step(source[step])
    assert differences(whole.state_dict(), rest.state_dict()) == []


def test_the_script_trains_one_that_a_recipe_can_use(stores, tmp_path, monkeypatch, capsys):
    write_split(Split(("p1", "p2", "p3", "p5"), ("p4",), ("p6",), seed=0), tmp_path / "split.json")
    script = Path(__file__).parents[2] / "scripts" / "train_tissue_segmenter.py"
    small = ["--steps", "4", "--size", "24", "--batch-size", "2", "--widths", "4", "4"]
    words = [str(stores["real"]), "--split", str(tmp_path / "split.json"), "-o", str(tmp_path / "segmenter")]
    monkeypatch.setattr(sys, "argv", [str(script), *words, *small])
    runpy.run_path(str(script), run_name="__main__")
    assert "dice_cortical_bone" in capsys.readouterr().out
    read_segmenter(tmp_path / "segmenter", dims=2, hu_range=(-1024, 3071))
    monkeypatch.setattr(sys, "argv", [str(script), *words, *small, "--seed", "7"])
    with pytest.raises(SystemExit, match="with other options"):
        runpy.run_path(str(script), run_name="__main__")
