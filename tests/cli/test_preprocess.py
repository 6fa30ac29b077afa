from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mr2ct.cli.main import main
from mr2ct.cli.preprocess import parse_counts
from mr2ct.datasets.splits import Split, read_split, write_split
from mr2ct.datasets.store import CaseStore, finished_cases
from mr2ct.errors import DataSetError
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.volume import Quantity, Volume


def write_cases(root: Path, *cases: str) -> Path:
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (10, 12, 8)), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    geometry = Geometry(radius.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    for case in cases:
        mr = np.where(radius < 0.9, 300.0, 0.0) + rng.uniform(0, 20, radius.shape)
        ct = np.select([radius < 0.7, radius < 0.9], [40, 1000], default=-1000)
        write_volume(Volume(mr.astype(np.float32), geometry, Quantity.MR), root / case / "mr.nii.gz")
        write_volume(Volume(ct.astype(np.int16), geometry, Quantity.HU), root / case / "ct.nii.gz")
    return root


def preprocess(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["preprocess", *map(str, arguments), "--jobs", "1"])
    return int(stopped.value.code or 0)


def test_a_data_set_is_prepared_and_split_by_patient(tmp_path: Path, capsys):
    patients = [f"1B{centre}{n:03d}" for centre in "AB" for n in range(3)]
    data = write_cases(tmp_path / "data", *(f"{patient}-{plane}" for patient in patients for plane in ("x", "y")))
    store = tmp_path / "store"
    assert preprocess(data, "-o", store, "--split", "test=2,validation=2", "--seed", "7") == 0
    assert "12 cases prepared, 0 already there, 0 failed" in capsys.readouterr().out
    split = read_split(store / "split.json")
    assert (split.seed, len(split.train), len(split.test)) == (7, 2, 2)
    assert {patient[2] for patient in split.test} == {"A", "B"}
    assert {case.info.patient for case in CaseStore.open(store).cases} == set(patients)
    assert preprocess(data, "-o", store, "--split", "test=2,validation=2") == 0
    assert "0 cases prepared, 12 already there" in capsys.readouterr().out
    assert read_split(store / "split.json") == split


def test_failed_cases_are_named_at_the_end_with_exit_code_1(tmp_path: Path, capsys):
    data = write_cases(tmp_path / "data", "a", "b")
    (data / "a" / "ct.nii.gz").write_bytes(b"cut off")
    assert preprocess(data, "-o", tmp_path / "store") == 1
    output = capsys.readouterr()
    assert "1 cases prepared, 0 already there, 1 failed" in output.out
    assert "failed: a: " in output.err
    assert finished_cases(tmp_path / "store") == ["b"]


def test_other_settings_for_a_store_are_refused_with_exit_code_2(tmp_path: Path, capsys):
    data = write_cases(tmp_path / "data", "a")
    assert preprocess(data, "-o", tmp_path / "store") == 0
    assert preprocess(data, "-o", tmp_path / "store", "--spacing-mm", "2") == 2
    assert "other settings; got pipeline.steps.1.arguments.spacing_mm = 2.0" in capsys.readouterr().err


def test_a_split_file_can_be_given(tmp_path: Path, capsys):
    data = write_cases(tmp_path / "data", "a", "b")
    mine = write_split(Split(train=("a",), validation=(), test=("b",)), tmp_path / "mine.json")
    assert preprocess(data, "-o", tmp_path / "store", "--split", mine) == 0
    assert read_split(tmp_path / "store" / "split.json") == read_split(mine)
    write_split(Split(train=("a",), validation=(), test=("c",)), mine)
    assert preprocess(data, "-o", tmp_path / "other", "--split", mine) == 2
    assert "in no side of the split; got b" in capsys.readouterr().err


def test_patients_of_the_data_are_counted_and_the_split_s_others_named(tmp_path: Path, capsys):
    data = write_cases(tmp_path / "data", "a", "b", "c")
    mine = write_split(Split(train=("a", "b", "x"), validation=(), test=("c", "C")), tmp_path / "mine.json")
    assert preprocess(data, "-o", tmp_path / "store", "--split", mine) == 0
    said = capsys.readouterr()
    assert "patients 2 train, 0 validation, 1 test" in said.out
    assert "note: 2 patient(s) of the split are not in the data: C (test), x (train)\n" in said.err


def test_a_refused_call_leaves_nothing_and_the_right_one_may_have_another_split(tmp_path: Path, capsys):
    data, store = write_cases(tmp_path / "data", "a", "b", "c"), tmp_path / "store"
    assert preprocess(data, "-o", store, "--split", "test=1,validation=1", "--spacing-mm", "0") == 2
    assert not store.exists()
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.odt").touch()
    assert preprocess(data, "-o", tmp_path / "papers", "--split", "test=1,validation=1") == 2
    assert "neither empty nor a store; got thesis.odt" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "papers").iterdir()] == ["thesis.odt"]
    assert preprocess(data, "-o", store, "--split", "test=1") == 0


