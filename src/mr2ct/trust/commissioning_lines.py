"""One line of an acceptance test: a value, its limit, and whether it passes; and what all lines together come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mr2ct.trust.commissioning_tolerances import ENTRIES, Rule, Tolerances


class LineVerdict(StrEnum):
    """NOT_JUDGED: shown, with the reason, and not counted."""

    PASS = "pass"
    FAIL = "fail"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Line:
    """A value held against a tolerance.

    Parameters
    ----------
    key : of `Tolerances`. section, name, unit : for people.
    value : infinite where there is nothing to measure because the sCT lacks it; None where there is no value.
    limit : None where it is not judged.
    remark : what a reader must know; always there where the line is not judged.
    case : whose value it is, where lines are by case.
    """

    key: str
    section: str
    name: str
    unit: str
    value: float | None
    limit: float | None
    verdict: LineVerdict
    remark: str = ""
    case: str = ""

    @property
    def limit_words(self) -> str:
        """The limit with its rule and unit.

        Example
        -------
        >>> judge("mae_hu", 90.0, Tolerances()).limit_words
        'at most 130 HU'
        """
        if self.limit is None:
            return "none"
        rule = ENTRIES[self.key].rule
        return f"{rule}{'' if rule is Rule.WITHIN else ' '}{self.limit:g} {self.unit}".rstrip()

    @property
    def value_words(self) -> str:
        """The value with its unit and a real minus sign; an en dash where there is none.

        Example
        -------
        >>> judge("bone_dice", 0.71234, Tolerances()).value_words
        '0.712'
        """
        if self.value is None:
            return "–"
        if not math.isfinite(self.value):
            return "none"
        # a count has no decimals
        decimals = {"mm": 2, "": 0 if self.value.is_integer() else 3}.get(self.unit, 1)
        shown = f"{self.value:.{decimals}f}"
        signed = shown.replace("-", "−") if float(shown) else shown.lstrip("-")
        return f"{signed} {self.unit}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """As JSON values; an infinite value becomes null."""
        value = self.value if self.value is not None and math.isfinite(self.value) else None
        rule, verdict = str(ENTRIES[self.key].rule), str(self.verdict)
        return {**vars(self), "value": value, "rule": rule, "verdict": verdict}


def judge(key: str, value: float | None, tolerances: Tolerances, *, remark: str = "", case: str = "") -> Line:
    """Hold a value against the limit of `key`.

    Parameters
    ----------
    value : None or NaN where there is none; the line is then not judged, and `remark` should say why.

    Example
    -------
    >>> judge("mean_error_bone_hu", -350.0, Tolerances()).verdict.value, judge("mae_lung_hu", None, Tolerances()).remark
    ('fail', 'no value')
    """
    said, limit = ENTRIES[key], tolerances.limit_of(key)
    known = None if value is None or math.isnan(value) else float(value)
    if known is None:
        verdict, remark = LineVerdict.NOT_JUDGED, remark or "no value"
    elif limit is None:
        verdict, remark = LineVerdict.NOT_JUDGED, "; ".join(filter(None, ("switched off by the tolerances", remark)))
    else:
        verdict = LineVerdict.PASS if holds(known, said.rule, limit) else LineVerdict.FAIL
    return Line(key, said.section, said.name, said.unit, known, limit, verdict, remark, case)


def holds(value: float, rule: Rule, limit: float) -> bool:
    """Whether a value keeps to a limit; one that is exactly on it does.

    Example
    -------
    >>> holds(-3.0, Rule.WITHIN, 3), holds(float("inf"), Rule.AT_MOST, 3)
    (True, False)
    """
    if rule is Rule.AT_LEAST:
        return value >= limit
    return (abs(value) if rule is Rule.WITHIN else value) <= limit


def overall(lines: Iterable[Line]) -> LineVerdict:
    """FAIL where any line fails, PASS where all that were judged pass; NOT_JUDGED where none was.

    Example
    -------
    >>> overall([judge("mae_hu", 90.0, Tolerances()), judge("mae_lung_hu", None, Tolerances())]).value
    'pass'
    """
    verdicts = {line.verdict for line in lines}
    return next((one for one in (LineVerdict.FAIL, LineVerdict.PASS) if one in verdicts), LineVerdict.NOT_JUDGED)


def judge_all(
    values: Mapping[str, float | None], tolerances: Tolerances, *, remarks: Mapping[str, str]
) -> tuple[Line, ...]:
    """A line for each value, in the order of the table of tolerances; `remarks` by key."""
    return tuple(judge(key, values[key], tolerances, remark=remarks.get(key, "")) for key in ENTRIES if key in values)
