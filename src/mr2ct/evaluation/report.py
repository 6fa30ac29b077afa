"""The report: one HTML file that holds everything it shows, beside `cases.csv` and `summary.json` for machines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from mr2ct.errors import DataSetError, InputError
from mr2ct.evaluation.metric_names import metric_name
from mr2ct.evaluation.report_html import Html, note, paragraph, section, text
from mr2ct.evaluation.report_method import method_sentences
from mr2ct.evaluation.report_pictures import case_figure, worst_and_best
from mr2ct.evaluation.report_results import (
    comparison,
    error_places,
    image_results,
    other_heading,
    other_results,
    tissue_results,
)
from mr2ct.evaluation.report_tables import case_table, checksum_table, interval
from mr2ct.evaluation.scoring import Evaluation
from mr2ct.evaluation.summary import (
    FIRST_COLUMNS,
    by_tissue,
    software,
    summarise_figures,
    write_cases,
    write_summary,
)
from mr2ct.evaluation.tissue_metrics import DEFAULT_THRESHOLDS, TissueThresholds
from mr2ct.io.atomic import atomic_file, require_writable

_MOST_LINES = 40
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to make the report again: the command, the day, the seed of the bootstrap, the thresholds."""

    command: str
    date: str
    seed: int = 0
    thresholds: TissueThresholds = DEFAULT_THRESHOLDS


