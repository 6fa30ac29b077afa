"""The store of agreed CT: medians of all answers for the patients asked for, true CT for validation, none for test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from mr2ct.datasets.splits import Split, read_split, write_split
from mr2ct.datasets.store import CaseInfo, CaseStore, create_store, write_case
from mr2ct.errors import DataSetError
from mr2ct.hounsfield import HuScaling

HU_RANGE = (-1024.0, 3071.0)
SHAPES = {"axial": (12, 20, 1), "sagittal": (1, 20, 16)}


@pytest.fixture(scope="module")
def label(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("label_store")


def model(hu: Callable[[np.ndarray], np.ndarray], name: str = "a", *, flips: bool = True) -> SimpleNamespace:
    """Answers `hu` of a slice's MR."""
    scaling = HuScaling(*HU_RANGE)
    description = SimpleNamespace(hu_scaling=scaling, hu_range=HU_RANGE, weights_sha256=name, flips=flips)
    return SimpleNamespace(description=description, engine=lambda batch: scaling.to_network(hu(batch)))


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    create_store(tmp_path / "store", settings={"pipeline": 1})
    rng = np.random.default_rng(1)
    for patient in ("a", "b", "c", "d"):
        for plane, shape in SHAPES.items():
            info = CaseInfo(f"{patient}-{plane}", patient, "A", "real", shape, np.eye(4).tolist(), {"made": 1})
            mask = np.ones(shape)
            mask[:, :2] = 0
            images = {"mr": rng.random(shape), "ct": np.full(shape, 77), "mask": mask}
            write_case(tmp_path / "store", info=info, **images)
    split = Split(train=("a", "b"), validation=("c",), test=("d",), seed=1)
    write_split(split, tmp_path / "store" / "split.json")
    return CaseStore.open(tmp_path / "store")


def test_ct_are_what_most_answers_say_inside_the_mask(label: ModuleType, store: CaseStore, tmp_path: Path):
    models = [model(lambda mr, hu=hu: np.full(mr.shape, hu)) for hu in (100.0, 300.0, 5000.0)]
    assert label.label(store, tmp_path / "agreed", models) == 4
    cases = CaseStore.open(tmp_path / "agreed").of_patients(["a", "b"])
    assert {case.info.case for case in cases} == {f"{patient}-{plane}" for patient in "ab" for plane in SHAPES}
    for case in cases:
        inside = case.mask() > 0
        assert set(np.unique(case.ct()[inside])) == {300}
        assert set(np.unique(case.ct()[~inside])) == {-1000}
        assert case.info.record == {"made": 1, "agreed": ["a", "a", "a"]}
        original = next(own for own in store.cases if own.info.case == case.info.case)
        assert np.array_equal(case.mr(), original.mr())


def write_lone_cases(root: Path) -> None:
    """A CT of training patient a, the MR of training patient e and of validation patient f, the CT of patient g."""
    for patient, plane, image in (("a", "lone", "ct"), ("e", "mr", "mr"), ("f", "mr", "mr"), ("g", "ct", "ct")):
        info = CaseInfo(f"{patient}-{plane}", patient, "A", "real", (12, 20, 1), np.eye(4).tolist(), {})
        write_case(root, info=info, mask=np.ones(info.shape), **{image: np.ones(info.shape)})
    split = Split(train=("a", "b", "e", "g"), validation=("c", "f"), test=("d",), seed=1)
    write_split(split, root / "split.json")


def test_cases_without_their_partner_are_labelled_or_left_out(label: ModuleType, store: CaseStore, tmp_path: Path):
    write_lone_cases(store.root)
    agreed = tmp_path / "agreed"
    assert label.label(CaseStore.open(store.root), agreed, [model(np.zeros_like)]) == 5
    found = {case.info.case for case in CaseStore.open(agreed).cases}
    assert found == {f"{patient}-{plane}" for patient in "abc" for plane in SHAPES} | {"e-mr"}
    assert read_split(agreed / "split.json") == Split(train=("a", "b", "e"), validation=("c", "f"), test=(), seed=1)


def test_atlases_are_of_cases_that_have_a_ct(label: ModuleType, store: CaseStore, tmp_path: Path):
    write_lone_cases(store.root)
    sides = tmp_path / "unpaired.json"
    sides.write_text(json.dumps({"mr": ["b"], "ct": ["a", "e", "g"]}))
    whole = CaseStore.open(store.root)
    assert label.label(whole, tmp_path / "agreed", [model(np.zeros_like)], patients=sides, with_atlases=True) == 2
    sides.write_text(json.dumps({"mr": ["b"], "ct": ["e"]}))
    with pytest.raises(DataSetError, match="no patient to take atlases from"):
        label.label(whole, tmp_path / "other", [model(np.zeros_like)], patients=sides, with_atlases=True)
    sides.write_text(json.dumps({"mr": ["g"], "ct": ["a"]}))
    with pytest.raises(DataSetError, match="no training patient is left"):
        label.label(whole, tmp_path / "other", [model(np.zeros_like)], patients=sides)


def test_mirrored_and_resized_answers_come_back_in_place(label: ModuleType):
    columns = np.linspace(0, 1, 40)[:, None] * np.ones((1, 50))
    own = model(lambda mr: 1000 * mr)
    views = label.views_of(own, columns.astype(np.float32), left_right=True)
    assert len(views) == 4
    for answer in views:
        np.testing.assert_allclose(answer, 1000 * columns, atol=30)
    assert len(label.views_of(own, columns.astype(np.float32), left_right=False)) == 3
    unflipped = model(lambda mr: 1000 * mr, flips=False)
    assert len(label.views_of(unflipped, columns.astype(np.float32), left_right=True)) == 3


