"""What a check of an input comes to: pass, warn or refuse, and the findings that led there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """PASS: like the training images. WARN: convert, and look closely. REFUSE: not without `--force`."""

    PASS = "pass"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as in training.

    Parameters
    ----------
    severity : WARN or REFUSE.
    code : one word for programs, such as "modality", "orientation", "noise".
    sentence : for people; what was seen and what it means.
    value, expected : in the units of the sentence; None where there is no number.
    """

    severity: Verdict
    code: str
    sentence: str
    value: float | None = None
    expected: str | None = None


@dataclass(frozen=True)
class InputVerdict:
    """The verdict on an input.

    Parameters
    ----------
    verdict : the worst of the findings, or PASS.
    findings : refusals first, then the farthest from training first.
    notes : what could not be checked.

    Example
    -------
    >>> InputVerdict.of([Finding(Verdict.WARN, "noise", "It is noisy.")]).verdict.value
    'warn'
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], *, notes: Iterable[str] = ()) -> InputVerdict:
        """The verdict that follows from findings."""
        ordered = tuple(sorted(findings, key=lambda finding: finding.severity is not Verdict.REFUSE))
        return cls(ordered[0].severity if ordered else Verdict.PASS, ordered, tuple(notes))

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for a record."""
        findings = [asdict(finding) | {"severity": finding.severity.value} for finding in self.findings]
        return {"verdict": self.verdict.value, "findings": findings, "notes": list(self.notes)}
