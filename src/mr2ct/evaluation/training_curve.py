"""The course of a training as one small picture, from the `metrics.csv` of its run: loss, and MAE on validation."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from mr2ct.errors import DataSetError
from mr2ct.io.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = list[tuple[int, float]]
"""(step, value), in the order of the steps."""

_NOT_A_TERM = "learning_rate"
_DPI = 80


def read_curves(path: Path | str) -> dict[str, dict[str, Curve]]:
    """Kind ("train", "validation") -> name -> curve of a run's `metrics.csv`; rows cut short by a killed run are left.

    Raises
    ------
    DataSetError : no such file, or no row in it.

    Example
    -------
    >>> read_curves("runs/a/metrics.csv")["validation"]["mae_hu"][-1]  # doctest: +SKIP
    (8500, 77.7)
    """
    found: dict[str, dict[str, Curve]] = defaultdict(lambda: defaultdict(list))
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("value"):
                    found[row["kind"]][row["name"]].append((int(row["step"]), float(row["value"])))
    except (OSError, ValueError, KeyError) as error:
        raise DataSetError(f"no training curve in {path}", got=error, expected="metrics.csv of a run") from error
    if not found:
        raise DataSetError(f"no training curve in {path}", got="no row", expected="metrics.csv of a run")
    return {kind: dict(curves) for kind, curves in found.items()}


def write_training_curve(
    path: Path | str, stages: Sequence[Path | str], *, title: str = "", below: Sequence[Path | str] = ()
) -> Path:
    """Two panels, PNG: the terms of the loss, logarithmic where all are above 0, and the MAE on validation patients.

    Parameters
    ----------
    stages : the `metrics.csv` of the runs that made the weights, in order; the steps of each go on from the last.
    below : pictures of earlier stages, of which no table is left: this one goes below them.

    Raises
    ------
    DataSetError : a file without curves. InputError : the picture cannot be written.

    Example
    -------
    >>> write_training_curve("training.png", ["runs/a/metrics.csv"])  # doctest: +SKIP
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves, borders = _joined([read_curves(stage) for stage in stages])
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, mae = figure.subplots(1, 2)
    terms = {name: curve for name, curve in curves.get("train", {}).items() if name != _NOT_A_TERM}
    _draw(loss, terms, heading="terms of the loss")
    if all(value > 0 for curve in terms.values() for _, value in curve):
        loss.set_yscale("log")
    scores = {name: curve for name, curve in curves.get("validation", {}).items() if name.startswith("mae_hu")}
    _draw(mae, _named(scores), heading="MAE on validation patients [HU]", marker="o")
    for axes in (loss, mae):
        for border in borders:
            axes.axvline(border, color="0.6", linewidth=1, linestyle=":")
    figure.suptitle(title)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=_DPI, format="png", metadata={"Software": None})
    with atomic_file(path) as temporary:
        temporary.write_bytes(drawn.getvalue() if not below else _stacked([*below, drawn]))
    return Path(path)


def _stacked(pictures: Sequence[Path | str | BytesIO]) -> bytes:
    """PNG: the pictures, one below the other."""
    from PIL import Image

    images = [Image.open(picture).convert("RGB") for picture in pictures]
    whole = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    for number, image in enumerate(images):
        whole.paste(image, (0, sum(above.height for above in images[:number])))
    whole.save(made := BytesIO(), format="PNG", optimize=True)
    return made.getvalue()


def _joined(
    stages: Sequence[Mapping[str, Mapping[str, Curve]]],
) -> tuple[dict[str, dict[str, Curve]], list[int]]:
    """All stages as one, and the steps at which one began after another."""
    joined: dict[str, dict[str, Curve]] = defaultdict(lambda: defaultdict(list))
    before, borders = 0, []
    for stage in stages:
        if before:
            borders.append(before)
        last = max(step for curves in stage.values() for curve in curves.values() for step, _ in curve)
        for kind, curves in stage.items():
            for name, curve in curves.items():
                joined[kind][name] += [(before + step, value) for step, value in curve]
        before += last
    return joined, borders


def _named(scores: Mapping[str, Curve]) -> dict[str, Curve]:
    """Planes by their names, the whole as "all"."""
    return {name.removeprefix("mae_hu").strip("_") or "all": curve for name, curve in scores.items()}


def _draw(axes: Axes, curves: Mapping[str, Curve], *, heading: str, marker: str = "") -> None:
    for name, curve in curves.items():
        steps, values = zip(*curve, strict=True)
        strong = name == "all"
        axes.plot(steps, values, marker=marker, markersize=3, linewidth=2 if strong else 1.2, label=name)
    axes.set(xlabel="step", ylabel=heading)
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(fontsize=8)
