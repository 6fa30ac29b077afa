from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.datasets.splits import (
    Split,
    given_split,
    leave_centre_out,
    make_split,
    read_split,
    require_covers,
    require_disjoint,
    settle_split,
    write_split,
)
from mr2ct.errors import DataSetError

NAMES = st.text("abcdefgh0123456789-", min_size=1, max_size=6)
PATIENTS = st.dictionaries(NAMES, st.sampled_from(["A", "B", "C", ""]), min_size=3, max_size=60)


@st.composite
def splits_asked(draw: st.DrawFn) -> tuple[dict[str, str], int, int, int]:
    patients = draw(PATIENTS)
    test = draw(st.integers(0, len(patients) - 2))
    validation = draw(st.integers(0, len(patients) - 1 - test))
    return patients, draw(st.integers(0, 10**6)), test, validation


def of_centre(side: tuple[str, ...], patients: dict[str, str], centre: str) -> int:
    return sum(patients[patient] == centre for patient in side)


@given(splits_asked())
def test_sides_are_disjoint_cover_everyone_and_have_the_size_asked_for(asked):
    patients, seed, test, validation = asked
    split = make_split(patients, seed=seed, test=test, validation=validation)
    assert sorted(split.train + split.validation + split.test) == sorted(patients)
    assert (len(split.test), len(split.validation)) == (test, validation)
    assert split.seed == seed


@given(splits_asked())
def test_each_centre_gives_its_share_to_the_test_to_within_one_patient(asked):
    patients, seed, test, validation = asked
    split = make_split(patients, seed=seed, test=test, validation=validation)
    for centre in set(patients.values()):
        share = test * of_centre(tuple(patients), patients, centre) / len(patients)
        assert abs(of_centre(split.test, patients, centre) - share) < 1


@given(splits_asked(), st.randoms())
def test_the_order_of_the_patients_does_not_matter(asked, random):
    patients, seed, test, validation = asked
    shuffled = list(patients.items())
    random.shuffle(shuffled)
    split = make_split(patients, seed=seed, test=test, validation=validation)
    assert make_split(dict(shuffled), seed=seed, test=test, validation=validation) == split


def test_the_split_is_the_same_on_every_machine_and_in_every_version():
    patients = {f"p{n}": "AB"[n % 2] for n in range(10)}
    split = make_split(patients, seed=2026, test=2, validation=2)
    assert (split.test, split.validation) == (EXPECTED_TEST, EXPECTED_VALIDATION)


# the first of each centre by `printf 2026:p4 | sha256sum`
EXPECTED_TEST, EXPECTED_VALIDATION = ("p4", "p9"), ("p0", "p3")


def test_another_seed_is_another_split():
    patients = {f"p{n}": "" for n in range(40)}
    drawn = {make_split(patients, seed=seed, test=10, validation=0).test for seed in range(5)}
    assert len(drawn) == 5


@pytest.mark.parametrize(("test", "validation"), [(-1, 0), (0, -1), (3, 0), (2, 1), (9, 9)])
def test_a_split_that_leaves_nobody_to_train_on_is_refused(test: int, validation: int):
    with pytest.raises(DataSetError, match="impossible split"):
        make_split({"a": "", "b": "", "c": ""}, seed=0, test=test, validation=validation)


def test_a_patient_on_two_sides_is_refused_and_named():
    with pytest.raises(DataSetError, match=r"p2 \(train and test\)"):
        Split(train=("p1", "p2"), validation=(), test=("p2",))
    with pytest.raises(DataSetError, match="p1"):
        require_disjoint(mr=["p1"], ct=["p1"])


def test_a_split_survives_its_file(tmp_path: Path):
    split = make_split({f"p{n}": "" for n in range(9)}, seed=4, test=2, validation=1)
    path = write_split(split, tmp_path / "new folder" / "split.json")
    assert read_split(path) == split
    assert [p.name for p in path.parent.iterdir()] == ["split.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "unreadable split file"),
        ("[]", "is not a split file"),
        ('{"format_version": 1, "train": "p1", "validation": [], "test": []}', "is not a split file"),
        ('{"format_version": 1, "train": ["p1"], "test": []}', "is not a split file"),
        ('{"format_version": 9, "train": [], "validation": [], "test": []}', "another format version"),
        ('{"format_version": 1, "train": ["p1"], "validation": [], "test": ["p1"]}', "more than one side"),
    ],
)
def test_unusable_split_files_are_refused(tmp_path: Path, content: str, message: str):
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(DataSetError, match=message):
        read_split(path)


