"""Find bad pairs and leaks in a paired data set: every pair measured, judged against limits and its cohort, ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mr2ct.datasets.case_images import Reading
from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.datasets.processes import in_processes
from mr2ct.errors import DataSetError
from mr2ct.trust.pair_cohort import Member, usual_for
from mr2ct.trust.pair_findings import PairFinding, Severity, excluded
from mr2ct.trust.pair_leaks import duplicate_findings, likenesses, side_findings
from mr2ct.trust.pair_measures import PairMeasures, measure_case
from mr2ct.trust.pair_rules import judge

_GRAVITY = {Severity.EXCLUDE: 100.0, Severity.DOUBT: 10.0, Severity.NOTE: 1.0}


@dataclass(frozen=True)
class AuditedPair:
    """A case after the audit.

    Parameters
    ----------
    case : what was audited. measures : its numbers, or None where it could not be read.
    findings : the gravest first. weight : 0 to 1, for training.
    """

    case: PairedCase
    measures: PairMeasures | None
    findings: tuple[PairFinding, ...]
    weight: float

    @property
    def gravity(self) -> float:
        """What pairs are ranked by: 100 for each finding that excludes, 10 for a doubt, 1 for a note, and a little for
        the displacement.
        """
        displaced = min(self.measures.registration.pose.displacement_mm, 50.0) if self.measures else 0.0
        return sum(_GRAVITY[finding.severity] for finding in self.findings) + displaced / 100

    @property
    def verdict(self) -> str:
        """The gravest severity, or "ok"."""
        return self.findings[0].severity.value if self.findings else "ok"


def audit(
    cases: Sequence[PairedCase | UnpairedCase],
    *,
    reading: Reading | None = None,
    sides: Mapping[str, tuple[str, ...]] | None = None,
    jobs: int = 1,
    report: Callable[[str], None] | None = None,
) -> tuple[AuditedPair, ...]:
    """Audit a data set; the worst pair comes first.

    Parameters
    ----------
    reading : how files are read and whether CTs are registered or resampled first.
    sides : patient -> sides of the split, see `read_sides`; without them copies are found all the same.
    jobs : processes; a case whose process dies is unreadable, and the others go on.
    report : called with the name of each case that is done.

    Raises
    ------
    DataSetError : no case, a case without its partner, two cases of one name.

    Example
    -------
    >>> worst = audit(find_synthrad("SynthRAD/Task1/brain"))[0]  # doctest: +SKIP
    """
    pairs = _pairs_by_name(cases)
    measured: dict[str, PairMeasures | str] = {}
    for name, outcome in _measured(list(pairs.values()), reading or Reading(), jobs):
        measured[name] = outcome
        if report is not None:
            report(name)
    known = {name: measured[name] for name in pairs if not isinstance(measured[name], str)}
    usable = {name: one for name, one in known.items() if isinstance(one, PairMeasures)}
    findings = _findings(pairs, measured, usable, sides or {})
    audited = [_audited(case, usable.get(name), findings[name]) for name, case in pairs.items()]
    return tuple(sorted(audited, key=lambda one: (-one.gravity, one.case.case)))


def _pairs_by_name(cases: Sequence[PairedCase | UnpairedCase]) -> dict[str, PairedCase]:
    pairs: dict[str, PairedCase] = {}
    for case in cases:
        if not isinstance(case, PairedCase):
            raise DataSetError("an audit is of pairs", got=f"case {case.case}, {case.quantity.value} alone")
        if case.case in pairs:
            raise DataSetError(f"duplicate case {case.case}", remedy="give each case a name of its own")
        pairs[case.case] = case
    if not pairs:
        raise DataSetError("no pair to audit")
    return dict(sorted(pairs.items()))


def _measured(cases: Sequence[PairedCase], reading: Reading, jobs: int) -> Iterator[tuple[str, PairMeasures | str]]:
    work = partial(_named, reading=reading)
    return in_processes(work, cases, jobs=min(jobs, len(cases)), died=_died)


def _named(case: PairedCase, *, reading: Reading) -> tuple[str, PairMeasures | str]:
    return case.case, measure_case(case, reading)


def _died(case: PairedCase) -> tuple[str, PairMeasures | str]:
    return case.case, "its process died, as it does when memory runs out"


def _findings(
    pairs: Mapping[str, PairedCase],
    measured: Mapping[str, PairMeasures | str],
    usable: Mapping[str, PairMeasures],
    sides: Mapping[str, tuple[str, ...]],
) -> dict[str, list[PairFinding]]:
    findings: dict[str, list[PairFinding]] = {name: side_findings(case, sides) for name, case in pairs.items()}
    names = list(usable)
    members = [Member(usable[name].plane, pairs[name].centre, usable[name].numbers()) for name in names]
    for number, name in enumerate(names):
        findings[name] += judge(usable[name], usual_for(members, number))
    for name, outcome in measured.items():
        if isinstance(outcome, str):
            findings[name].append(excluded("unreadable", outcome))
    for name, found in duplicate_findings(pairs, likenesses(usable), sides).items():
        findings[name] += found
    return findings


def _audited(case: PairedCase, measures: PairMeasures | None, findings: Sequence[PairFinding]) -> AuditedPair:
    gravest = tuple(sorted(findings, key=lambda finding: -_GRAVITY[finding.severity]))
    weight = 1.0
    for finding in findings:
        weight *= finding.weight
    return AuditedPair(case, measures, gravest, weight)
