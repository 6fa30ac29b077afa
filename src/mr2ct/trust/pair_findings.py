"""What an audit may find wrong with a pair, and what each finding means for training."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad: the pair teaches what is wrong, teaches part of it, or is only worth knowing."""

    EXCLUDE = "exclude"
    DOUBT = "doubt"
    NOTE = "note"


CODES: dict[str, str] = {
    "unreadable": "a file cannot be read or used",
    "no-overlap": "MR and CT show different places",
    "mismatch": "the CT shows another anatomy than the MR, or lies far from it",
    "mirrored": "the CT is turned round along one axis",
    "displaced": "the CT is shifted or turned against the MR",
    "bent": "parts of the CT are displaced in different ways",
    "odd": "MR and CT have less in common than the cohort's",
    "outlines": "the outlines of MR and CT lie far apart",
    "hu-offset": "a constant was added to all HU: the rescale intercept was not applied",
    "hu-scale": "the CT is not in HU",
    "hu-air": "air is not black",
    "hu-clipped": "the HU of bone are cut off",
    "not-finite": "NaN or infinite voxels",
    "truncated": "a block of the CT holds one value",
    "ct-field-of-view": "the MR shows tissue where the CT has none",
    "mr-field-of-view": "the CT shows tissue where the MR has none",
    "metal": "metal in the CT",
    "streaks": "streaks or noise in the CT's soft tissue",
    "grids": "MR and CT lie on different grids",
    "leak": "the same head is on another side of the split",
    "duplicate": "the same head under two names",
    "split": "the split has the patient on two sides or on none",
}
"""Every finding by its code."""


@dataclass(frozen=True)
class PairFinding:
    """One finding.

    Parameters
    ----------
    code : a key of `CODES`. severity : what it means. sentence : for a person, with numbers and units.
    value, limit : what was measured and from where on it counts, where there is such a number.
    weight : what the pair's training weight is multiplied by: 0 excludes it.

    Example
    -------
    >>> PairFinding("metal", Severity.NOTE, "80 mm3 above 2990 HU", 80.0, 30.0).weight
    1.0
    """

    code: str
    severity: Severity
    sentence: str
    value: float | None = None
    limit: float | None = None
    weight: float = field(default=1.0)

    def to_record(self) -> dict[str, object]:
        """The finding as JSON values."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "sentence": self.sentence,
            "value": self.value,
            "limit": self.limit,
            "weight": self.weight,
        }


def excluded(code: str, sentence: str, *, value: float | None = None, limit: float | None = None) -> PairFinding:
    """A finding for which the pair is left out of training."""
    return PairFinding(code, Severity.EXCLUDE, sentence, value, limit, weight=0.0)