def test_a_missing_split_file_is_refused(tmp_path: Path):
    with pytest.raises(DataSetError, match="no split file"):
        read_split(tmp_path / "split.json")


def test_side_of_and_covers_name_the_unknown_patient():
    split = Split(train=("a",), validation=("b",), test=("c",))
    assert [split.side_of(patient) for patient in "abc"] == ["train", "validation", "test"]
    with pytest.raises(DataSetError, match="patient d"):
        split.side_of("d")
    require_covers(split, ["a", "c"])
    with pytest.raises(DataSetError, match="got d, e"):
        require_covers(split, ["e", "a", "d"])


def test_an_existing_split_file_is_used_again_whatever_the_seed(tmp_path: Path):
    patients = {f"p{n}": "" for n in range(20)}
    first = settle_split(tmp_path / "split.json", patients, seed=1, test=4, validation=2)
    assert not (tmp_path / "split.json").exists()
    write_split(first, tmp_path / "split.json")
    again = settle_split(tmp_path / "split.json", patients, seed=2, test=4, validation=2)
    assert again == first


def test_an_existing_split_file_with_other_numbers_or_patients_is_refused(tmp_path: Path):
    patients = {f"p{n}": "" for n in range(20)}
    write_split(make_split(patients, seed=1, test=4, validation=2), tmp_path / "split.json")
    with pytest.raises(DataSetError, match="another than asked for; got test=5, validation=2"):
        settle_split(tmp_path / "split.json", patients, seed=1, test=5, validation=2)
    with pytest.raises(DataSetError, match="got stranger"):
        settle_split(tmp_path / "split.json", {**patients, "stranger": ""}, seed=1, test=4, validation=2)


def test_patients_whom_the_data_set_holds_out_stay_held_out(tmp_path: Path):
    patients = {f"p{n}": "" for n in range(10)}
    split = settle_split(tmp_path / "s.json", patients, seed=1, test=0, validation=3, given={"test": ["p0", "p1"]})
    assert split.test == ("p0", "p1")
    assert len(split.validation) == 3
    write_split(split, tmp_path / "s.json")
    again = settle_split(tmp_path / "s.json", patients, seed=1, test=0, validation=3, given={"test": ["p0", "p1"]})
    assert again == split


def test_a_split_can_be_given_but_not_over_another(tmp_path: Path):
    split = Split(train=("a",), validation=("b",), test=("c",), seed=3)
    write_split(split, tmp_path / "theirs.json")
    assert given_split(tmp_path / "theirs.json", tmp_path / "mine.json", patients=["a", "b"]) == split
    assert not (tmp_path / "mine.json").exists()
    write_split(Split(train=("a", "b"), validation=(), test=("c",)), tmp_path / "mine.json")
    with pytest.raises(DataSetError, match="is another split"):
        given_split(tmp_path / "theirs.json", tmp_path / "mine.json", patients=["a"])


# --- leaving a centre out


@given(splits_asked())
def test_a_centre_left_out_is_in_the_test_alone_and_nobody_held_out_comes_back(asked):
    patients, seed, test, validation = asked
    split = make_split(patients, seed=seed, test=test, validation=validation)
    for centre in {patients[patient] for patient in split.train}:
        if all(patients[patient] == centre for patient in split.train):
            continue
        without = leave_centre_out(split, patients, centre)
        assert of_centre(without.train + without.validation, patients, centre) == 0
        assert without.patients == split.patients
        assert set(split.test) <= set(without.test)
        assert set(without.train) <= set(split.train)
        assert set(without.validation) <= set(split.validation)
        assert of_centre(without.test, patients, centre) == of_centre(tuple(patients), patients, centre)


def test_only_patients_of_that_centre_change_sides():
    split = Split(train=("a1", "b1", "c1"), validation=("a2", "b2"), test=("c3",), seed=7)
    centres = {patient: patient[0].upper() for patient in split.patients}
    without = leave_centre_out(split, {**centres, "stranger": "A"}, "A")
    assert without == Split(train=("b1", "c1"), validation=("b2",), test=("a1", "a2", "c3"), seed=7)


def test_a_centre_that_cannot_be_left_out_is_refused():
    split = Split(train=("a1",), validation=(), test=("b1",))
    with pytest.raises(DataSetError, match="centre C cannot be left out"):
        leave_centre_out(split, {"a1": "A", "b1": "B"}, "C")
    with pytest.raises(DataSetError, match="centre A cannot be left out"):
        leave_centre_out(split, {"a1": "A", "b1": "B"}, "A")
    with pytest.raises(DataSetError, match="have no centre; got b1"):
        leave_centre_out(split, {"a1": "A"}, "A")
