"""Held-out patients converted by several models and scored by `mr2ct evaluate`: figures, intervals, paired tests."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mr2ct import Quantity, read_volume, write_volume
from mr2ct.datasets.cases import PairedCase, find_synthrad
from mr2ct.datasets.splits import Split, write_split
from mr2ct.errors import DataSetError
from mr2ct.evaluation.comparison import wilcoxon_p
from mr2ct.evaluation.statistics import bootstrap_ci, patient_means, summarise
from mr2ct.volume import Volume

COLUMNS = {
    "mae_hu": ("MAE (HU)", 1),
    "psnr_db": ("PSNR (dB)", 2),
    "ms_ssim": ("MS-SSIM", 3),
    "air_mae_hu": ("air (HU)", 1),
    "soft_tissue_mae_hu": ("soft tissue (HU)", 1),
    "bone_mae_hu": ("bone (HU)", 1),
    "bone_dice": ("bone Dice", 3),
    "bone_gradient_energy_percent": ("bone's sharpness (% of the CT's)", 0),
    "brain_outline_moved_mm": ("brain outline moved (mm)", 2),
}

Row = dict[str, str]


@dataclass(frozen=True)
class Difference:
    """One model minus another on the same cases: mean, its 95 % interval (patients resampled), Wilcoxon's p."""

    mean: float
    low: float
    high: float
    p: float
    n_patients: int

    @property
    def words(self) -> str:
        interval = "one patient" if np.isnan(self.low) else f"{self.low:+.1f} to {self.high:+.1f}"
        return f"{self.mean:+.1f} ({interval})".replace("-", "−")


def cases_of(data: Path, patients: Sequence[str], *, of_each_centre: int | None = None) -> list[PairedCase]:
    """The cases of the data set that are of these patients, or of the first so many of each centre."""
    found = [case for case in find_synthrad(data) if case.patient in set(patients)]
    if of_each_centre is not None:
        kept: dict[str, list[str]] = {}
        for case in found:
            own = kept.setdefault(case.centre, [])
            if case.patient not in own and len(own) < of_each_centre:
                own.append(case.patient)
        found = [case for case in found if case.patient in kept[case.centre]]
    if not found:
        raise DataSetError(f"no case of the {len(patients)} held-out patient(s) in {data}")
    return found


def convert_cases(cases: Sequence[PairedCase], folder: Path, *, load: Callable[[], Callable[[Volume], Volume]]) -> None:
    """Write `folder`/<case>/mr_sct.nii.gz for each case that has none; `load` gives what turns an MR into an sCT.

    As a user would: the masks are for scoring alone.
    """
    todo = [case for case in cases if not _sct(folder, case).exists()]
    if not todo:
        return
    print(f"{folder.name}: converting {len(todo)} cases", flush=True)
    convert = load()
    for case in todo:
        write_volume(convert(read_volume(case.mr, quantity=Quantity.MR)), _sct(folder, case))


def translator(bundle: Path, device: str) -> Callable[[], Callable[[Volume], Volume]]:
    """For `convert_cases`: a bundle, loaded when the first case needs it."""

    def load() -> Callable[[Volume], Volume]:
        from mr2ct.bundles import load_bundle
        from mr2ct.inference import Translator

        ready = Translator.from_bundle(load_bundle(bundle), device=device)
        return lambda mr: ready.translate(mr).sct

    return load


def evaluate(models: Mapping[str, Path], cases: Sequence[PairedCase], *, data: Path, out: Path) -> None:
    """`mr2ct evaluate` of all models' sCTs into `out`, unless its report is newer than all of them."""
    newest = max(_sct(folder, case).stat().st_mtime for folder in models.values() for case in cases)
    report = out / "report.html"
    if report.exists() and report.stat().st_mtime > newest and all(_table(out, n, models).exists() for n in models):
        return
    patients = tuple(sorted({case.patient for case in cases}))
    split = write_split(Split(train=(), validation=(), test=patients), out.parent / f"{out.name}-patients.json")
    (first, folder), *others = models.items()
    words = ["evaluate", folder, data, "--name", first, "--split", split, "-o", out, "--jobs", 1, "--skull"]
    for name, other in others:
        words += ["--also", f"{name}={other}"]
    subprocess.run([sys.executable, "-m", "mr2ct", *map(str, words)], check=True)


def read_rows(out: Path, models: Sequence[str]) -> dict[str, list[Row]]:
    """Model -> its row of figures for each case, from the report's tables."""
    found = {}
    for model in models:
        with _table(out, model, models).open(newline="", encoding="utf-8") as file:
            found[model] = list(csv.DictReader(file))
    return found


def mean_and_interval(rows: Sequence[Row], key: str) -> tuple[float, float, float]:
    """Mean over cases and its 95 % interval, patients resampled."""
    found = summarise([_number(row, key) for row in rows], [row["patient"] for row in rows])
    return found.mean, *found.ci95


def difference(one: Sequence[Row], other: Sequence[Row], key: str = "mae_hu") -> Difference:
    """`one` minus `other` over the cases that both have."""
    theirs = {row["case"]: _number(row, key) for row in other}
    both = [(row["patient"], _number(row, key) - theirs[row["case"]]) for row in one if row["case"] in theirs]
    both = [(patient, apart) for patient, apart in both if np.isfinite(apart)]
    patients, apart = [patient for patient, _ in both], [value for _, value in both]
    by_patient = patient_means(apart, patients)
    p = wilcoxon_p(list(by_patient.values()))
    return Difference(float(np.mean(apart)), *bootstrap_ci(apart, patients, seed=0), p, len(by_patient))


def figures_table(rows: Mapping[str, Sequence[Row]], notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Markdown lines: a row a model, a column a figure with its interval; `notes` are further columns by heading."""
    shown = [key for key in COLUMNS if any(row.get(key) for own in rows.values() for row in own)]
    heads = ["", *(COLUMNS[key][0] for key in shown), *notes]
    lines = [_line(heads), "|" + "---|" * len(heads)]
    for number, (model, own) in enumerate(rows.items()):
        cells = [_with_interval(own, key) for key in shown]
        lines.append(_line([model, *cells, *(column[number] for column in notes.values())]))
    return lines


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table's lines."""
    return [_line(heads), "|" + "---|" * len(heads), *(_line(row) for row in rows)]


def p_words(p: float) -> str:
    """A p value for a table."""
    return "–" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def as_json(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Mean and interval of each figure of each model."""
    named = ("mean", "low", "high")
    return {
        model: {key: dict(zip(named, mean_and_interval(own, key), strict=True)) for key in COLUMNS}
        for model, own in rows.items()
    }


def _with_interval(rows: Sequence[Row], key: str) -> str:
    mean, low, high = (f"{value:.{COLUMNS[key][1]}f}" for value in mean_and_interval(rows, key))
    return mean if low == "nan" else f"{mean} ({low} to {high})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(row: Row, key: str) -> float:
    return float(row[key]) if row.get(key) else float("nan")


def _sct(folder: Path, case: PairedCase) -> Path:
    return folder / case.case / "mr_sct.nii.gz"


def _table(out: Path, model: str, models: Sequence[str] | Mapping[str, Path]) -> Path:
    is_first = model == next(iter(models))
    return out / ("cases.csv" if is_first else f"cases_{re.sub(r'[^A-Za-z0-9_.+-]', '_', model)}.csv")
