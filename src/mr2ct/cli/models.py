"""`mr2ct models`: what ships with mr2ct, whether it is unaltered, and what a model's card says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.errors import Mr2ctError
from mr2ct.geometry import PLANE_AXIS

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

_WIDEST = 240
"""In characters, of the table of models."""

_NOT_WHOLE = ("", "", "", "", "", "[red]NO[/red]")
"""The cells after the name, of a model whose files are not all there and unaltered."""


def models(
    name: Annotated[str | None, typer.Argument(help="Show this model's card instead.", show_default=False)] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Also build every network and load its weights.")] = False,
) -> None:
    """List and verify the models that ship with mr2ct.

    Exit code 1 where a model is altered or incomplete.
    """
    from rich.console import Console

    from mr2ct.bundles import find_model, shipped, shipped_ensembles

    if name is not None:
        typer.echo(find_model(name).card)
        return
    names = shipped()
    if not names:
        typer.echo("No models ship with this installation; train one, or give `mr2ct convert --model` a bundle folder.")
        return
    table, problems = _table(names, verify=verify)
    ensembles = [_ensemble_row(name, problems) for name in shipped_ensembles()]
    for row in ensembles:
        table.add_row(*row.cells)
    # wider than the terminal rather than with names cut short
    needed = Console(width=_WIDEST).measure(table).maximum
    Console(width=max(Console().width, needed)).print(table)
    for row in ensembles:
        if row.words:
            typer.echo(row.words)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


def _table(names: tuple[str, ...], *, verify: bool) -> tuple[Table, list[str]]:
    """One row a model, and what is wrong with those that are not whole."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    from mr2ct.bundles import find_bundle, load_network

    headings = ("name", "method", "planes", "MB", "MAE HU", "licence", "verified")
    # one space between columns: the names that ship fit into 80 characters
    table = Table(*(Column(words, no_wrap=True) for words in headings), box=SIMPLE_HEAD, show_edge=False, padding=0)
    problems: list[str] = []
    for name in names:
        try:
            bundle = find_bundle(name)
            if verify:
                load_network(bundle)
        except Mr2ctError as error:
            problems.append(str(error))
            table.add_row(name, *_NOT_WHOLE)
            continue
        described = bundle.description
        mae_hu = described.metrics.get("mae_hu")
        table.add_row(
            name,
            described.method,
            _planes_in_short(described.planes),
            f"{_megabytes(bundle.folder):.1f}",
            "" if mae_hu is None else f"{mae_hu:.0f}",
            described.licence,
            "it loads" if verify else "SHA-256",
        )
    return table, problems


@dataclass(frozen=True)
class _EnsembleRow:
    cells: tuple[str, ...]
    words: str


def _ensemble_row(name: str, problems: list[str]) -> _EnsembleRow:
    """An ensemble's row of the table, and what it is made of; no words, and a problem more, where it is not whole."""
    from mr2ct.bundles import BEST, find_ensemble

    try:
        found = find_ensemble(name)
        calibration = found.calibration or {}
    except Mr2ctError as error:
        problems.append(str(error))
        return _EnsembleRow((name, *_NOT_WHOLE), "")
    described = [member.description for member in found.members]
    mae_hu = calibration.get("measured", {}).get("mae_hu")
    cells = (
        name,
        f"mean of {len(described)}",
        _planes_in_short(described[0].planes),
        "",
        "" if mae_hu is None else f"{mae_hu:.0f}",
        " and ".join(sorted({one.licence for one in described})),
        "SHA-256",
    )
    option = "--best" if name == BEST else f"--model {name}"
    members = ", ".join(one.name for one in described)
    flips = "each with flips" if all(one.flips for one in described) else "with flips where they learnt with flips"
    return _EnsembleRow(cells, f"{name}: the mean of {members}, {flips}; `mr2ct convert {option}`")


def _planes_in_short(planes: tuple[str, ...]) -> str:
    if not planes:
        return "3-D"
    return "all" if set(planes) == set(PLANE_AXIS) else ", ".join(planes)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6
