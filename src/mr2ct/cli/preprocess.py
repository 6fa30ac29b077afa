"""`mr2ct preprocess`: find the cases of a data set, split the patients, and prepare a store that training reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.cli.shared import case_bar, millimetres, processes
from mr2ct.errors import DataSetError

if TYPE_CHECKING:
    from mr2ct.datasets.case_images import Reading
    from mr2ct.datasets.layouts import DataSet
    from mr2ct.datasets.prepare import Case, Summary
    from mr2ct.datasets.splits import Split
    from mr2ct.preprocessing.pipeline import Pipeline

_UNCOVERED_SHARE = 0.01  # from here on a case is named: less is a rim of a registered CT
_LAYOUT_HELP = "auto, synthrad, folders, csv, unpaired, pictures or paired-pictures."
_SPACING_HELP = "Voxel size of the prepared cases: 1, or 1,1,3 (left-right, back-front, feet-head)."
_WINDOW_HELP = "For CT pictures: the HU of black and of white."
_SPLIT_HELP = "Hold patients out, such as test=24,validation=12, or by a split file; kept in STORE/split.json."


class Normalise(StrEnum):
    """How MR intensities are put on one scale."""

    CORE = "core"
    PERCENTILE = "percentile"
    ZSCORE = "zscore"
    NYUL = "nyul"


def preprocess(  # noqa: PLR0913
    output: Annotated[Path, typer.Option("-o", "--output", help="The store's folder.", show_default=False)],
    data: Annotated[Path | None, typer.Argument(help="The data set: a folder or a CSV.", show_default=False)] = None,
    *,
    layout: Annotated[str, typer.Option(help=_LAYOUT_HELP)] = "auto",
    mr: Annotated[Path | None, typer.Option(help="The folder of MRs, where MR and CT lie apart.")] = None,
    ct: Annotated[Path | None, typer.Option(help="The folder of CTs.")] = None,
    mask: Annotated[Path | None, typer.Option(help="The folder of body masks, if there are any.")] = None,
    n4: Annotated[bool, typer.Option("--n4", help="Correct the MR's bias field (N4).")] = False,
    normalise: Annotated[Normalise, typer.Option(help="How MR intensities are scaled.")] = Normalise.CORE,
    spacing_mm: Annotated[str, typer.Option(help=_SPACING_HELP)] = "1",
    register: Annotated[bool, typer.Option("--register", help="Register each CT rigidly to its MR.")] = False,
    resample_ct: Annotated[bool, typer.Option("--resample-ct", help="Resample each CT onto its MR's grid.")] = False,
    picture_spacing_mm: Annotated[float | None, typer.Option(help="For pictures: mm per pixel.")] = None,
    hu_window: Annotated[tuple[float, float] | None, typer.Option(help=_WINDOW_HELP)] = None,
    split: Annotated[str | None, typer.Option(help=_SPLIT_HELP)] = None,
    seed: Annotated[int, typer.Option(help="The seed of a new split.")] = 0,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, at most 4.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Take an MR that looks like a CT.")] = False,
) -> None:
    """Prepare a data set once, into a store that training reads.

    Started again with the same arguments, it goes on where it was stopped. A case that fails does not stop the others;
    it is named at the end, and the exit code is 1.
    """
    from mr2ct.datasets.case_images import Reading, require_told
    from mr2ct.datasets.layouts import Sources, find_cases
    from mr2ct.datasets.pipeline_choice import choose_pipeline
    from mr2ct.datasets.prepare import require_preparable

    reading = Reading(_alignment(register, resample_ct), picture_spacing_mm, hu_window, force)
    sizes_mm = millimetres(spacing_mm) or ()
    found = find_cases(Sources(data, mr, ct, mask), layout)
    require_told(found.cases, reading)
    pipeline = choose_pipeline(output, normalise=normalise.value, n4=n4, spacing_mm=sizes_mm)
    require_preparable(found.cases, pipeline, output, reading=reading)
    chosen = _settle_split(split, found, output / "split.json", seed=seed)
    pipeline = _learnt(pipeline, _training(found, chosen), reading)
    with _written(chosen, output):
        summary = _prepare(found, pipeline, output, reading=reading, jobs=jobs)
    _say(summary, output, chosen, patients={case.patient for case in found.cases})
    if summary.failed:
        raise typer.Exit(1)


def _alignment(register: bool, resample_ct: bool) -> str:
    if register and resample_ct:
        raise DataSetError("--register and --resample-ct exclude each other", remedy="registering resamples too")
    return "rigid" if register else "resample" if resample_ct else "same"


def _settle_split(asked: str | None, found: DataSet, path: Path, *, seed: int) -> Split | None:
    """The split of the store: the file's where there is one, else as asked for; None where neither.

    It is of real patients: phantoms always train.
    """
    from mr2ct.datasets.case_names import PHANTOM
    from mr2ct.datasets.cases import patients_with_centres
    from mr2ct.datasets.splits import given_split, read_split, settle_split

    patients = patients_with_centres(case for case in found.cases if case.source != PHANTOM)
    if asked is not None and asked.lower().endswith(".json"):
        return given_split(asked, path, patients=patients)
    held = {side: [patient for patient in given if patient in patients] for side, given in found.sides.items()}
    if asked is None and (path.exists() or not any(held.values())):
        return read_split(path) if path.exists() else None
    counts = parse_counts(asked or "test=0,validation=0")
    if not patients:
        raise DataSetError("no patient to hold out", got="phantoms alone, which always train", remedy="omit --split")
    return settle_split(path, patients, seed=seed, given=held, **counts)


def _training(found: DataSet, split: Split | None) -> list[Case]:
    """The cases that train: all where there is no split, and phantoms always."""
    from mr2ct.datasets.case_names import PHANTOM

    return [case for case in found.cases if split is None or case.source == PHANTOM or case.patient in split.train]


def parse_counts(asked: str) -> dict[str, int]:
    """The counts in "test=24,validation=12", either one 0 where left out.

    Example
    -------
    >>> parse_counts("test=24")
    {'test': 24, 'validation': 0}
    """
    counts = {"test": 0, "validation": 0}
    for part in asked.split(","):
        side, _, number = part.partition("=")
        if side.strip() not in counts or not number.strip().isdecimal():
            raise DataSetError("unusable --split", got=repr(asked), expected="test=24,validation=12 or a split file")
        counts[side.strip()] = int(number)
    return counts


def _learnt(pipeline: Pipeline, fit_on: list[Case], reading: Reading) -> Pipeline:
    """The pipeline with a histogram learnt from `fit_on`, where it needs one: with N4 as long as the preparation."""
    from mr2ct.datasets.pipeline_choice import is_learnt, learn_pipeline

    if is_learnt(pipeline):
        return pipeline
    with case_bar("learning the histogram", len(fit_on)) as report:
        return learn_pipeline(pipeline, fit_on, reading, report=report)


def _prepare(found: DataSet, pipeline: Pipeline, store: Path, *, reading: Reading, jobs: int) -> Summary:
    from mr2ct.datasets.prepare import prepare
    from mr2ct.datasets.store import finished_cases

    already = set(finished_cases(store)) & {case.case for case in found.cases}
    with case_bar("preparing", len(found.cases), completed=len(already)) as report:
        return prepare(
            found.cases,
            pipeline,
            store,
            reading=reading,
            jobs=processes(jobs),
            report=lambda one: report(one.case, one.reason),
        )


@contextmanager
def _written(split: Split | None, store: Path) -> Iterator[None]:
    """Keep the split in the store; a new one goes again where the block ends in an error before a case is finished."""
    from mr2ct.datasets.splits import write_split
    from mr2ct.datasets.store import finished_cases

    path, finished = store / "split.json", finished_cases(store)
    is_new = split is not None and not path.exists()
    if split is not None and is_new:
        write_split(split, path)
    try:
        yield
    except BaseException:
        # else the next call, with another split, would be refused
        if is_new and finished_cases(store) == finished:
            path.unlink(missing_ok=True)
        raise


def _say(summary: Summary, store: Path, split: Split | None, *, patients: set[str]) -> None:
    typer.echo(
        f"{store}: {len(summary.prepared)} cases prepared, {len(summary.skipped)} already there, "
        f"{len(summary.failed)} failed"
    )
    if summary.uncovered:
        typer.echo(
            f"{len(summary.uncovered)} of them reach beyond their CT: "
            f"up to {100 * max(summary.uncovered.values()):.1f} % of the body is left out"
        )
    for case, share in summary.uncovered.items():
        if share > _UNCOVERED_SHARE:
            typer.echo(f"warning: {case}: its CT does not show {100 * share:.0f} % of the body, left out", err=True)
    if split is not None:
        _say_split(split, store / "split.json", patients=patients)
    for case, reason in summary.failed.items():
        typer.echo(f"failed: {case}: {reason}", err=True)


def _say_split(split: Split, path: Path, *, patients: set[str]) -> None:
    """How many of the data's `patients` each side has, and who of the split is not in the data, held-out ones first."""
    from mr2ct.datasets.folder_levels import listed

    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    counts = ", ".join(f"{len(patients & set(names))} {side}" for side, names in sides.items())
    typer.echo(f"{path}: patients {counts} (seed {split.seed})")
    absent = [f"{name} ({side})" for side in reversed(sides) for name in sides[side] if name not in patients]
    if absent:
        typer.echo(f"note: {len(absent)} patient(s) of the split are not in the data: {listed(absent)}", err=True)
