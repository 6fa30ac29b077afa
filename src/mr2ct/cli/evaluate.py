"""`mr2ct evaluate`: sCTs against CTs, by a published protocol, into a report that holds everything it shows."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.cli.shared import case_bar, processes
from mr2ct.errors import DataSetError, InputError
from mr2ct.hounsfield import AIR_BELOW_HU, BONE_ABOVE_HU

if TYPE_CHECKING:
    from mr2ct.evaluation.pairing import Pairing, Sources
    from mr2ct.evaluation.report import Provenance
    from mr2ct.evaluation.scoring import Evaluation, ScoringOptions

_ALSO_HELP = "Another model to compare with: NAME=SCT, a file, folder or CSV as SCT is. May be repeated."


class ProtocolName(StrEnum):
    """The published protocols."""

    SYNTHRAD2023 = "synthrad2023"
    SYNTHRAD2025 = "synthrad2025"
    SYNTHRAD2025_EVALUATION = "synthrad2025-evaluation"


class Beam(StrEnum):
    """Whose dose is compared."""

    BOTH = "both"
    PHOTON = "photon"
    PROTON = "proton"


def evaluate(  # noqa: PLR0913 - the command's options
    sct: Annotated[Path, typer.Argument(help="An sCT, a folder of them, or a CSV of pairs.", show_default=False)],
    ct: Annotated[Path | None, typer.Argument(help="The CT, or a folder of CTs; none for a CSV.")] = None,
    out: Annotated[Path, typer.Option("-o", "--output", help="The report's folder.")] = Path("report"),
    *,
    mask: Annotated[
        Path | None, typer.Option(help="The mask, or a folder; else beside the CTs, or their body.")
    ] = None,
    mr: Annotated[Path | None, typer.Option(help="The MR, or a folder, for the pictures; else beside the CTs.")] = None,
    protocol: Annotated[ProtocolName, typer.Option(help="The HU range and the metrics.")] = ProtocolName.SYNTHRAD2025,
    name: Annotated[str | None, typer.Option(help="What the model is called; else as the sCTs' folder.")] = None,
    also: Annotated[list[str] | None, typer.Option(help=_ALSO_HELP)] = None,
    split: Annotated[Path | None, typer.Option(help="Only the test patients of this split file.")] = None,
    labels_sct: Annotated[Path | None, typer.Option(help="Label map of the sCT, or a folder.")] = None,
    labels_ct: Annotated[Path | None, typer.Option(help="Label map of the CT, or a folder.")] = None,
    air_below: Annotated[float, typer.Option(help="HU below which the CT is air.")] = AIR_BELOW_HU,
    bone_above: Annotated[float, typer.Option(help="HU above which the CT is bone.")] = BONE_ABOVE_HU,
    path_length: Annotated[bool, typer.Option("--path-length", help="Also compare water-equivalent paths.")] = False,
    skull: Annotated[bool, typer.Option("--skull", help="Also compare bone's sharpness, the brain's outline.")] = False,
    dose: Annotated[bool, typer.Option("--dose", help="Also compare dose (needs the extra `dose`).")] = False,
    beam: Annotated[Beam, typer.Option(help="Whose dose: photon, proton or both.")] = Beam.BOTH,
    target_label: Annotated[int | None, typer.Option(help="The label of the CT's map that dose is planned on.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="How many worst and best cases are shown.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, at most 4.")] = 0,
) -> None:
    """Compare sCTs with CTs by a published protocol, and write a report.

    OUT gets report.html, cases.csv and summary.json. Cases without a partner are named and left out; if one cannot be
    scored, the others are, and the exit code is 1.
    """
    from mr2ct.evaluation.scoring import ScoringOptions
    from mr2ct.evaluation.tissue_metrics import TissueThresholds

    _require_use_of_labels(labels_sct, labels_ct, target_label, dose=dose)
    sources = _sources(sct, ct, mask=mask, mr=mr, labels_sct=labels_sct, labels_ct=labels_ct)
    thresholds = TissueThresholds(air_below, bone_above)
    options = ScoringOptions(protocol.value, thresholds, path_length, _beams(dose, beam), target_label, skull)
    models = _models(sources, name, also or ())
    _require_report(out, models)
    pairings = _pair(models, split)
    evaluations = [_score(each, pairing, options, jobs=jobs) for each, pairing in pairings.items()]
    _write(out, evaluations, _provenance(seed, options), pictures=pictures)
    if any(len(done.cases) < len(pairings[done.model].pairs) for done in evaluations):
        raise typer.Exit(1)


def _sources(sct: Path, ct: Path | None, **parts: Path | None) -> Sources:
    from mr2ct.evaluation.pairing import Sources

    return Sources(sct, ct, {part: path for part, path in parts.items() if path is not None})


def _require_use_of_labels(sct: Path | None, ct: Path | None, target: int | None, *, dose: bool) -> None:
    """Raise InputError where label maps or a target are given that nothing would be done with."""
    if sct is not None and ct is None:
        raise InputError("label maps of the sCTs alone", got="--labels-sct", expected="--labels-ct, too")
    if ct is not None and sct is None and not dose:
        raise InputError("label maps of the CTs alone", got="--labels-ct", expected="--labels-sct, too, or --dose")
    if target is not None and not dose:
        raise InputError("a target without a dose", got=f"--target-label {target}", expected="--dose, too")


def _beams(dose: bool, beam: Beam) -> tuple[str, ...]:
    if not dose:
        return ()
    return (Beam.PHOTON.value, Beam.PROTON.value) if beam is Beam.BOTH else (beam.value,)


def _models(sources: Sources, name: str | None, also: Sequence[str]) -> dict[str, Sources]:
    """The sources of each model, the first one's first: the same CTs and masks, other sCTs."""
    found = {name or (sources.sct.resolve().name if sources.sct.is_dir() else "sCT"): sources}
    for words in also:
        model, equals, path = words.partition("=")
        if not (model and equals and path):
            raise DataSetError("unusable --also", got=repr(words), expected="NAME=SCT, such as pix2pix=out/pix2pix")
        if model in found:
            raise DataSetError("two models of one name", got=model, remedy="name them with --name and --also")
        found[model] = replace(sources, sct=Path(path), ct=None if path.lower().endswith(".csv") else sources.ct)
    return found


