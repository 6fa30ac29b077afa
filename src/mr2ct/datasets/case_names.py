"""Whose image is this? Patient and centre of a case, from a `cases.csv` where there is one, else from its name.

Splits are by patient and unpaired sampling keeps a patient's own CT away from the patient's MR, so a wrong answer here
leaks test patients into training. SynthRAD names are `<task 1|2><region letters><centre letter><number>`
(https://doi.org/10.5281/zenodo.7260705), such as 1BA001 for brain, centre A.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import DataSetError

_SYNTHRAD = re.compile(r"([12][A-Z]{1,2}([A-Z])\d{2,4})(?:[-_. ].*)?")
_MODALITY_LAST = re.compile(r"[-_. ](?:mri?|ct|mask)$", re.IGNORECASE)
_MODALITY_FIRST = re.compile(r"^(?:mri?|ct|mask)[-_. ]", re.IGNORECASE)
_SLICE_NUMBER = re.compile(r"[-_. ](?:slice|axial|coronal|sagittal|[xyzijk])?[-_. ]?\d+$", re.IGNORECASE)


REAL, PHANTOM = SOURCES = ("real", "phantom")
"""A phantom is never split: it always trains."""


@dataclass(frozen=True)
class Origin:
    """Where a case comes from: patient, centre ("" where unknown), and source, one of `SOURCES`."""

    patient: str
    centre: str = ""
    source: str = REAL


def origin_of(case: str, listed: Mapping[str, Origin]) -> Origin:
    """The origin of a case: as listed, else as a SynthRAD name tells it, else a patient of its own.

    Example
    -------
    >>> origin_of("1BA001-axial", {})
    Origin(patient='1BA001', centre='A', source='real')
    """
    if case in listed:
        return listed[case]
    match = _SYNTHRAD.fullmatch(case)
    return Origin(match[1], match[2]) if match else Origin(case)


def without_modality(name: str) -> str:
    """A name without a leading or trailing "mr", "mri", "ct" or "mask", so that partners have one name.

    Example
    -------
    >>> without_modality("p07_MR"), without_modality("ct-p07"), without_modality("ct")
    ('p07', 'p07', 'ct')
    """
    return _MODALITY_FIRST.sub("", _MODALITY_LAST.sub("", name)) or name


def without_slice_number(name: str) -> str:
    """The name of a picture without its slice number: that of the patient, as far as a name can tell.

    Example
    -------
    >>> without_slice_number("p07_axial_112"), without_slice_number("0112")
    ('p07', '0112')
    """
    shorter = _SLICE_NUMBER.sub("", name)
    return shorter or name


def read_listing(root: Path) -> dict[str, Origin]:
    """The origins that `root/cases.csv` lists (columns case, patient, and centre and source if given); {} without one.

    Raises
    ------
    DataSetError : a column is missing, a case is listed twice, or a source is unknown.
    """
    path = root / "cases.csv"
    if not path.is_file():
        return {}
    listed: dict[str, Origin] = {}
    for row in read_table(path, required=("case", "patient")):
        listed[row["case"]] = Origin(row["patient"] or row["case"], row.get("centre", ""), source_in(row, path))
    return listed


def source_in(row: Mapping[str, str], path: Path) -> str:
    """What the column `source` of a row of `path` says, "real" where nothing; DataSetError where it is no source.

    Example
    -------
    >>> source_in({"case": "a", "source": "Real"}, Path("cases.csv"))
    'real'
    """
    source = (row.get("source") or REAL).lower()
    if source not in SOURCES:
        raise DataSetError(
            f"unknown source of case {row['case']} in {path}",
            got=repr(row["source"]),
            expected=f"{' or '.join(SOURCES)}: phantoms are not split, and always train",
            remedy="give another name to a column that says something else",
        )
    return source


def read_table(path: Path, *, required: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV of cases, as text without surrounding blanks.

    Raises
    ------
    DataSetError : as `read_rows`; a row without a case, a case that stands twice.
    """
    rows = read_rows(path, required=required)
    lines: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        if not row["case"]:
            raise DataSetError(f"{path} has a row without a case", got=f"line {line}")
        if row["case"] in lines:
            raise DataSetError(f"duplicate case {row['case']}", got=f"lines {lines[row['case']]} and {line} of {path}")
        lines[row["case"]] = line
    return rows


def read_rows(path: Path, *, required: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV, as text without surrounding blanks.

    Raises
    ------
    DataSetError : no such file, not CSV, a required column is missing, no rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = tuple((name or "").strip() for name in reader.fieldnames or ())
            rows = [dict(zip(columns, _cells(row, path), strict=False)) for row in reader]
    except FileNotFoundError:
        raise DataSetError(f"no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataSetError(f"unreadable CSV {path}", got=error, expected="comma-separated UTF-8 text") from error
    missing = [column for column in required if column not in columns]
    if missing:
        raise DataSetError(
            f"{path} lacks the column(s) {', '.join(missing)}", got=", ".join(columns) or "an empty file"
        )
    if not rows:
        raise DataSetError(f"{path} lists no case")
    return rows


def _cells(row: Mapping[str | None, str | list[str] | None], path: Path) -> list[str]:
    if None in row:
        raise DataSetError(f"a row of {path} has more cells than columns", got=", ".join(map(str, row.values())))
    return [str(value or "").strip() for value in row.values()]
