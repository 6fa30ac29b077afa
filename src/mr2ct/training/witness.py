"""What a person sees of a run: a live progress line, `metrics.csv`, TensorBoard scalars and picture panels."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.io.atomic import atomic_file
from mr2ct.training.validation import ScoredSlice

_COLUMNS = ("step", "minutes", "kind", "name", "value")
_WINDOW_HU = (-1000.0, 1500.0)
_DIFFERENCE_HU = 500.0


class RunWitness:
    """A context manager that writes `folder`/metrics.csv and TensorBoard events, and draws a progress bar.

    A resumed run goes on where its checkpoint was made: what was written after that is taken back.

    Parameters
    ----------
    total_steps : for the progress bar. every : steps between two rows of the loss's terms (their means).
    slices : gives the slices last validated, for the pictures (MR | sCT | CT | difference).
    record : writes down what the run is, once it begins or its checkpoint has been taken back: a checkpoint that is
        refused changes nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        total_steps: int,
        every: int = 50,
        slices: Callable[[], Sequence[ScoredSlice]],
        record: Callable[[], None] = lambda: None,
    ) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._folder, self._every, self._slices, self._record = folder, every, slices, record
        self._sums: dict[str, list[float]] = {}
        self._open = ExitStack()
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns)
        self._task = self._progress.add_task("", total=total_steps)
        self._loss = self._score = ""

    def __enter__(self) -> RunWitness:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._open.close()

    def on_start(self, step: int) -> None:
        """Record the run, open the table and the board, and show that `step` steps are done."""
        self._record()
        path = self._folder / "metrics.csv"
        rows = _rows_up_to(step, path)
        self._minutes_before = float(rows[-1][1]) if rows else 0.0
        self._started = time.monotonic()
        with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([_COLUMNS, *rows])
        self._file = self._open.enter_context(path.open("a", newline="", encoding="utf-8"))
        self._table = csv.writer(self._file)
        self._board = _board(self._folder / "tensorboard", step)
        self._open.callback(self._board.close)
        # a bar that jumped to its place would promise an end far too soon
        self._progress.reset(self._task, completed=step)

    def on_step(self, step: int, terms: dict[str, float], learning_rate: float) -> None:
        """Gather the terms; write their means every so many steps."""
        for name, value in terms.items():
            self._sums.setdefault(name, []).append(value)
        self._progress.update(self._task, completed=step)
        if step % self._every:
            return
        means = {name: float(np.mean(values)) for name, values in self._sums.items()}
        self._sums.clear()
        self._write(step, "train", {**means, "learning_rate": learning_rate})
        self._loss = "  ".join(f"{name} {value:.3g}" for name, value in means.items())
        self._describe()

    def on_validation(self, step: int, scores: dict[str, float], *, best: bool) -> None:
        """Write the scores and a picture panel of the first slices."""
        self._write(step, "validation", scores)
        panels = [picture_panel(scored) for scored in self._slices()[:6]]
        for number, panel in enumerate(panels):
            self._board.add_image(f"validation/{number}", panel, step, dataformats="HWC")
        if "mae_hu" in scores:
            self._score = f"[bold]MAE {scores['mae_hu']:.1f} HU{' (best)' if best else ''}[/]"
            self._progress.console.print(f"step {step}: " + "  ".join(f"{k} {v:.1f}" for k, v in scores.items()))
        self._describe()

    def _write(self, step: int, kind: str, values: dict[str, float]) -> None:
        minutes = round(self._minutes_before + (time.monotonic() - self._started) / 60, 3)
        for name, value in values.items():
            self._table.writerow((step, minutes, kind, name, value))
            self._board.add_scalar(f"{kind}/{name}", value, step)
        self._file.flush()

    def _describe(self) -> None:
        self._progress.update(self._task, description=f"{self._score}  {self._loss}")


class _NoBoard:
    """In TensorBoard's place where it is not installed, as on a bare GPU machine; metrics.csv has the figures."""

    def add_scalar(self, *_: Any) -> None: ...

    def add_image(self, *_: Any, dataformats: str) -> None: ...

    def close(self) -> None: ...


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return _NoBoard()
    return SummaryWriter(str(folder), purge_step=step + 1)


def _rows_up_to(step: int, path: Path) -> list[list[str]]:
    """The table's whole rows of steps up to `step`; a killed process may have left a part of one."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [row for row in rows if len(row) == len(_COLUMNS) and row[-1] and int(row[0]) <= step]


def picture_panel(scored: ScoredSlice) -> NDArray[np.uint8]:
    """MR | sCT | CT | difference of one slice, upright, as RGB (rows, columns, 3); the difference from blue to red."""
    middle = () if scored.mr.ndim == 2 else (slice(None), slice(None), scored.mr.shape[-1] // 2)

    def grey(image: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
        shown = np.flipud(np.asarray(image, dtype=np.float64)[middle].T)
        return np.repeat(np.clip((shown - low) / (high - low), 0, 1)[..., None], 3, axis=2)

    error = grey(scored.sct_hu - scored.ct_hu, -_DIFFERENCE_HU, _DIFFERENCE_HU)
    inside = np.flipud(scored.mask[middle].T)[..., None]
    signed = 2 * error - 1
    coloured = 1 - np.abs(signed) * np.where(signed > 0, [0, 1, 1], [1, 1, 0])
    panels = [grey(scored.mr, 0, 1.2), grey(scored.sct_hu, *_WINDOW_HU), grey(scored.ct_hu, *_WINDOW_HU)]
    return np.asarray(np.concatenate([*panels, np.where(inside, coloured, 1)], axis=1) * 255, dtype=np.uint8)


class SilentWitness:
    """For all processes but the first, and for tests: says nothing."""

    def on_start(self, step: int) -> None:
        """Say nothing."""

    def on_step(self, step: int, terms: dict[str, float], learning_rate: float) -> None:
        """Say nothing."""

    def on_validation(self, step: int, scores: dict[str, float], *, best: bool) -> None:
        """Say nothing."""
