"""`mr2ct models`: what ships with mr2ct, whether it is unaltered, and what a model's card says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.errors import Mr2ctError
from mr2ct.geometry import PLANE_AXIS

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table


def models(
    name: Annotated[str | None, typer.Argument(help="Show this model's card instead.", show_default=False)] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Also build every network and load its weights.")] = False,
) -> None:
    """List and verify the models that ship with mr2ct.

    Exit code 1 where a model is altered or incomplete.
    """
    from rich.console import Console

    from mr2ct.bundles import find_bundle, shipped

    if name is not None:
        typer.echo(find_bundle(name).card)
        return
    names = shipped()
    if not names:
        typer.echo("No models ship with this installation; train one, or give `mr2ct convert --model` a bundle folder.")
        return
    table, problems = _table(names, verify=verify)
    Console(soft_wrap=False).print(table)
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
    table = Table(
        *(Column(words, no_wrap=True) for words in headings), box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    problems: list[str] = []
    for name in names:
        try:
            bundle = find_bundle(name)
            if verify:
                load_network(bundle)
        except Mr2ctError as error:
            problems.append(str(error))
            table.add_row(name, "", "", "", "", "", "[red]NO[/red]")
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


def _planes_in_short(planes: tuple[str, ...]) -> str:
    if not planes:
        return "3-D"
    return "all" if set(planes) == set(PLANE_AXIS) else ", ".join(planes)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6
