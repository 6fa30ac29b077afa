"""`mr2ct commission`: a site's acceptance test of a model on its own pairs, and the constancy test after updates."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.cli.shared import case_bar
from mr2ct.errors import InputError

if TYPE_CHECKING:
    from mr2ct.datasets.cases import PairedCase
    from mr2ct.trust.commissioning import Commissioning
    from mr2ct.trust.commissioning_case import CaseOptions
    from mr2ct.trust.commissioning_files import Run
    from mr2ct.trust.commissioning_lines import Line

_LAYOUT_HELP = "auto, synthrad, folders, csv or paired-pictures."


class Beam(StrEnum):
    """Whose dose is compared."""

    BOTH = "both"
    PHOTON = "photon"
    PROTON = "proton"


def commission(  # noqa: PLR0913 - the command's options
    model: Annotated[str, typer.Argument(help="A shipped model or a bundle folder.", show_default=False)],
    cases: Annotated[Path, typer.Argument(help="The site's pairs: a folder or a CSV.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The report's folder.", show_default=False)],
    *,
    repeat: Annotated[bool, typer.Option("--repeat", help="Run the constancy set of the folder again.")] = False,
    tolerances: Annotated[Path | None, typer.Option(help="A YAML file of limits; see the documents.")] = None,
    layout: Annotated[str, typer.Option(help=_LAYOUT_HELP)] = "auto",
    register: Annotated[bool, typer.Option("--register", help="Register each CT rigidly to its MR.")] = False,
    resample_ct: Annotated[bool, typer.Option("--resample-ct", help="Resample each CT onto its MR's grid.")] = False,
    picture_spacing_mm: Annotated[float | None, typer.Option(help="For pictures: mm per pixel.")] = None,
    hu_window: Annotated[
        tuple[float, float] | None, typer.Option(help="For CT pictures: the HU of black and of white.")
    ] = None,
    dose: Annotated[bool, typer.Option("--dose", help="Also compare dose (needs the extra `dose`).")] = False,
    beam: Annotated[Beam, typer.Option(help="Whose dose: photon, proton or both.")] = Beam.BOTH,
    path_length: Annotated[bool, typer.Option(help="Compare water-equivalent path lengths.")] = True,
    uncertainty: Annotated[bool, typer.Option(help="Test the intervals of a calibrated model.")] = True,
    copies: Annotated[int, typer.Option(min=0, help="Broken copies of each kind for the input check.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Test a model on a site's own pairs: pass or fail line by line, in a report to sign.

    OUT gets commissioning.html, commissioning.json and constancy/. With --repeat its constancy set is run again,
    compared with what is stored, and added to constancy.csv. Exit code 1 where a line fails.
    """
    from mr2ct.datasets.case_images import Reading
    from mr2ct.datasets.layouts import Sources, find_cases
    from mr2ct.trust.commissioning import paired_only
    from mr2ct.trust.commissioning_case import CaseOptions

    align = "rigid" if register else "resample" if resample_ct else "same"
    reading = Reading(align, picture_spacing_mm, hu_window)
    options = CaseOptions(reading, path_length=path_length, beams=_beams(dose, beam), uncertainty=uncertainty)
    run = _run(model, device, options=options, tolerances=tolerances)
    _require_folder(output, repeat=repeat)
    found = paired_only(find_cases(Sources(data=cases), layout).cases)
    if repeat:
        passed = _repeat(found, run, output, own_limits=tolerances is not None)
    else:
        passed = _test(found, run, output, copies=copies)
    if not passed:
        raise typer.Exit(1)


def _beams(dose: bool, beam: Beam) -> tuple[str, ...]:
    if not dose:
        return ()
    return (Beam.PHOTON.value, Beam.PROTON.value) if beam is Beam.BOTH else (beam.value,)


def _run(model: str, device: str, *, options: CaseOptions, tolerances: Path | None) -> Run:
    from mr2ct.bundles import find_bundle
    from mr2ct.trust.commissioning_case import ModelUnderTest
    from mr2ct.trust.commissioning_files import Run
    from mr2ct.trust.commissioning_tolerances import DEFAULT_TOLERANCES, read_tolerances

    limits = DEFAULT_TOLERANCES if tolerances is None else read_tolerances(tolerances)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    command = shlex.join(["mr2ct", *sys.argv[1:]])
    return Run(ModelUnderTest(find_bundle(model), device), options, limits, command, date)


