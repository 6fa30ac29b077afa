"""The constancy set run again after an update: the same cases, the same way, compared voxel by voxel."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mr2ct.datasets.cases import PairedCase
from mr2ct.errors import DataSetError
from mr2ct.trust.commissioning import commission_cases
from mr2ct.trust.commissioning_case import ModelUnderTest
from mr2ct.trust.commissioning_constancy import StoredCase, compare
from mr2ct.trust.commissioning_files import Baseline
from mr2ct.trust.commissioning_lines import Line, LineVerdict, judge, overall
from mr2ct.trust.commissioning_tolerances import Tolerances


@dataclass(frozen=True)
class Repetition:
    """Lines by case; `other_weights`: the model's weights are not those of the test. `engine` made the sCTs."""

    lines: tuple[Line, ...]
    other_weights: bool
    engine: str

    @property
    def verdict(self) -> LineVerdict:
        """FAIL where any line fails."""
        return overall(self.lines)


def repeat(
    cases: Sequence[PairedCase],
    model: ModelUnderTest,
    baseline: Baseline,
    *,
    report_folder: Path,
    tolerances: Tolerances,
    report: Callable[[str], None] | None = None,
) -> Repetition:
    """Convert the cases of the constancy set again and compare them with what `report_folder` holds of them.

    Weights may differ: whether an update of the model changes anything is what the comparison is for.

    Raises
    ------
    DataSetError : another model, cases of the set that are not among `cases`, a stored sCT that is gone or altered.

    Example
    -------
    >>> repeat(cases, model, read_baseline(out), report_folder=out, tolerances=Tolerances()).verdict  # doctest: +SKIP
    <LineVerdict.PASS: 'pass'>
    """
    description = model.bundle.description
    if description.name != baseline.model:
        raise DataSetError(
            "another model than the one that was commissioned",
            got=description.name,
            expected=baseline.model,
            remedy="commission it in a folder of its own",
        )
    known = {case.case: case for case in cases}
    own = [known[stored.case] for stored in _require_there(baseline, known)]
    with tempfile.TemporaryDirectory() as folder:
        done, failed = commission_cases(own, model, options=baseline.options, folder=Path(folder), report=report)
        now, lines = {one.case: one for one in done}, []
        reasons = {one.case: one.reason for one in failed}
        for stored in baseline.stored:
            if stored.case in reasons:
                lines.append(
                    judge("not_done_percent", 100.0, tolerances, remark=reasons[stored.case], case=stored.case)
                )
                continue
            lines += compare(
                stored,
                now[stored.case],
                case=known[stored.case],
                reading=baseline.options.reading,
                report_folder=report_folder,
                tolerances=tolerances,
            )
    return Repetition(
        tuple(lines), description.weights_sha256 != baseline.weights_sha256, done[0].engine if done else ""
    )


def _require_there(baseline: Baseline, known: dict[str, PairedCase]) -> tuple[StoredCase, ...]:
    missing = [stored.case for stored in baseline.stored if stored.case not in known]
    if missing:
        raise DataSetError(
            "cases of the constancy set are missing",
            got=f"no {', '.join(missing)}",
            expected="the cases of the acceptance test",
        )
    return baseline.stored
