from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.datasets import store as store_module
from mr2ct.datasets.store import (
    CaseInfo,
    CaseStore,
    create_store,
    finished_cases,
    remove_unfinished,
    require_case_name,
    write_case,
)
from mr2ct.errors import DataSetError, DiskSpaceError

SHAPE = (2, 3, 4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    create_store(tmp_path / "store", settings={"spacing_mm": 1})
    return tmp_path / "store"


def test_a_case_comes_back_as_it_was_written(root: Path, tiny_info):
    rng = np.random.default_rng(0)
    mr, ct = rng.uniform(0, 1.5, SHAPE), rng.integers(-1024, 3072, SHAPE)
    info = tiny_info("1BA001-axial", patient="1BA001", record={"steps": [{"name": "clip_hu"}]})
    write_case(root, info=info, mr=mr, ct=ct, mask=rng.integers(0, 3, SHAPE))
    (case,) = CaseStore.open(root).cases
    assert case.info == info
    assert case.has_mr
    assert case.has_ct
    np.testing.assert_array_equal(case.mr(), mr.astype(np.float16))
    np.testing.assert_array_equal(case.ct(), ct)
    assert (case.mr().dtype, case.ct().dtype, case.mask().dtype) == (np.float16, np.int16, np.uint8)
    assert set(np.unique(case.mask())) <= {0, 1}


def test_arrays_are_read_only_maps(root: Path, tiny_info):
    write_case(root, info=tiny_info(), mr=np.zeros(SHAPE), mask=np.ones(SHAPE))
    mr = CaseStore.open(root).cases[0].mr()
    assert isinstance(mr, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        mr[0, 0, 0] = 1


def test_a_case_may_have_only_one_modality(root: Path, tiny_info):
    write_case(root, info=tiny_info("a"), mr=np.zeros(SHAPE), mask=np.ones(SHAPE))
    write_case(root, info=tiny_info("b"), ct=np.zeros(SHAPE), mask=np.ones(SHAPE))
    a, b = CaseStore.open(root).cases
    assert (a.has_mr, a.has_ct, b.has_mr, b.has_ct) == (True, False, False, True)
    with pytest.raises(DataSetError, match="case a has no ct"):
        a.ct()
    with pytest.raises(DataSetError, match="neither MR nor CT"):
        write_case(root, info=tiny_info("c"), mask=np.ones(SHAPE))


@given(st.floats(-1024, 3071))
def test_hu_are_rounded_to_the_nearest_whole_one(hu: float):
    stored = store_module._stored(np.full(SHAPE, hu), name="ct", info=CaseInfo("c", "c", "", "real", SHAPE, [], {}))
    assert np.abs(stored - hu).max() <= 0.5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mr": np.zeros((2, 3, 5))}, r"mr of case c1 has another shape; got \(2, 3, 5\)"),
        ({"mr": np.full(SHAPE, np.nan)}, "not finite"),
        ({"mr": np.full(SHAPE, 1e6)}, "does not fit float16"),
        ({"ct": np.full(SHAPE, 40_000)}, "does not fit int16"),
        ({"ct": np.zeros(SHAPE, dtype=complex)}, "not finite numbers; got type complex"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_leaves_nothing(root: Path, tiny_info, arrays: dict, message: str):
    with pytest.raises(DataSetError, match=message):
        write_case(root, info=tiny_info(), **arrays)
    assert finished_cases(root) == []


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a\nb", "a\\b", "-:"])
def test_names_that_are_no_folder_names_are_refused(root: Path, tiny_info, name: str):
    with pytest.raises(DataSetError, match="unusable case name"):
        write_case(root, info=tiny_info(name), mr=np.zeros(SHAPE))


@pytest.mark.parametrize("name", ["1BA001-axial", "p 1", "Müller_2", "a.b", "-x"])
def test_usual_names_are_taken(name: str):
    assert require_case_name(name) == name


def test_a_case_is_not_written_over(root: Path, tiny_info):
    write_case(root, info=tiny_info(), mr=np.zeros(SHAPE))
    with pytest.raises(DataSetError, match="already in the store"):
        write_case(root, info=tiny_info(), mr=np.ones(SHAPE))
    assert CaseStore.open(root).cases[0].mr().max() == 0


def test_a_case_that_fails_half_way_leaves_nothing(root: Path, tiny_info, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "asdict", lambda info: {"record": object()})
    with pytest.raises(TypeError):
        write_case(root, info=tiny_info(), mr=np.zeros(SHAPE))
    assert list((root / "cases").iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_written(root: Path, tiny_info, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(DiskSpaceError):
        write_case(root, info=tiny_info(), mr=np.zeros(SHAPE))
    assert finished_cases(root) == []


def test_unfinished_folders_are_no_cases_and_can_be_removed(root: Path, tiny_info):
    write_case(root, info=tiny_info("a"), mr=np.zeros(SHAPE))
    half = root / "cases" / ".mr2ct-tmp-123-b"
    half.mkdir()
    (half / "mr.npy").write_bytes(b"half")
    assert [case.info.case for case in CaseStore.open(root).cases] == ["a"]
    assert remove_unfinished(root) == [half.name]
    assert not half.exists()
    assert finished_cases(root) == ["a"]


def test_other_settings_are_refused_and_the_difference_is_shown(root: Path, tiny_info):
    write_case(root, info=tiny_info(), mr=np.zeros(SHAPE))
    create_store(root, settings={"spacing_mm": 1})
    with pytest.raises(DataSetError, match="other settings; got spacing_mm = 2; expected spacing_mm = 1;"):
        create_store(root, settings={"spacing_mm": 2})


def test_a_store_without_a_finished_case_takes_the_new_settings(root: Path):
    (root / "cases" / ".unfinished-a").mkdir(parents=True)
    create_store(root, settings={"spacing_mm": 2})
    assert CaseStore.open(root).settings == {"spacing_mm": 2}


def test_of_many_differing_settings_a_few_are_shown_and_the_others_counted(tmp_path: Path, tiny_info):
    create_store(tmp_path, settings={"landmarks": list(range(11))})
    write_case(tmp_path, info=tiny_info(), mr=np.zeros(SHAPE))
    with pytest.raises(DataSetError) as refused:
        create_store(tmp_path, settings={"landmarks": list(range(10, 21))})
    assert "got landmarks.0 = 10; landmarks.1 = 11; landmarks.10 = 20 and 8 more; expected" in str(refused.value)


def test_another_step_is_named_before_its_arguments(tmp_path: Path, tiny_info):
    steps = [{"name": "core_scaling", "arguments": {"core": 0.5, "depth": 0.4, "lower": 0.5, "upper": 1.5}}]
    create_store(tmp_path, settings={"pipeline": {"steps": steps}, "align": "same"})
    write_case(tmp_path, info=tiny_info(), mr=np.zeros(SHAPE))
    with pytest.raises(DataSetError, match=r"got pipeline.steps.0.name = nyul; .*expected .*name = core_scaling; "):
        create_store(tmp_path, settings={"pipeline": {"steps": [{"name": "nyul"}]}, "align": "rigid"})


def test_nested_settings_are_compared_as_json(tmp_path: Path, tiny_info):
    settings = {"pipeline": {"steps": [{"name": "a", "window": (1, 2)}]}, "empty": {}}
    create_store(tmp_path / "s", settings=settings)
    write_case(tmp_path / "s", info=tiny_info(), mr=np.zeros(SHAPE))
    create_store(tmp_path / "s", settings=settings)
    settings["pipeline"]["steps"][0]["window"] = (1, 3)
    with pytest.raises(
        DataSetError, match=r"got pipeline.steps.0.window.1 = 3; expected pipeline.steps.0.window.1 = 2"
    ):
        create_store(tmp_path / "s", settings=settings)


def test_a_folder_of_other_things_does_not_become_a_store(tmp_path: Path):
    (tmp_path / "thesis.odt").touch()
    with pytest.raises(DataSetError, match="neither empty nor a store; got thesis.odt"):
        create_store(tmp_path, settings={})


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is not a store"), ("{", "unreadable JSON"), ("[]", "a list"), ('{"format_version": 2}', "format version")],
)
def test_what_is_no_store_is_refused(tmp_path: Path, content: str | None, message: str):
    if content is not None:
        (tmp_path / "store.json").write_text(content)
    with pytest.raises(DataSetError, match=message):
        CaseStore.open(tmp_path)


def test_a_damaged_case_is_named(root: Path, tiny_info):
    folder = write_case(root, info=tiny_info(), mr=np.zeros(SHAPE), ct=np.zeros(SHAPE))
    np.save(folder / "mr.npy", np.zeros((9, 9, 9)))
    (folder / "ct.npy").write_bytes((folder / "ct.npy").read_bytes()[:-7])
    case = CaseStore.open(root).cases[0]
    with pytest.raises(DataSetError, match=r"mr.npy does not fit its case.json; got float64 \(9, 9, 9\)"):
        case.mr()
    with pytest.raises(DataSetError, match="unreadable array"):
        case.ct()
    description = json.loads((folder / "case.json").read_text())
    del description["patient"]
    (folder / "case.json").write_text(json.dumps(description))
    with pytest.raises(DataSetError, match="incomplete case.json"):
        CaseStore.open(root)


def test_the_cases_of_some_patients(root: Path, tiny_info):
    for case, patient in (("a-1", "a"), ("a-2", "a"), ("b-1", "b")):
        write_case(root, info=tiny_info(case, patient=patient), mr=np.zeros(SHAPE))
    assert [case.info.case for case in CaseStore.open(root).of_patients(["a", "z"])] == ["a-1", "a-2"]


def test_the_store_loads_no_image_reader():
    code = "import mr2ct.datasets.store, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "SimpleITK", "nibabel", "pydicom", "PIL", "scipy", "matplotlib"} & set(loaded)
