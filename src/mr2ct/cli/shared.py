"""What several commands share: voxel sizes in words, how many processes, a refusal in words, a bar of cases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mr2ct.errors import InputError

if TYPE_CHECKING:
    from mr2ct.trust.verdict import InputVerdict

_MOST_JOBS = 4


class CaseReport(Protocol):
    """What a bar of cases is told: a case that is done, and why it failed if it did."""

    def __call__(self, case: str, failure: str | None = None, /) -> None: ...


def millimetres(words: str | None) -> tuple[float, float, float] | None:
    """Voxel sizes from the option's words: None, or three finite numbers above 0, given as one or three.

    Raises
    ------
    InputError : words that say neither.

    Example
    -------
    >>> millimetres("0.5,0.5,3")
    (0.5, 0.5, 3.0)
    """
    if words is None:
        return None
    from mr2ct.io.images import usable_spacing

    try:
        return usable_spacing([float(word) for word in words.split(",")])
    except (InputError, ValueError) as cause:
        raise InputError(
            "unusable --spacing-mm", got=repr(words), expected="one size in mm above 0, or three with commas"
        ) from cause


def processes(asked: int) -> int:
    """How many processes work side by side: as asked for, or one a core where that is 0, up to four.

    Example
    -------
    >>> processes(3)
    3
    """
    return asked or min(_MOST_JOBS, os.cpu_count() or 1)


def require_fit(verdict: InputVerdict, model: str) -> None:
    """Raise InputError, with the reasons, where the input check refused an MR for `model`.

    Example
    -------
    >>> from mr2ct.trust.verdict import InputVerdict
    >>> require_fit(InputVerdict.of([]), "brain-attention-unet")
    """
    from mr2ct.trust.verdict import Verdict

    if verdict.verdict is Verdict.REFUSE:
        reasons = [finding.sentence for finding in verdict.findings if finding.severity is Verdict.REFUSE]
        raise InputError(
            f"not what {model} was trained on",
            got=" ".join(reasons),
            expected="an MR as in training",
            remedy="`mr2ct check` says more; --force converts it all the same, and the record says so",
        )


@contextmanager
def case_bar(doing: str, total: int, *, completed: int = 0) -> Iterator[CaseReport]:
    """A bar on stderr, where that is a terminal; yields what is called with each case that is done.

    Example
    -------
    >>> with case_bar("scoring", 2) as report:
    ...     report("1BA001")
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total, completed=completed)

        def report(case: str, failure: str | None = None) -> None:
            bar.update(task, advance=1, description=f"{doing}: {case}")
            if failure is not None:
                bar.console.print(f"failed: {case}", markup=False, highlight=False)

        yield report