def write_report(
    folder: Path, evaluations: Sequence[Evaluation], provenance: Provenance, *, pictures: int = 3
) -> tuple[Path, ...]:
    """Write `report.html`, `cases.csv` and `summary.json`; and, for each further model, `cases_<model>.csv`.

    Parameters
    ----------
    evaluations : one a model, the one the report is about first; all by one protocol.
    pictures : how many worst and how many best cases are shown.

    Returns
    -------
    The files written. Each is replaced as a whole, or stays as it was.

    Raises
    ------
    DataSetError : no case, two models of one name, different protocols. DiskSpaceError, InputError : as `atomic_file`.

    Example
    -------
    >>> write_report(Path("report"), [evaluation], provenance)  # doctest: +SKIP
    """
    _require_comparable(evaluations)
    page, tables, summary = _paths(folder, [evaluation.model for evaluation in evaluations])
    for path, evaluation in zip(tables, evaluations, strict=True):
        write_cases(path, evaluation)
    write_summary(summary, evaluations, seed=provenance.seed)
    html = render_report(evaluations, provenance, pictures=pictures)
    with atomic_file(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return (page, *tables, summary)


def require_report_folder(folder: Path, models: Sequence[str], *, sources: Iterable[Path]) -> None:
    """Raise where a report in `folder` could not be written, or would take the place of something else.

    To be asked before the cases are scored. `models` are those of the report, `sources` what it is made from.

    Raises
    ------
    InputError : nothing can be written there; a `cases.csv` that is not a report's, such as a listing of patients;
    the folder of the sCTs or CTs, where there is a file of one of the report's names.

    Example
    -------
    >>> require_report_folder(Path("not-there"), ["unet"], sources=[Path("out"), Path("DATA")])
    """
    require_writable(folder)
    page, tables, summary = _paths(folder, models)
    for table in tables:
        if table.exists() and not _is_of_a_report(table):
            raise InputError(
                f"{table} is not a report's, and would be replaced",
                expected=f"columns {', '.join(FIRST_COLUMNS)}",
                remedy="choose another output folder",
            )
    there = [path.name for path in (page, *tables, summary) if path.exists()]
    if there and any(folder.resolve() == (path if path.is_dir() else path.parent).resolve() for path in sources):
        raise InputError(
            f"{folder} is a folder of sCTs or CTs, and files in it would be replaced",
            got=", ".join(there),
            remedy="choose another output folder",
        )


def _paths(folder: Path, models: Sequence[str]) -> tuple[Path, list[Path], Path]:
    """Page, a table a model, the first one's first, and summary."""
    others = [folder / f"cases_{_file_name(model)}.csv" for model in models[1:]]
    return folder / "report.html", [folder / "cases.csv", *others], folder / "summary.json"


def _is_of_a_report(table: Path) -> bool:
    try:
        return table.read_bytes().startswith(",".join(FIRST_COLUMNS).encode())
    except OSError:
        return False


def render_report(evaluations: Sequence[Evaluation], provenance: Provenance, *, pictures: int = 3) -> str:
    """The whole page as text; it names no address outside itself."""
    first = evaluations[0]
    title = f"Synthetic CT against CT: {first.model}"
    parts = [
        Html(f'<p class="abstract">{text(abstract(first, seed=provenance.seed))}</p>'),
        *_cautions(evaluations),
        *_results(evaluations, seed=provenance.seed),
        _cases(first, pictures),
        _method(evaluations, provenance),
        section("All cases", [case_table("Every case, by name.", first)]),
        section("Files", [checksum_table("The files compared and their checksums.", first)]),
    ]
    templates = files("mr2ct.evaluation") / "templates"
    page = Template((templates / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=text(title),
        subtitle=text(_subtitle(evaluations, provenance)),
        style=(templates / "report.css").read_text(encoding="utf-8"),
        body="\n".join(part for part in parts if part),
        footer=text(
            "Made by mr2ct. Not a medical device: figures and pictures are for research and quality assurance."
        ),
        generator=text(f"mr2ct {software()['mr2ct']}"),
    )


def abstract(evaluation: Evaluation, *, seed: int) -> str:
    """What was found, in three sentences."""
    overall = summarise_figures(evaluation.cases, seed=seed)
    figures = []
    for key in evaluation.cases[0].score.image:
        name, own = metric_name(key), overall[key]
        ci = interval(name, own)
        figures.append(
            f"{name.label} {name.show(own.mean)}{' ' + name.unit if name.unit else ''}"
            + (f" (95 % CI {ci})" if ci != "–" else "")
        )
    n_patients = len(set(evaluation.patients))
    count = f"{_count(len(evaluation.cases), 'case')} of {_count(n_patients, 'patient')}"
    centres = f" from {len(evaluation.centres)} centres" if len(evaluation.centres) > 1 else ""
    tissues = [
        f"{metric_name('mae_hu').show(own['mae_hu'].mean)} HU in {tissue}"
        for tissue, own in by_tissue(evaluation, seed=seed).items()
    ]
    by_tissue_words = f" By tissue the mean absolute error is {', '.join(tissues)}." if tissues else ""
    return f"Over {count}{centres}, the sCTs of {evaluation.model} reach {', '.join(figures)}.{by_tissue_words}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _subtitle(evaluations: Sequence[Evaluation], provenance: Provenance) -> str:
    first = evaluations[0]
    also = f" · compared with {', '.join(e.model for e in evaluations[1:])}" if len(evaluations) > 1 else ""
    return f"Protocol {first.protocol} · {_count(len(first.cases), 'case')}{also} · {provenance.date}"


def _cautions(evaluations: Sequence[Evaluation]) -> list[Html]:
    """What was left out and what is doubtful, before any figure."""
    boxes = [] if any(evaluation.excluded for evaluation in evaluations) else [paragraph("No case was left out.")]
    for evaluation in evaluations:
        if evaluation.excluded:
            whose = f" ({evaluation.model})" if len(evaluations) > 1 else ""
            lines = [f"{e.case}: {e.reason}" for e in evaluation.excluded]
            heading = f"{_count(len(lines), 'case')} left out{whose}"
            boxes.append(note(heading, _cut(lines, "summary.json lists all"), alert=True))
    lines = remarks(evaluations)
    if lines:
        boxes.append(note("To be known when reading the figures", _cut(lines, "cases.csv lists all")))
    return boxes


def remarks(evaluations: Sequence[Evaluation]) -> list[str]:
    """What a reader of the figures must know, each thing once, with the cases it is said of.

    Example
    -------
    >>> remarks([Evaluation("m", "synthrad2023", ())])
    []
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for evaluation in evaluations:
        for case in evaluation.cases:
            name = f"{case.pair.case} ({evaluation.model})" if len(evaluations) > 1 else case.pair.case
            for words in case.notes + case.score.notes:
                # remarks that differ in numbers alone are one remark
                found.setdefault(_NUMBER.sub("#", words), []).append((words, name))
    n_all = sum(len(evaluation.cases) for evaluation in evaluations)
    return [_remark(own, n_all) for own in found.values()]


def _remark(found: Sequence[tuple[str, str]], n_all: int) -> str:
    """The words of the first case, and of which cases they, or the same with other numbers, are said."""
    words = found[0][0]
    if n_all == 1:
        return words
    alike = "" if all(own == words for own, _ in found) else "alike, with other numbers: "
    if len(found) == n_all:
        return f"{words} ({alike}every case)"
    return f"{words} ({alike}{', '.join(name for _, name in found) if len(found) <= 5 else f'{len(found)} of {n_all}'})"


def _cut(lines: list[str], rest: str) -> list[str]:
    return (
        lines if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], f"… and {len(lines) - _MOST_LINES} more; {rest}"]
    )


def _results(evaluations: Sequence[Evaluation], *, seed: int) -> list[Html]:
    parts = [
        section("Image metrics", image_results(evaluations, seed=seed), level=3),
        section("By tissue", tissue_results(evaluations, seed=seed), level=3),
        section("Where the error lies", error_places(evaluations), level=3),
        section(other_heading(evaluations), other_results(evaluations, seed=seed), level=3),
        section("Comparison of models", comparison(evaluations), level=3),
    ]
    return [section("Results", parts)]


def _cases(evaluation: Evaluation, pictures: int) -> Html:
    worst, best = worst_and_best(evaluation.cases, pictures)
    shown = [
        *(case_figure(case, "Worst case" if n == 0 else f"Worst but {n}") for n, case in enumerate(worst)),
        *(case_figure(case, "Best case" if n == 0 else f"Best but {n}") for n, case in enumerate(best)),
    ]
    if len(evaluation.cases) == 1:
        shown = [case_figure(case, "The case") for case in worst]
    return section("Worst and best cases by MAE" if len(evaluation.cases) > 1 else "The case", shown)


def _method(evaluations: Sequence[Evaluation], provenance: Provenance) -> Html:
    words = method_sentences(evaluations, seed=provenance.seed, thresholds=provenance.thresholds)
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in words)
    versions = ", ".join(f"{package} {number}" for package, number in software().items())
    return section(
        "Method",
        [
            Html(f"<ul>{sentences}</ul>"),
            Html(f"<p>Command: <code>{text(provenance.command)}</code></p>"),
            paragraph(f"Software: {versions}."),
        ],
    )


def _file_name(model: str) -> str:
    return re.sub(r"[^\w.+-]", "_", model)


def _require_comparable(evaluations: Sequence[Evaluation]) -> None:
    if not evaluations or not all(evaluation.cases for evaluation in evaluations):
        raise DataSetError("no case to report on")
    names = [_file_name(evaluation.model) for evaluation in evaluations]
    if len(set(names)) < len(names):
        raise DataSetError("two models of one name", got=", ".join(names), remedy="name them with --name and --also")
    protocols = {evaluation.protocol for evaluation in evaluations}
    if len(protocols) > 1:
        raise DataSetError("models scored by different protocols", got=", ".join(sorted(protocols)), expected="one")
