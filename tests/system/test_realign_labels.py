"""The store of moved CT: training CT on the models' sCT, true CT for validation, none for test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mr2ct.datasets.splits import Split, read_split, write_split
from mr2ct.datasets.store import CaseInfo, CaseStore, create_store, write_case
from mr2ct.errors import DataSetError
from mr2ct.hounsfield import HuScaling

HU_RANGE = (-1024.0, 3071.0)


@pytest.fixture(scope="module")
def realign(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("realign_labels")


def model(*, flips: bool = True) -> SimpleNamespace:
    """Takes an MR for a CT: 0 is air, 1 is 24 HU."""
    scaling = HuScaling(*HU_RANGE)
    description = SimpleNamespace(hu_scaling=scaling, hu_range=HU_RANGE, weights_sha256="a", flips=flips)
    return SimpleNamespace(description=description, engine=lambda batch: scaling.to_network(1024 * batch - 1000))


def disc() -> np.ndarray:
    rows, columns = np.indices((64, 72))
    return gaussian_filter((np.hypot(rows - 30, (columns - 34) / 1.2) < 20).astype(float), 0.7)


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    create_store(tmp_path / "store", settings={"pipeline": 1})
    for patient in "abc":
        for plane, axis in (("axial", 2), ("sagittal", 0)):
            mr = np.expand_dims(disc(), axis)
            # registration left two voxels
            ct = np.roll(1024 * mr - 1000, 2, axis=1 if axis == 0 else 0)
            info = CaseInfo(f"{patient}-{plane}", patient, "A", "real", mr.shape, np.eye(4).tolist(), {"made": 1})
            write_case(tmp_path / "store", info=info, mr=mr, ct=ct, mask=np.ones(mr.shape))
    split = Split(train=("a",), validation=("b",), test=("c",), seed=1)
    write_split(split, tmp_path / "store" / "split.json")
    return CaseStore.open(tmp_path / "store")


def test_training_ct_lie_on_the_sct_and_validation_ct_stay(realign: ModuleType, store: CaseStore, tmp_path: Path):
    changes = realign.realign(store, tmp_path / "new", [model()])
    assert len(changes) == 2
    found = CaseStore.open(tmp_path / "new")
    assert {case.info.patient for case in found.cases} == {"a", "b"}
    assert read_split(tmp_path / "new" / "split.json") == Split(train=("a",), validation=("b",), test=(), seed=1)
    originals = {case.info.case: case for case in store.cases}
    for case in found.cases:
        original = originals[case.info.case]
        assert np.array_equal(case.mr(), original.mr())
        assert np.array_equal(case.mask(), original.mask())
        truth = 1024 * np.asarray(case.mr(), float) - 1000
        before, after = (np.abs(np.asarray(own.ct(), float) - truth).mean() for own in (original, case))
        if case.info.patient == "a":
            assert after < 0.2 * before
            assert case.info.record == {"made": 1, "realigned_onto": ["a"]}
        else:
            assert np.array_equal(case.ct(), original.ct())


def test_a_volume_is_refused_and_nothing_is_left(realign: ModuleType, store: CaseStore, tmp_path: Path):
    info = CaseInfo("a-volume", "a", "A", "real", (8, 8, 8), np.eye(4).tolist(), {})
    image = np.ones((8, 8, 8))
    write_case(store.root, info=info, mr=image, ct=image, mask=image)
    with pytest.raises(DataSetError, match="volume"):
        realign.realign(CaseStore.open(store.root), tmp_path / "new", [model()])
    assert not (tmp_path / "new").exists()


def test_only_models_that_learnt_with_flips_are_shown_the_mirror_image(
    realign: ModuleType, store: CaseStore, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    plain = realign.slice_hu
    monkeypatch.setattr(realign, "slice_hu", lambda own, mr: asked.append(own) or plain(own, mr))
    flipped, unflipped = model(), model(flips=False)
    realign.realigned(next(case for case in store.cases if case.slice_axis() == 2), [flipped, unflipped])
    assert asked == [flipped, flipped, unflipped]