def test_only_patients_whose_mr_was_seen_and_true_ct_for_validation(
    label: ModuleType, store: CaseStore, tmp_path: Path
):
    (tmp_path / "unpaired.json").write_text(json.dumps({"mr": ["b", "d"], "ct": ["a"]}))
    agreed = tmp_path / "agreed"
    assert label.label(store, agreed, [model(np.zeros_like)], patients=tmp_path / "unpaired.json") == 2
    assert read_split(agreed / "split.json") == Split(train=("b",), validation=("c",), test=(), seed=1)
    found = CaseStore.open(agreed)
    assert {case.info.patient for case in found.cases} == {"b", "c"}
    assert {int(case.ct().max()) for case in found.of_patients(["c"])} == {77}


def test_atlases_of_the_other_patients_are_half_of_the_ct(label: ModuleType, store: CaseStore, tmp_path: Path):
    sides = tmp_path / "unpaired.json"
    sides.write_text(json.dumps({"mr": ["b"], "ct": ["a", "d"]}))
    label.label(
        store, tmp_path / "agreed", [model(lambda mr: np.full(mr.shape, 177.0))], patients=sides, with_atlases=True
    )
    for case in CaseStore.open(tmp_path / "agreed").of_patients(["b"]):
        # in the middle, away from the edge of the flat atlas of 77 HU
        inner = [slice(n // 2, n // 2 + 1) for n in case.info.shape]
        assert abs(float(case.ct()[tuple(inner)].mean()) - (177 + 77) / 2) < 2
        assert (case.ct()[case.mask() == 0] == -1000).all()


def test_atlases_need_patients_who_give_ct(label: ModuleType, store: CaseStore, tmp_path: Path):
    with pytest.raises(Exception, match="no patient to take atlases from"):
        label.label(store, tmp_path / "agreed", [model(np.zeros_like)], with_atlases=True)


@pytest.mark.parametrize("shape", [(5, 8), (6, 9), (12, 12)])
def test_what_is_centred_comes_back(label: ModuleType, shape: tuple[int, int]):
    image = np.random.default_rng(1).random(shape)
    assert np.allclose(label.back_from_centred(label.centred(image, 12), shape), image)


@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_a_neck_that_the_mr_does_not_show_goes_straight_on(label: ModuleType, tmp_path: Path, tilt: float):
    rows, columns = np.indices((120, 140))
    disc = np.hypot(rows - 60, columns - 80) < 55
    depth = columns - 45 - tilt * (rows - 60)
    mask, seen = disc & (depth >= 0), disc & (depth >= 12)
    info = CaseInfo("a-coronal", "a", "A", "real", (120, 1, 140), np.eye(4).tolist(), {})
    create_store(tmp_path / "store", settings={})
    write_case(tmp_path / "store", info=info, mr=seen[:, None] * 0.7, mask=mask[:, None])
    # a neck of 40 voxels across, standing on the slanted side
    neck = np.abs(rows - 60 + tilt * (columns - 45)) < 20
    truth = np.where(mask & (neck | (depth > 30)), 40, -1000)
    known = np.where(seen, truth, -1000)
    case = CaseStore.open(tmp_path / "store").cases[0]
    found = label.continued_beyond_the_field(known[:, None], case)[:, 0]
    assert np.array_equal(found[seen | ~mask], known[seen | ~mask])
    assert (known == truth)[mask & ~seen].mean() < 0.7
    assert (found == truth)[mask & ~seen].mean() > 0.95


def test_skin_is_no_straight_side(label: ModuleType):
    rows, columns = np.indices((240, 240))
    assert label.lower_sides(np.hypot(rows - 120, columns - 120) < 100) == []


@pytest.mark.parametrize("text", [None, "[1", '{"mr": ["a"]}', "[]"])
def test_a_file_of_patients_that_is_none_is_one_clear_line(
    label: ModuleType, store: CaseStore, tmp_path: Path, text: str | None
):
    path = tmp_path / "unpaired.json"
    if text is not None:
        path.write_text(text)
    words = [str(store.root), str(tmp_path / "agreed"), "--bundles", "brain-attention-unet", "--patients", str(path)]
    with pytest.raises(SystemExit, match="error: .*does not say which patients gave MR.*unpaired.json"):
        label.main(words)
    assert not (tmp_path / "agreed").exists()


def test_volumes_and_nobody_are_refused_and_leave_nothing(label: ModuleType, store: CaseStore, tmp_path: Path):
    nobody = tmp_path / "unpaired.json"
    nobody.write_text(json.dumps({"mr": ["d"], "ct": ["a"]}))
    words = [str(store.root), str(tmp_path / "agreed"), "--bundles", "brain-attention-unet", "--patients", str(nobody)]
    with pytest.raises(SystemExit, match="no training patient is left"):
        label.main(words)
    volume = CaseInfo("a-whole", "a", "A", "real", (4, 4, 4), np.eye(4).tolist(), {})
    write_case(store.root, info=volume, mr=np.zeros((4, 4, 4)), mask=np.zeros((4, 4, 4)))
    with pytest.raises(Exception, match="case a-whole is a volume"):
        label.label(CaseStore.open(store.root), tmp_path / "agreed", [model(np.zeros_like)])
    assert not (tmp_path / "agreed").exists()
