from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.datasets.case_names import (
    Origin,
    origin_of,
    read_listing,
    read_table,
    without_modality,
    without_slice_number,
)
from mr2ct.errors import DataSetError


@pytest.mark.parametrize(
    ("case", "patient", "centre"),
    [
        ("1BA001", "1BA001", "A"),
        ("1BC058-sagittal", "1BC058", "C"),
        ("2PB041", "2PB041", "B"),
        ("1HNA001", "1HNA001", "A"),
        ("1THD213_axial_7", "1THD213", "D"),
        ("2ABE012", "2ABE012", "E"),
        ("1BP001", "1BP001", "P"),
        ("patient7", "patient7", ""),
        ("1BA001x", "1BA001x", ""),
        ("3BA001", "3BA001", ""),
    ],
)
def test_patient_and_centre_from_a_name(case: str, patient: str, centre: str):
    assert origin_of(case, {}) == Origin(patient, centre)


def test_what_is_listed_goes_before_the_name():
    assert origin_of("1BA001", {"1BA001": Origin("x", "Z", "phantom")}) == Origin("x", "Z", "phantom")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("p1_mr", "p1"), ("p1-CT", "p1"), ("MRI_p1", "p1"), ("mask.p1", "p1"), ("mr", "mr"), ("marct", "marct")],
)
def test_the_modality_is_taken_off_a_name(name: str, expected: str):
    assert without_modality(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("p1_012", "p1"), ("p1-axial-3", "p1"), ("p1_slice12", "p1"), ("0012", "0012"), ("p1", "p1")]
)
def test_the_slice_number_is_taken_off_a_name(name: str, expected: str):
    assert without_slice_number(name) == expected


def test_a_listing_is_read_with_its_byte_order_mark_and_blanks(tmp_path: Path):
    (tmp_path / "cases.csv").write_text(
        "\ufeffcase, patient ,centre,source\n a , p ,X,phantom\nb,,,\n", encoding="utf-8"
    )
    assert read_listing(tmp_path) == {"a": Origin("p", "X", "phantom"), "b": Origin("b")}
    assert read_listing(tmp_path / "nowhere") == {}
    (tmp_path / "cases.csv").write_text("case,patient,source\na,p,Real\nb,q,PHANTOM\n")
    assert read_listing(tmp_path) == {"a": Origin("p"), "b": Origin("q", "", "phantom")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lacks the column.*an empty file"),
        ("case,centre\na,b\n", r"lacks the column\(s\) patient"),
        ("case,patient,centre\n", "lists no case"),
        ("case,patient,centre\n,p,c\n", "row without a case; got line 2"),
        ("case,patient,centre\na,p,c\nb,p,c\na,p,c\n", "duplicate case a; got lines 2 and 4"),
        ("case,patient,source\na,p,Ulm\n", "unknown source of case a.*got 'Ulm'; expected real or phantom"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "cases.csv").write_text(content)
    with pytest.raises(DataSetError, match=message):
        read_listing(tmp_path)


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path: Path):
    with pytest.raises(DataSetError, match="no file"):
        read_table(tmp_path / "cases.csv", required=())
    (tmp_path / "cases.csv").write_bytes(b"case\n\xff\xfe\n")
    with pytest.raises(DataSetError, match="unreadable CSV"):
        read_table(tmp_path / "cases.csv", required=("case",))
