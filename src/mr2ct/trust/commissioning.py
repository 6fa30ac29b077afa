"""A site's acceptance test of a model: every pair converted as in routine, and all that was found held against limits.

Refused inputs are converted and counted like the others: leaving them out would flatter the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.errors import DataSetError, DiskSpaceError, MissingDependencyError, Mr2ctError
from mr2ct.evaluation.pairing import Exclusion
from mr2ct.evaluation.statistics import bootstrap_ci
from mr2ct.trust.commissioning_case import CaseOptions, CommissionedCase, ModelUnderTest, commission_case
from mr2ct.trust.commissioning_gatekeeper import BrokenCopy, check_broken_copies
from mr2ct.trust.commissioning_lines import Line, LineVerdict, judge_all, overall
from mr2ct.trust.commissioning_tolerances import (
    DEFAULT_TOLERANCES,
    DOSE,
    ENTRIES,
    PATHS,
    REPEAT,
    UNCERTAINTY,
    Tolerances,
)
from mr2ct.trust.input_check import NO_REFERENCE
from mr2ct.trust.verdict import Verdict

FEWEST_CASES = 5
_ONLY_WHERE_FOUND = ("mae_lung_hu",)
_MOST_REASONS = 5


@dataclass(frozen=True)
class Commissioning:
    """What an acceptance test found.

    Parameters
    ----------
    lines : every value with its limit and verdict. warnings : what makes all of it doubtful.
    cases : sorted by name. failed : the cases without figures. broken : the copies made to test the input check.
    """

    lines: tuple[Line, ...]
    warnings: tuple[str, ...]
    cases: tuple[CommissionedCase, ...]
    failed: tuple[Exclusion, ...]
    broken: tuple[BrokenCopy, ...]

    @property
    def verdict(self) -> LineVerdict:
        """FAIL where any line fails."""
        return overall(self.lines)


def commission(
    cases: Sequence[PairedCase],
    model: ModelUnderTest,
    *,
    options: CaseOptions,
    folder: Path,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    copies_per_kind: int = 2,
    report: Callable[[str], None] | None = None,
) -> Commissioning:
    """Run the test. A case that fails is named and counted, and the others go on.

    Parameters
    ----------
    folder : where the sCTs are written. copies_per_kind : broken copies of each kind for the input check; 0: none.
    report : called with words on what was just done.

    Raises
    ------
    DataSetError : no case, or none that could be converted. MissingDependencyError : dose without the extra.

    Example
    -------
    >>> commission(cases, model, options=CaseOptions(), folder=Path("out")).verdict  # doctest: +SKIP
    <LineVerdict.PASS: 'pass'>
    """
    done, failed = commission_cases(cases, model, options=options, folder=folder, report=report)
    if not done:
        reasons = "; ".join(f"{one.case}: {one.reason}" for one in failed[:_MOST_REASONS])
        raise DataSetError(f"none of {len(cases)} cases could be converted", got=reasons or None)
    description = model.bundle.description
    sound = {one.case for one in done if one.verdict.verdict is Verdict.PASS}
    breakable = [case for case in cases if case.case in sound and description.input_reference is not None]
    broken = check_broken_copies(
        breakable, description, reading=options.reading, per_kind=copies_per_kind, report=report
    )
    shares = _shares(done, failed, broken)
    values = _asked_for(_values(done, shares), options)
    why_no_copies = "no case passes the check as it is, so no copy was made" if copies_per_kind else "not asked for"
    remarks = _remarks(done) | {key: f"{part} of {whole}" for key, (part, whole) in shares.items()}
    remarks |= _why_none(values, intervals=_why_no_interval(description.calibration, options), copies=why_no_copies)
    if description.input_reference is None:
        remarks |= _unchecked(values)
    lines = judge_all(values, tolerances, remarks=remarks)
    return Commissioning(lines, _warnings(done), done, failed, broken)


def paired_only(cases: Iterable[PairedCase | UnpairedCase]) -> tuple[PairedCase, ...]:
    """The cases, where each is a pair; DataSetError otherwise.

    Example
    -------
    >>> paired_only([])
    ()
    """
    pairs = tuple(cases)
    alone = [case.case for case in pairs if isinstance(case, UnpairedCase)]
    if alone:
        raise DataSetError("an acceptance test needs pairs", got=f"{alone[0]} alone", expected="an MR and its CT each")
    return tuple(case for case in pairs if isinstance(case, PairedCase))


def commission_cases(
    cases: Sequence[PairedCase],
    model: ModelUnderTest,
    *,
    options: CaseOptions,
    folder: Path,
    report: Callable[[str], None] | None = None,
) -> tuple[tuple[CommissionedCase, ...], tuple[Exclusion, ...]]:
    """`commission_case` for each, sorted by name, and those that failed with their reasons.

    Raises
    ------
    MissingDependencyError, DiskSpaceError : these would fail every case.
    """
    done, failed = [], []
    for case in sorted(cases, key=lambda case: case.case):
        try:
            done.append(commission_case(case, model, options=options, folder=folder))
        except (MissingDependencyError, DiskSpaceError):
            raise
        except Mr2ctError as error:
            failed.append(Exclusion(case.case, str(error), case.patient))
        except Exception as error:
            # one strange file must not cost the other cases
            failed.append(Exclusion(case.case, f"{type(error).__name__}: {error}", case.patient))
        if report is not None:
            report(case.case)
    return tuple(done), tuple(failed)


def figures_by_case(cases: Sequence[CommissionedCase], key: str) -> dict[str, float]:
    """Case -> the figure of that key, for the cases that have it (infinite counts, NaN does not)."""
    found = {one.case: one.figures.get(key, math.nan) for one in cases}
    return {case: value for case, value in found.items() if not math.isnan(value)}


Shares = Mapping[str, tuple[int, int]]
"""By key of the tolerances, the part and the whole of what is said in percent."""


def _shares(done: Sequence[CommissionedCase], failed: Sequence[Exclusion], broken: Sequence[BrokenCopy]) -> Shares:
    verdicts = [one.verdict.verdict for one in done]
    return {
        "not_done_percent": (len(failed), len(done) + len(failed)),
        "grid_differs_percent": (sum(one.grid_differs is not None for one in done), len(done)),
        "refused_percent": (verdicts.count(Verdict.REFUSE), len(done)),
        "warned_percent": (verdicts.count(Verdict.WARN), len(done)),
        "caught_percent": (sum(copy.caught for copy in broken), len(broken)),
    }


def _values(done: Sequence[CommissionedCase], shares: Shares) -> dict[str, float | None]:
    """By key of the tolerances; None where no case has the figure."""
    mae_hu = list(figures_by_case(done, "mae_hu").values())
    hd95_mm = list(figures_by_case(done, "body_hd95_mm").values())
    special = {
        "worst_mae_hu": max(mae_hu) if mae_hu else None,
        "median_body_hd95_mm": float(np.median(hd95_mm)) if hd95_mm else None,
        **{key: 100 * part / whole if whole else None for key, (part, whole) in shares.items()},
    }
    values: dict[str, float | None] = {}
    for key, entry in ENTRIES.items():
        if entry.section == REPEAT:
            continue
        own = list(figures_by_case(done, key).values())
        values[key] = special[key] if key in special else float(np.mean(own)) if own else None
    return values


def _asked_for(values: Mapping[str, float | None], options: CaseOptions) -> dict[str, float | None]:
    """Without the lines of a beam that was not asked for, and of a tissue that no case has."""
    left_out = {key for key in _ONLY_WHERE_FOUND if values[key] is None}
    for key, entry in ENTRIES.items():
        if entry.section == DOSE and key.partition("_")[0] not in options.beams:
            left_out.add(key)
    return {key: value for key, value in values.items() if key not in left_out}


_FIGURE_OF = {"worst_mae_hu": "mae_hu", "median_body_hd95_mm": "body_hd95_mm"}


def _remarks(done: Sequence[CommissionedCase]) -> dict[str, str]:
    """How the cases scatter: range, how many have the figure, and for means the interval by patient."""
    patients = {one.case: one.patient for one in done}
    remarks = {}
    for key in ENTRIES:
        own = figures_by_case(done, _FIGURE_OF.get(key, key))
        if len(own) < 2:
            continue
        words = [f"{_short(min(own.values()))} to {_short(max(own.values()))}"]
        if len(own) < len(done):
            words.append(f"{len(own)} of {len(done)} cases")
        if key not in _FIGURE_OF and all(map(math.isfinite, own.values())):
            low, high = bootstrap_ci(list(own.values()), [patients[case] for case in own], seed=0)
            words += [f"95 % CI of the mean {_short(low)} to {_short(high)}"] if math.isfinite(low) else []
        remarks[key] = max(own, key=lambda case: own[case]) if key == "worst_mae_hu" else "; ".join(words)
    return remarks


def _short(value: float) -> str:
    digits = 3 if abs(value) < 1 else 1
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "none"


def _why_no_interval(calibration: object, options: CaseOptions) -> str:
    if calibration is None:
        return "the model holds no calibration, so it states no interval"
    return "no interval could be predicted; the notes of the cases say why" if options.uncertainty else "not asked for"


def _why_none(values: Mapping[str, float | None], *, intervals: str, copies: str) -> dict[str, str]:
    """For each key without a value the reason; those of the intervals and of the broken copies are given."""
    covered = any(values[key] is not None for key, entry in ENTRIES.items() if entry.section == UNCERTAINTY)
    by_section = {
        UNCERTAINTY: "no case has such voxels" if covered else intervals,
        PATHS: "not asked for",
        DOSE: "no case could be planned on; the notes of the cases say why",
    }
    reasons = {key: by_section.get(entry.section, "no case has it") for key, entry in ENTRIES.items()}
    reasons["caught_percent"] = copies
    return {key: reasons[key] for key, value in values.items() if value is None}


def _unchecked(values: dict[str, float | None]) -> dict[str, str]:
    """Without a reference the check lets nearly all through: its lines would pass without meaning anything."""
    remarks = {}
    for key in ("refused_percent", "warned_percent", "caught_percent"):
        values[key] = None
        remarks[key] = NO_REFERENCE
    return remarks


def _warnings(done: Sequence[CommissionedCase]) -> tuple[str, ...]:
    n_patients = len({one.patient for one in done})
    if len(done) < FEWEST_CASES:
        few = f"{len(done)} case{'' if len(done) == 1 else 's'}"
    elif n_patients < FEWEST_CASES:
        few = f"{len(done)} cases of {n_patients} patient{'' if n_patients == 1 else 's'}"
    else:
        return ()
    return (f"only {few}: the numbers say little; take at least {FEWEST_CASES} patients, better 10 or more",)