def _require_folder(output: Path, *, repeat: bool) -> None:
    if not repeat and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(
            f"{output} holds something already",
            expected="a new folder: a signed report is not replaced",
            remedy="name another folder, or compare with the stored one by --repeat",
        )


def _test(pairs: Sequence[PairedCase], run: Run, output: Path, *, copies: int) -> bool:
    """Run the test and write its folder, whole or not at all; whether it passes."""
    from mr2ct.io.atomic import atomic_folder
    from mr2ct.trust.commissioning import commission as commission_model
    from mr2ct.trust.commissioning_files import SCT_FOLDER
    from mr2ct.trust.commissioning_gatekeeper import BREAKINGS
    from mr2ct.trust.commissioning_lines import LineVerdict

    n_copies = copies * len(BREAKINGS) if run.model.bundle.description.input_reference is not None else 0
    with atomic_folder(output) as folder:
        with case_bar("commissioning", len(pairs) + n_copies) as report:
            found = commission_model(
                pairs,
                run.model,
                options=run.options,
                folder=folder / SCT_FOLDER,
                tolerances=run.tolerances,
                copies_per_kind=copies,
                report=report,
            )
        _write(found, run, folder, pairs=pairs)
    _say(found.lines, warnings=found.warnings)
    for one in found.failed:
        typer.echo(f"failed: {one.case}: {one.reason}", err=True)
    typer.echo(f"{found.verdict.value.upper()}: see {output / 'commissioning.html'}")
    return found.verdict is LineVerdict.PASS


def _write(found: Commissioning, run: Run, folder: Path, *, pairs: Sequence[PairedCase]) -> None:
    from mr2ct.io.atomic import atomic_file
    from mr2ct.trust.commissioning_constancy import choose, store
    from mr2ct.trust.commissioning_files import COMMISSIONING_HTML, COMMISSIONING_JSON, to_record, write_json
    from mr2ct.trust.commissioning_sheet import render_sheet

    stored = [store(one, report_folder=folder) for one in choose(found.cases)]
    write_json(folder / COMMISSIONING_JSON, to_record(found, run, stored))
    html = render_sheet(found, run, pairs=pairs, stored=stored)
    with atomic_file(folder / COMMISSIONING_HTML) as temporary:
        temporary.write_text(html, encoding="utf-8")
    kept = {folder / one.sct_file for one in stored}
    for one in found.cases:
        if one.sct_file not in kept:
            one.sct_file.unlink()


def _repeat(pairs: Sequence[PairedCase], run: Run, output: Path, *, own_limits: bool) -> bool:
    """Run the constancy set again and add it to the table; whether all stays within limits."""
    from mr2ct.trust.commissioning_files import CONSTANCY_CSV, append_constancy, read_baseline
    from mr2ct.trust.commissioning_lines import LineVerdict
    from mr2ct.trust.commissioning_repeat import repeat

    baseline = read_baseline(output)
    limits = run.tolerances if own_limits else baseline.tolerances
    with case_bar("commissioning", len(baseline.stored)) as report:
        found = repeat(pairs, run.model, baseline, report_folder=output, tolerances=limits, report=report)
    append_constancy(output / CONSTANCY_CSV, found.lines, run, engine=found.engine)
    warnings = ("the model's weights are not those that were commissioned",) if found.other_weights else ()
    _say(found.lines, warnings=warnings)
    typer.echo(f"{found.verdict.value.upper()}: added to {output / CONSTANCY_CSV}")
    return found.verdict is LineVerdict.PASS


def _say(lines: Sequence[Line], *, warnings: Sequence[str]) -> None:
    for line in lines:
        whose = f"{line.case}: " if line.case else ""
        remark = f" ({line.remark})" if line.remark else ""
        typer.echo(f"{line.verdict.value:10}  {whose}{line.name}: {line.value_words}, limit {line.limit_words}{remark}")
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