def test_what_a_store_cannot_take_is_said_before_a_histogram_is_learnt(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    data, store = write_cases(tmp_path / "data", "a"), tmp_path / "store"
    assert preprocess(data, "-o", store) == 0
    (tmp_path / "file").touch()
    (tmp_path / "papers" / "cases" / "thesis").mkdir(parents=True)
    monkeypatch.setattr("mr2ct.datasets.pipeline_choice.read_mr", lambda *_: pytest.fail("an MR was read"))
    capsys.readouterr()
    assert preprocess(data, "-o", store, "--normalise", "nyul") == 2
    assert "other settings; got pipeline.steps.3.name = nyul; " in capsys.readouterr().err
    assert preprocess(data, "-o", tmp_path / "file", "--normalise", "nyul") == 2
    assert "is a file" in capsys.readouterr().err
    assert preprocess(data, "-o", tmp_path / "papers", "--normalise", "nyul") == 2
    assert "neither empty nor a store; got cases" in capsys.readouterr().err


@pytest.mark.parametrize("at", ["pipeline_choice.read_mr", "prepare.in_processes"])
def test_an_interrupted_first_call_leaves_no_split(tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch):
    reached = []

    def interrupted(*_, **__):
        reached.append(at)
        raise KeyboardInterrupt

    data, store = write_cases(tmp_path / "data", "a", "b", "c"), tmp_path / "store"
    with monkeypatch.context() as patched:
        patched.setattr(f"mr2ct.datasets.{at}", interrupted)
        assert preprocess(data, "-o", store, "--normalise", "nyul", "--split", "test=1,validation=1") == 130
    assert reached == [at]
    assert not (store / "split.json").exists()
    assert preprocess(data, "-o", store, "--split", "test=1") == 0
    with monkeypatch.context() as patched:
        patched.setattr(f"mr2ct.datasets.{at}", interrupted)
        preprocess(data, "-o", store, "--split", "test=1")
    assert len(read_split(store / "split.json").test) == 1


def test_a_phantom_is_never_split(tmp_path: Path, capsys):
    data = write_cases(tmp_path / "data", "a", "b", "f", "g", "h")
    (data / "cases.csv").write_text("case,patient,source\nf,f,phantom\ng,g,phantom\nh,h,phantom\n")
    assert preprocess(data, "-o", tmp_path / "store", "--split", "test=1", "--normalise", "nyul") == 0
    assert read_split(tmp_path / "store" / "split.json").patients == {"a", "b"}
    assert len(CaseStore.open(tmp_path / "store").cases) == 5
    # a split file need not know them
    mine = write_split(Split(train=("a",), validation=(), test=("b",)), tmp_path / "mine.json")
    assert preprocess(data, "-o", tmp_path / "other", "--split", mine) == 0


def test_phantoms_alone_cannot_be_held_out(tmp_path: Path, capsys):
    data = write_cases(tmp_path / "data", "f")
    (data / "cases.csv").write_text("case,patient,source\nf,f,phantom\n")
    assert preprocess(data, "-o", tmp_path / "store", "--split", "test=1") == 2
    assert "no patient to hold out; got phantoms alone" in capsys.readouterr().err
    assert preprocess(data, "-o", tmp_path / "store") == 0
    assert not (tmp_path / "store" / "split.json").exists()


def test_without_a_split_no_file_is_written(tmp_path: Path):
    assert preprocess(write_cases(tmp_path / "data", "a"), "-o", tmp_path / "store") == 0
    assert not (tmp_path / "store" / "split.json").exists()


def test_unpaired_pictures_keep_the_test_set_of_their_folders(tmp_path: Path):
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(2):
            pixels = np.zeros((24, 24), dtype=np.uint8)
            pixels[4:20, 4:20] = rng.integers(140, 255, (16, 16))
            Image.fromarray(pixels).save(tmp_path / "data" / folder / f"{folder}{number}_1.png")
    options = ("--picture-spacing-mm", 1.5, "--hu-window", -1000, 1000)
    assert preprocess(tmp_path / "data", "-o", tmp_path / "store", *options, "--split", "validation=1") == 0
    split = read_split(tmp_path / "store" / "split.json")
    assert split.test == ("testA0", "testA1", "testB0", "testB1")
    assert len(split.validation) == 1
    assert len(CaseStore.open(tmp_path / "store").cases) == 8
    assert preprocess(tmp_path / "data", "-o", tmp_path / "store", *options) == 0


def test_pictures_that_say_too_little_are_one_error_and_leave_nothing(tmp_path: Path, capsys):
    for folder in ("trainA", "trainB"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in ("a", "b"):
            Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "data" / folder / f"{name}.png")
    arguments = (tmp_path / "data", "--layout", "paired-pictures", "-o", tmp_path / "store")
    assert preprocess(*arguments) == 2
    assert capsys.readouterr().err.count("give --picture-spacing-mm") == 1
    assert preprocess(*arguments, "--picture-spacing-mm", 1) == 2
    assert capsys.readouterr().err.count("give --hu-window LOW HIGH") == 1
    assert preprocess(*arguments, "--picture-spacing-mm", 1, "--hu-window", 2000, -1000) == 2
    assert "unusable HU window" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_the_store_records_what_was_done(tmp_path: Path):
    assert preprocess(write_cases(tmp_path / "data", "a"), "-o", tmp_path / "store", "--spacing-mm", 3) == 0
    settings = json.loads((tmp_path / "store" / "store.json").read_text())["settings"]
    steps = {step["name"]: step["arguments"] for step in settings["pipeline"]["steps"]}
    assert steps["to_spacing"]["spacing_mm"] == 3
    assert settings["reading"]["align"] == "same"


def test_voxels_may_be_thicker_along_one_axis(tmp_path: Path, capsys):
    data, store = write_cases(tmp_path / "data", "a"), tmp_path / "store"
    assert preprocess(data, "-o", store, "--spacing-mm", "2,2,4") == 0
    assert CaseStore.open(store).cases[0].info.shape == (10, 12, 4)
    assert preprocess(data, "-o", store, "--spacing-mm", "2,2,4") == 0
    assert "0 cases prepared, 1 already there" in capsys.readouterr().out
    assert preprocess(data, "-o", store, "--spacing-mm", "2,4") == 2
    assert "unusable --spacing-mm; got '2,4'" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["", "test", "test=x", "tests=3", "test=-1", "test=1;validation=2"])
