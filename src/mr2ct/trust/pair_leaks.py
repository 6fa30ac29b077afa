"""Heads that stand in a data set twice, and those that stand on two sides of a split: a test that was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mr2ct.datasets.cases import PairedCase
from mr2ct.datasets.splits import SIDES
from mr2ct.errors import DataSetError
from mr2ct.trust.pair_findings import PairFinding, Severity, excluded
from mr2ct.trust.pair_fingerprint import Likeness, alike
from mr2ct.trust.pair_measures import PairMeasures

MR_ALIKE, CT_ALIKE, BOTH_ALIKE = 0.70, 0.88, 0.74
"""Two cases are of one head where their MR, their CT, or the mean of both correlates so much. In brain-slices no two
of 144 patients do: the most alike have 0.62 in MR and 0.86 in CT."""

SAME_IMAGE = 0.97
_AMONG_ALIKE = 0.6


def read_sides(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Patient -> the sides of the split that name the patient; more than one is for the audit to find.

    Raises
    ------
    DataSetError : no such file, or not a split file.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "split.json"
    >>> _ = path.write_text('{"train": ["p1", "p2"], "validation": [], "test": ["p2"]}')
    >>> read_sides(path)
    {'p1': ('train',), 'p2': ('train', 'test')}
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        sides: dict[str, tuple[str, ...]] = {}
        for side in SIDES:
            for patient in content[side]:
                sides[str(patient)] = (*sides.get(str(patient), ()), side)
    except FileNotFoundError:
        raise DataSetError(f"no split file {path}", remedy="make one with `mr2ct preprocess --split ...`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataSetError(
            f"{path} is not a split file", got=error, expected='"train", "validation", "test": lists of patients'
        ) from error
    return sides


def side_findings(case: PairedCase, sides: Mapping[str, tuple[str, ...]]) -> list[PairFinding]:
    """What the split says of the case's patient that it should not say; phantoms need no side."""
    named = sides.get(case.patient, ())
    if len(named) > 1:
        weight = 0.0 if "train" in named else 1.0
        return [
            PairFinding(
                "split",
                Severity.EXCLUDE,
                f"the split has patient {case.patient} on {' and '.join(named)}",
                weight=weight,
            )
        ]
    if not named and sides and case.source == "real":
        return [PairFinding("split", Severity.NOTE, f"patient {case.patient} is on no side of the split")]
    return []


def likenesses(measured: Mapping[str, PairMeasures]) -> list[tuple[str, str, Likeness]]:
    """The cases of one head, two by two, among those of one plane: names and how alike they are.

    Example
    -------
    >>> likenesses({})
    []
    """
    found = []
    for plane in sorted({measures.plane for measures in measured.values()}):
        names = [name for name, measures in measured.items() if measures.plane == plane]
        compared = alike([measured[name].fingerprint for name in names], at_least=-1.0)
        levels = _levels(compared, len(names))
        found += [(names[one.one], names[one.other], one) for one in compared if _of_one_head(one, *levels)]
    return found


def _levels(compared: Sequence[Likeness], cases: int) -> tuple[float, float]:
    """From which likeness of MR and of CT on; more is asked where all heads are alike, as phantoms are."""
    if cases < 8:
        return MR_ALIKE, CT_ALIKE
    levels = []
    for usual, least in ((MR_ALIKE, [one.mr for one in compared]), (CT_ALIKE, [one.ct for one in compared])):
        median = float(np.median([value for value in least if value > 0] or [0.0]))
        levels.append(max(usual, median + _AMONG_ALIKE * (1 - median)))
    return levels[0], levels[1]


def _of_one_head(one: Likeness, mr_level: float, ct_level: float) -> bool:
    both = BOTH_ALIKE + max(mr_level - MR_ALIKE, ct_level - CT_ALIKE)
    return one.mr >= mr_level or one.ct >= ct_level or (one.mr + one.ct) / 2 >= both


def duplicate_findings(
    cases: Mapping[str, PairedCase],
    found: Sequence[tuple[str, str, Likeness]],
    sides: Mapping[str, tuple[str, ...]],
) -> dict[str, list[PairFinding]]:
    """Case -> its findings about other cases of the same head.

    Two names of one patient on two sides of the split are a leak: the training copy gets weight 0. On one side, or
    without a split, the copies share one case's weight, and each has one finding of them all. A copy of a copy is one.
    """
    findings: dict[str, list[PairFinding]] = {}
    copies: dict[str, set[str]] = {}
    for one, other, likeness in found:
        for name, twin in ((one, other), (other, one)):
            finding = _finding(cases[name], cases[twin], likeness, sides)
            if finding is None:
                continue
            findings.setdefault(name, []).append(finding)
            if finding.code == "duplicate":
                together = copies.get(name, {name}) | copies.get(twin, {twin})
                copies |= dict.fromkeys(together, together)
    return {name: _one_of(len(copies.get(name, ())), own) for name, own in findings.items()}


def _one_of(copies: int, findings: Sequence[PairFinding]) -> list[PairFinding]:
    """The leaks, and of the duplicates the gravest and clearest with this copy's share of the weight."""
    leaks = [finding for finding in findings if finding.code != "duplicate"]
    duplicates = [finding for finding in findings if finding.code == "duplicate"]
    if not duplicates:
        return leaks
    clearest = max(duplicates, key=lambda finding: (finding.severity is Severity.DOUBT, finding.value or 0.0))
    words = f"; {copies} copies in all" if copies > 2 else ""
    return [*leaks, replace(clearest, sentence=clearest.sentence + words, weight=1 / copies)]


def _finding(
    case: PairedCase, twin: PairedCase, likeness: Likeness, sides: Mapping[str, tuple[str, ...]]
) -> PairFinding | None:
    value = max(likeness.mr, likeness.ct)
    words = f"(likeness of MR {likeness.mr:.2f}, of CT {likeness.ct:.2f})"
    if case.patient == twin.patient:
        # one patient's two sessions look alike, and may
        if value < SAME_IMAGE:
            return None
        sentence = f"the same image as {twin.case} {words}"
        return PairFinding("duplicate", Severity.NOTE, sentence, value, SAME_IMAGE)
    own, others = sides.get(case.patient, ()), sides.get(twin.patient, ())
    if own and others and set(own) != set(others):
        sentence = f"{own[0]} case of the same head as {twin.case} (patient {twin.patient}, {others[0]}) {words}"
        if "train" in own:
            return excluded("leak", sentence, value=value)
        return PairFinding("leak", Severity.EXCLUDE, sentence, value)
    sentence = f"of the same head as {twin.case} (patient {twin.patient}) {words}"
    return PairFinding("duplicate", Severity.DOUBT, sentence, value)