def _require_report(out: Path, models: Mapping[str, Sources]) -> None:
    from mr2ct.evaluation.report import require_report_folder

    inputs = [path for own in models.values() for path in (own.sct, own.ct) if path is not None]
    require_report_folder(out, list(models), sources=inputs)


def _pair(sources: Mapping[str, Sources], split: Path | None) -> dict[str, Pairing]:
    from mr2ct.evaluation.pairing import find_pairs, of_patients

    pairings = {model: find_pairs(own) for model, own in sources.items()}
    if split is not None:
        from mr2ct.datasets.splits import read_split

        test = read_split(split).test
        pairings = {model: of_patients(pairing, test) for model, pairing in pairings.items()}
    for model, pairing in pairings.items():
        whose = f" ({model})" if len(pairings) > 1 else ""
        for exclusion in pairing.excluded:
            typer.echo(f"left out{whose}: {exclusion.case}: {exclusion.reason}", err=True)
    return pairings


def _score(model: str, pairing: Pairing, options: ScoringOptions, *, jobs: int) -> Evaluation:
    from mr2ct.evaluation.scoring import Evaluation, score_pairs

    with case_bar(model, len(pairing.pairs)) as report:
        cases, failed = score_pairs(pairing.pairs, options, jobs=processes(jobs), report=report)
    for exclusion in failed:
        typer.echo(f"failed: {exclusion.case}: {exclusion.reason}", err=True)
    return Evaluation(model, options.protocol, cases, pairing.excluded + failed)


def _provenance(seed: int, options: ScoringOptions) -> Provenance:
    from mr2ct.evaluation.report import Provenance

    command = shlex.join(["mr2ct", *sys.argv[1:]])
    return Provenance(command, datetime.now(UTC).strftime("%-d %B %Y"), seed, options.thresholds)


def _write(out: Path, evaluations: Sequence[Evaluation], provenance: Provenance, *, pictures: int) -> None:
    from mr2ct.evaluation.report import abstract, remarks, write_report

    files = write_report(out, evaluations, provenance, pictures=pictures)
    for remark in remarks(evaluations):
        typer.echo(f"note: {remark}", err=True)
    for evaluation in evaluations:
        typer.echo(abstract(evaluation, seed=provenance.seed))
        if evaluation.excluded:
            typer.echo(f"{len(evaluation.excluded)} left out: see the report")
    typer.echo("written: " + ", ".join(map(str, files)))
