"""`mr2ct import`: check a downloaded SynthRAD release and write the list of its cases that `mr2ct preprocess` takes."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mr2ct.datasets.synthrad import SynthradCase

_OUTPUT_HELP = "The list, OUT.csv, or a folder that gets cases.csv; by default RELEASE.csv in this folder."
_SHOWN = 20


class ReleaseName(StrEnum):
    """The public releases that can be imported."""

    SYNTHRAD2023 = "synthrad2023"
    SYNTHRAD2025 = "synthrad2025"


def import_(
    release: Annotated[ReleaseName, typer.Argument(help="Which release.", show_default=False)],
    path: Annotated[Path, typer.Argument(help="Its unpacked folder: of a region, or of a task.", show_default=False)],
    output: Annotated[Path | None, typer.Option("-o", "--output", help=_OUTPUT_HELP, show_default=False)] = None,
    *,
    region: Annotated[list[str] | None, typer.Option(help="This region alone; may be given again.")] = None,
    centre: Annotated[list[str] | None, typer.Option(help="This centre alone; may be given again.")] = None,
) -> None:
    """Check a downloaded SynthRAD release and list its cases for preprocess.

    Region and centre come from the names of the cases. Headers are read, voxels are not. Cases of task 2 and cases
    without a CT are left out and named. A faulty case is left out too, and the exit code is 1.
    """
    from mr2ct.datasets.synthrad import import_synthrad, write_cases
    from mr2ct.datasets.synthrad_releases import RELEASES

    target = _target(output, release.value)
    found = import_synthrad(path, RELEASES[release.value], regions=region or (), centres=centre or ())
    _tabulate(found.cases)
    _say("left out", found.left_out)
    _say("faulty", found.faulty, err=True)
    write_cases(found.cases, target)
    typer.echo(f"{target}: {len(found.cases)} cases; next: mr2ct preprocess {shlex.quote(str(target))} -o STORE")
    if found.faulty:
        raise typer.Exit(1)


def _target(output: Path | None, release: str) -> Path:
    if output is None:
        return Path(f"{release}.csv")
    return output if output.suffix.lower() == ".csv" and not output.is_dir() else output / "cases.csv"


def _tabulate(cases: tuple[SynthradCase, ...]) -> None:
    """Print how many cases each centre gave of each region."""
    from collections import Counter

    counts = Counter((case.region, case.centre) for case in cases)
    centres, regions = (sorted({key[n] for key in counts}) for n in (1, 0))
    lines = [["region", *centres, "all"]]
    for region in regions:
        row = [counts[region, centre] for centre in centres]
        lines.append([region, *map(str, row), str(sum(row))])
    totals = [sum(counts[region, centre] for region in regions) for centre in centres]
    lines.append(["all", *map(str, totals), str(len(cases))])
    for first, *others in lines:
        typer.echo(f"{first:<14}" + "".join(f"{cell:>6}" for cell in others))


def _say(word: str, reasons: Mapping[str, str], *, err: bool = False) -> None:
    from mr2ct.datasets.synthrad import by_reason

    for reason, names in by_reason(reasons).items():
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        typer.echo(f"{word}: {len(names)} ({reason}): {shown}", err=err)
