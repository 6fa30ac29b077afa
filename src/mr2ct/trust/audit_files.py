"""The tables of an audit: ranked for people (CSV), complete for programs (JSON), and the weights for training."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import mr2ct
from mr2ct.datasets.case_weights import write_case_weights
from mr2ct.io.atomic import atomic_file
from mr2ct.trust import pair_rules
from mr2ct.trust.pair_audit import AuditedPair
from mr2ct.trust.pair_findings import CODES

FORMAT_VERSION = 1
AUDIT_CSV, AUDIT_JSON, WEIGHTS_CSV, SHEET_PNG = "audit.csv", "audit.json", "weights.csv", "contact_sheet.png"


def write_audit(audited: Sequence[AuditedPair], folder: str | Path, *, options: Mapping[str, object]) -> Path:
    """Write audit.csv, audit.json and weights.csv into `folder`, each whole or not at all.

    Parameters
    ----------
    audited : the worst first. options : how the audit was asked for, JSON values, kept in audit.json.

    Example
    -------
    >>> write_audit(audit(cases), "audit", options={})  # doctest: +SKIP
    """
    root = Path(folder)
    _write_csv(audited, root / AUDIT_CSV)
    with atomic_file(root / AUDIT_JSON) as partial:
        partial.write_text(json.dumps(_record(audited, options), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    weights = {one.case.case: one.weight for one in sorted(audited, key=lambda one: one.case.case)}
    write_case_weights(weights, root / WEIGHTS_CSV)
    return root


def counted(audited: Sequence[AuditedPair]) -> tuple[Counter[str], Counter[str]]:
    """How many pairs have each verdict, and each finding.

    Example
    -------
    >>> counted([])
    (Counter(), Counter())
    """
    verdicts = Counter(one.verdict for one in audited)
    return verdicts, Counter(code for one in audited for code in {finding.code for finding in one.findings})


def _write_csv(audited: Sequence[AuditedPair], path: Path) -> None:
    names = list(dict.fromkeys(name for one in audited if one.measures for name in one.measures.numbers()))
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        head = ["rank", "case", "patient", "centre", "plane", "verdict", "weight", "findings"]
        writer.writerow([*head, *names, "reasons"])
        for rank, one in enumerate(audited, start=1):
            numbers = one.measures.numbers() if one.measures else {}
            writer.writerow(
                [
                    rank,
                    one.case.case,
                    one.case.patient,
                    one.case.centre,
                    one.measures.plane if one.measures else "",
                    one.verdict,
                    f"{one.weight:.4g}",
                    ";".join(dict.fromkeys(finding.code for finding in one.findings)),
                    *(_cell(numbers.get(name)) for name in names),
                    "; ".join(finding.sentence for finding in one.findings),
                ]
            )


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _record(audited: Sequence[AuditedPair], options: Mapping[str, object]) -> dict[str, object]:
    verdicts, codes = counted(audited)
    limits = {name.lower(): getattr(pair_rules, name) for name in dir(pair_rules) if name.isupper() and name[0] != "_"}
    return {
        "format_version": FORMAT_VERSION,
        "mr2ct_version": mr2ct.__version__,
        "options": dict(options),
        "limits": limits,
        "verdicts": dict(sorted(verdicts.items())),
        "findings": {code: {"cases": codes[code], "meaning": CODES[code]} for code in sorted(codes)},
        "pairs": [_pair_record(rank, one) for rank, one in enumerate(audited, start=1)],
    }


def _pair_record(rank: int, one: AuditedPair) -> dict[str, object]:
    numbers = one.measures.numbers() if one.measures else {}
    return {
        "rank": rank,
        "case": one.case.case,
        "patient": one.case.patient,
        "centre": one.case.centre,
        "plane": one.measures.plane if one.measures else None,
        "verdict": one.verdict,
        "weight": one.weight,
        "findings": [_finite(finding.to_record()) for finding in one.findings],
        "measures": _finite(numbers),
        "local_shifts": _local_shifts(one),
    }


def _local_shifts(one: AuditedPair) -> list[dict[str, list[float]]]:
    """The map of shifts: each block's centre, in mm from the body's along the array's axes, and its shift."""
    if one.measures is None:
        return []
    local, pose = one.measures.registration.local, one.measures.registration.pose
    away = (local.centres - pose.centre) * one.measures.spacing_mm
    return [
        {"at_mm": [round(float(v), 1) for v in at], "shift_mm": [round(float(v), 2) for v in shift]}
        for at, shift in zip(away, local.shifts_mm, strict=True)
    ]


def _finite(values: Mapping[str, object]) -> dict[str, object]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
