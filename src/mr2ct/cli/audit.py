"""`mr2ct audit`: find bad pairs and leaks before a network learns them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.cli.shared import case_bar, processes

if TYPE_CHECKING:
    from mr2ct.trust.pair_audit import AuditedPair

_SAID = 15


def audit(  # noqa: PLR0913
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder for what is found.", show_default=False)],
    data: Annotated[Path | None, typer.Argument(help="The data set: a folder or a CSV.", show_default=False)] = None,
    *,
    layout: Annotated[str, typer.Option(help="auto, synthrad, folders, csv or paired-pictures.")] = "auto",
    mr: Annotated[Path | None, typer.Option(help="The folder of MRs, where MR and CT lie apart.")] = None,
    ct: Annotated[Path | None, typer.Option(help="The folder of CTs.")] = None,
    split: Annotated[Path | None, typer.Option(help="A split file: look for heads on two sides of it.")] = None,
    register: Annotated[bool, typer.Option("--register", help="Audit each CT as registered to its MR.")] = False,
    picture_spacing_mm: Annotated[float | None, typer.Option(help="For pictures: mm per pixel.")] = None,
    hu_window: Annotated[
        tuple[float, float] | None, typer.Option(help="For CT pictures: the HU of black and of white.")
    ] = None,
    sheet: Annotated[int, typer.Option(min=0, help="How many pairs the contact sheet shows; 0: no sheet.")] = 12,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, at most 4.")] = 0,
) -> None:
    """Find bad pairs and leaks in a paired data set before training on it.

    The folder gets audit.csv (ranked, the worst first), audit.json, weights.csv (for data.case_weights of a recipe)
    and contact_sheet.png. Nothing is changed in the data; the exit code is 0 whatever is found.
    """
    from mr2ct.datasets.case_images import Reading
    from mr2ct.datasets.layouts import Sources, find_cases
    from mr2ct.io.atomic import require_writable
    from mr2ct.trust.audit_files import SHEET_PNG, write_audit
    from mr2ct.trust.audit_sheet import write_sheet
    from mr2ct.trust.pair_audit import audit as audit_pairs
    from mr2ct.trust.pair_leaks import read_sides

    reading = Reading("rigid" if register else "same", picture_spacing_mm, hu_window)
    sides = None if split is None else read_sides(split)
    require_writable(output)
    found = find_cases(Sources(data, mr, ct), layout)
    with case_bar("auditing", len(found.cases)) as report:
        audited = audit_pairs(found.cases, reading=reading, sides=sides, jobs=processes(jobs), report=report)
    options = {"split": None if split is None else str(split), "reading": reading.to_record()}
    write_audit(audited, output, options=options)
    if sheet:
        write_sheet(audited, output / SHEET_PNG, reading=reading, count=sheet)
    _say(audited, output)


def _say(audited: Sequence[AuditedPair], output: Path) -> None:
    from mr2ct.trust.audit_files import AUDIT_CSV, WEIGHTS_CSV, counted

    verdicts, codes = counted(audited)
    typer.echo(
        f"{len(audited)} pairs: {verdicts['exclude']} to exclude, {verdicts['doubt']} in doubt, "
        f"{verdicts['note']} with notes, {verdicts['ok']} without findings"
    )
    if codes:
        typer.echo("findings: " + ", ".join(f"{code} {number}" for code, number in codes.most_common()))
    worst = [one for one in audited if one.verdict in ("exclude", "doubt")]
    for one in worst[:_SAID]:
        typer.echo(f"{one.verdict}: {one.case.case}: {'; '.join(finding.sentence for finding in one.findings)}")
    if len(worst) > _SAID:
        typer.echo(f"... and {len(worst) - _SAID} more in {output / AUDIT_CSV}")
    typer.echo(f"{output}: ranked in {AUDIT_CSV}; {WEIGHTS_CSV} is for data.case_weights of a recipe")