def test_unusable_counts_are_refused(asked: str):
    with pytest.raises(DataSetError, match="unusable --split"):
        parse_counts(asked)


def test_a_ct_that_ends_before_its_mr_is_said(tmp_path: Path, capsys):
    data = write_cases(tmp_path / "data", "a", "b")
    ct = read_volume(data / "a" / "ct.nii.gz", quantity=Quantity.HU)
    grid = Geometry((10, 12, 4), ct.geometry.affine)
    write_volume(Volume(ct.voxels[:, :, :4].copy(), grid, Quantity.HU), data / "a" / "ct.nii.gz")
    assert preprocess(data, "-o", tmp_path / "store", "--resample-ct") == 0
    said = capsys.readouterr()
    shares = [case.info.record["uncovered_share"] for case in CaseStore.open(tmp_path / "store").cases]
    assert 0.4 < shares[0] < 0.7
    assert shares[1] == 0
    assert f"1 of them reach beyond their CT: up to {100 * shares[0]:.1f} % of the body is left out" in said.out
    assert f"warning: a: its CT does not show {100 * shares[0]:.0f} % of the body, left out" in said.err
    assert "warning: b" not in said.err


def test_register_and_resample_exclude_each_other(tmp_path: Path, capsys):
    assert preprocess(tmp_path, "-o", tmp_path / "store", "--register", "--resample-ct") == 2
    assert "--register" in capsys.readouterr().err
