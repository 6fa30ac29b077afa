from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.datasets.pictures import find_pictures, looks_like_pictures
from mr2ct.errors import DataSetError
from mr2ct.volume import Quantity


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_unpaired_pictures(tmp_path: Path):
    touch(tmp_path, "trainA/p1_01.png", "trainA/p1_02.png", "trainB/p2_01.jpg", "testA/p3.PNG", "testB/p4_7.jpeg")
    touch(tmp_path, "trainA/notes.txt", "trainB/.hidden.png")
    found = find_pictures(tmp_path)
    assert [case.case for case in found.cases] == [
        "test-p3-mr", "test-p4_7-ct", "train-p1_01-mr", "train-p1_02-mr", "train-p2_01-ct"
    ]  # fmt: skip
    assert all(isinstance(case, UnpairedCase) for case in found.cases)
    assert [case.quantity for case in found.cases].count(Quantity.HU) == 2
    assert found.sides == {"train": ("p1", "p2"), "validation": (), "test": ("p3", "p4")}


def test_paired_pictures_of_one_name(tmp_path: Path):
    touch(tmp_path, "trainA/1BA001_1.png", "trainB/1BA001_1.png", "valA/b.png", "valB/b.png")
    found = find_pictures(tmp_path, paired=True)
    train, validation = sorted(found.cases, key=lambda case: case.patient)
    assert isinstance(train, PairedCase)
    assert (train.patient, train.centre, train.side_by_side, train.mr.parent.name) == ("1BA001", "A", False, "trainA")
    assert found.sides == {"train": ("1BA001",), "validation": ("b",), "test": ()}
    assert validation.ct == tmp_path / "valB" / "b.png"


def test_pictures_side_by_side(tmp_path: Path):
    touch(tmp_path, "train/a_1.png", "test/b_1.png")
    found = find_pictures(tmp_path)
    assert all(case.side_by_side and case.mr == case.ct for case in found.cases)


def test_pictures_numbered_through_are_patients_of_their_own_on_each_side(tmp_path: Path):
    touch(tmp_path, "trainA/0001.png", "trainB/0001.png", "testA/0001.png", "testB/0001.png")
    assert find_pictures(tmp_path).sides == {"train": ("train-0001",), "validation": (), "test": ("test-0001",)}


def test_a_listing_says_whose_picture_it_is(tmp_path: Path):
    touch(tmp_path, "trainA/0001.png", "trainB/0002.png")
    (tmp_path / "cases.csv").write_text("case,patient,centre\n0001,anna,X\n0002,ben,X\n")
    assert find_pictures(tmp_path).sides["train"] == ("anna", "ben")


def test_a_patient_in_train_and_test_is_refused(tmp_path: Path):
    touch(tmp_path, "trainA/p1_1.png", "trainB/p2_1.png", "testA/p1_2.png", "testB/p3_1.png")
    with pytest.raises(DataSetError, match=r"p1 \(train and test\).*say in .*cases\.csv \(case,patient\)"):
        find_pictures(tmp_path)
    (tmp_path / "cases.csv").write_text("case,patient\np1_1,a\np1_2,b\n")
    assert find_pictures(tmp_path).sides["test"] == ("b", "p3")


def test_a_missing_partner_is_named(tmp_path: Path):
    touch(tmp_path, "trainA/a.png", "trainA/b.png", "trainB/a.png", "trainB/c.png")
    with pytest.raises(DataSetError, match="2 missing partner.*trainA/b; trainB/c.*--layout pictures"):
        find_pictures(tmp_path, paired=True)


def test_empty_or_half_folders_are_refused(tmp_path: Path):
    with pytest.raises(DataSetError, match="no pictures to train on"):
        find_pictures(tmp_path)
    touch(tmp_path, "trainA/a.png", "trainB/notes.txt")
    with pytest.raises(DataSetError, match="no picture in .*trainB"):
        find_pictures(tmp_path)
    with pytest.raises(DataSetError, match="duplicate case a"):
        find_pictures(touch(tmp_path, "trainA/a.jpg"))


def test_the_layout_is_recognised(tmp_path: Path):
    assert not looks_like_pictures(tmp_path)
    touch(tmp_path, "train/1BA001/mr.nii.gz")
    assert not looks_like_pictures(tmp_path)
    touch(tmp_path, "train/a.png")
    assert looks_like_pictures(tmp_path)
