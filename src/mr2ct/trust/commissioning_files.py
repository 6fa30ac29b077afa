"""What an acceptance test leaves on disk: `commissioning.json` to read back, and `constancy.csv`, which only grows."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mr2ct.datasets.case_images import Reading
from mr2ct.errors import DataSetError
from mr2ct.evaluation.summary import software
from mr2ct.io.atomic import atomic_file
from mr2ct.trust.commissioning import Commissioning
from mr2ct.trust.commissioning_case import CaseOptions, CommissionedCase, ModelUnderTest
from mr2ct.trust.commissioning_constancy import RULE, StoredCase
from mr2ct.trust.commissioning_lines import Line
from mr2ct.trust.commissioning_tolerances import Tolerances, parse_tolerances

COMMISSIONING_JSON, COMMISSIONING_HTML, CONSTANCY_CSV = "commissioning.json", "commissioning.html", "constancy.csv"
SCT_FOLDER = "constancy"
FORMAT_VERSION = 1
CSV_COLUMNS = (
    "date", "mr2ct", "model", "weights_sha256", "engine", "case", "key", "value", "unit", "limit", "verdict", "remark"
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """How a test was run: what a reader needs to run it again. `date` is ISO 8601, UTC."""

    model: ModelUnderTest
    options: CaseOptions
    tolerances: Tolerances
    command: str
    date: str


@dataclass(frozen=True)
class Baseline:
    """What a repetition needs of a test that was done: the model, how cases were read, the limits, the stored cases."""

    model: str
    weights_sha256: str
    options: CaseOptions
    tolerances: Tolerances
    stored: tuple[StoredCase, ...]


def to_record(found: Commissioning, run: Run, stored: Sequence[StoredCase]) -> dict[str, Any]:
    """Everything that was found, as JSON values; numbers that are not finite become null."""
    description = run.model.bundle.description
    record = {
        "format_version": FORMAT_VERSION,
        "verdict": found.verdict.value,
        "warnings": list(found.warnings),
        "date": run.date,
        "command": run.command,
        "software": software(),
        "model": {
            "name": description.name,
            "method": description.method,
            "weights_sha256": description.weights_sha256,
            "created_with": description.created_with,
            "engine": found.cases[0].engine if found.cases else "",
        },
        "settings": _settings(run.options),
        "tolerances": asdict(run.tolerances),
        "lines": [line.to_json() for line in found.lines],
        "cases": [_case(one) for one in found.cases],
        "failed": [asdict(one) for one in found.failed],
        "broken_copies": [asdict(copy) | {"caught": copy.caught} for copy in found.broken],
        "constancy": {"rule": RULE, "cases": [one.to_json() for one in stored]},
    }
    return dict(_finite(record))


def _settings(options: CaseOptions) -> dict[str, Any]:
    return {
        "reading": options.reading.to_record() | {"force": options.reading.force},
        "path_length": options.path_length,
        "beams": list(options.beams),
        "uncertainty": options.uncertainty,
    }


def _case(one: CommissionedCase) -> dict[str, Any]:
    return {
        "case": one.case,
        "patient": one.patient,
        "centre": one.centre,
        "figures": dict(one.figures),
        "input_check": one.verdict.to_json(),
        "grid_differs": one.grid_differs,
        "sha256": dict(one.checksums),
        "notes": list(one.notes),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_baseline(folder: Path) -> Baseline:
    """What the acceptance test in `folder` left for its repetitions.

    Raises
    ------
    DataSetError : no test there, a newer or unreadable file.

    Example
    -------
    >>> read_baseline(Path("no such folder"))
    Traceback (most recent call last):
    mr2ct.errors.DataSetError: no acceptance test in no such folder; expected commissioning.json; ...
    """
    path = folder / COMMISSIONING_JSON
    if not path.is_file():
        raise DataSetError(
            f"no acceptance test in {folder}", expected=COMMISSIONING_JSON, remedy="run one first, without --repeat"
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["format_version"] > FORMAT_VERSION:
            raise DataSetError(f"{path} was made by a newer mr2ct", remedy="upgrade mr2ct")
        settings = said["settings"]
        return Baseline(
            said["model"]["name"],
            said["model"]["weights_sha256"],
            CaseOptions(_reading(settings["reading"]), path_length=bool(settings["path_length"]), uncertainty=False),
            parse_tolerances(said["tolerances"], source=str(path)),
            tuple(StoredCase.from_json(one) for one in said["constancy"]["cases"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataSetError(
            f"{path} cannot be read", got=repr(error), remedy="restore it, or commission anew"
        ) from error


def _reading(said: Mapping[str, Any]) -> Reading:
    window = said["picture_hu_window"]
    return Reading(
        said["align"],
        said["picture_spacing_mm"],
        None if window is None else (float(window[0]), float(window[1])),
        bool(said["force"]),
    )


def append_constancy(path: Path, lines: Sequence[Line], run: Run, *, engine: str) -> None:
    """Add a row a line to the file, which is made with its heading where there is none; what is there stays.

    Example
    -------
    >>> append_constancy(Path("constancy.csv"), lines, run, engine="torch cpu fp32")  # doctest: +SKIP
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = io.StringIO()
    table = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    if not before:
        table.writeheader()
    description = run.model.bundle.description
    for line in lines:
        row = {
            "date": run.date,
            "mr2ct": software()["mr2ct"],
            "model": description.name,
            "weights_sha256": description.weights_sha256,
            "engine": engine,
            "limit": line.limit_words,
        }
        shown = {key: getattr(line, key) for key in ("case", "key", "unit", "remark")}
        value = "" if line.value is None else f"{line.value:.6g}"
        table.writerow({**row, **shown, "value": value, "verdict": line.verdict.value})
    with atomic_file(path) as temporary:
        temporary.write_text(before + text.getvalue(), encoding="utf-8")
