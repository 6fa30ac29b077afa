"""`mr2ct check`: is this input what a model was trained on? One verdict a volume, with the reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.cli.shared import millimetres
from mr2ct.errors import InputError, Mr2ctError

if TYPE_CHECKING:
    from mr2ct.bundles import BundleDescription
    from mr2ct.trust.verdict import InputVerdict


def check(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="MR files, DICOM folders, picture slices, or folders of them.", show_default=False),
    ],
    model: Annotated[str, typer.Option(help="A shipped model (see `mr2ct models`) or a bundle folder.")] = (
        "brain-multiscale-attention"
    ),
    mask: Annotated[Path | None, typer.Option(help="The body mask, on the grid of the one input.")] = None,
    series: Annotated[str | None, typer.Option(help="Which series of a DICOM folder: number or UID.")] = None,
    spacing_mm: Annotated[
        str | None, typer.Option(help="Voxel size of PNG/JPG slices: 1, or 0.5,0.5,3 (columns, rows, slices).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead of words.")] = False,
) -> None:
    """Say whether an MR is what a model was trained on: pass, warn or refuse.

    Exit code 0 where all may be converted (pass or warn), 2 where one is refused.
    """
    from mr2ct.bundles import find_bundle
    from mr2ct.inference.worklist import worklist
    from mr2ct.trust.verdict import Verdict

    description, sizes = find_bundle(model).description, millimetres(spacing_mm)
    items = [item for given in inputs for item in worklist([given], Path("no-output"), pictures=sizes is not None)]
    if mask is not None and len(items) > 1:
        raise InputError("one mask for several inputs", got=f"{len(items)} inputs", expected="one input with --mask")
    verdicts = []
    for item in items:
        found = _verdict_on(item.source, description, mask=mask, series=series, spacing_mm=sizes)
        _say(item.source, found, as_json=as_json)
        verdicts.append(found.verdict)
    if Verdict.REFUSE in verdicts:
        raise typer.Exit(2)


def _verdict_on(
    source: Path,
    description: BundleDescription,
    *,
    mask: Path | None,
    series: str | None,
    spacing_mm: tuple[float, ...] | None,
) -> InputVerdict:
    """The verdict; what is there and cannot be read as an MR is refused with the reader's words."""
    from mr2ct.io import read_volume
    from mr2ct.trust.input_check import check_input
    from mr2ct.trust.verdict import Finding, InputVerdict, Verdict
    from mr2ct.volume import Quantity

    if not source.exists():
        raise InputError(f"{source} does not exist", expected="an MR file, or a folder of slices")
    given = None if mask is None else read_volume(mask, quantity=Quantity.MASK, spacing_mm=spacing_mm)
    try:
        mr = read_volume(source, series=series, spacing_mm=spacing_mm)
    except Mr2ctError as error:
        return InputVerdict.of([Finding(Verdict.REFUSE, "unreadable", f"It cannot be read as an MR: {error}.")])
    return check_input(mr, description, mask=given)


def _say(source: Path, found: InputVerdict, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"input": str(source), **found.to_json()}))
        return
    typer.echo(f"{found.verdict.value}: {source}")
    for finding in found.findings:
        typer.echo(f"  {finding.severity.value} [{finding.code}] {finding.sentence}")
    for note in found.notes:
        typer.echo(f"  note: {note}")
