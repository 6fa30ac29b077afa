"""The contact sheet: the worst pairs of an audit, so that a person sees in a minute what is wrong with each.

MR, CT, and the CT's outlines of skin and bone on the MR, with arrows from where parts of the CT should lie to where
they do. A slice is drawn as it is, a volume in the sagittal plane through the middle of the body.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mr2ct.datasets.case_images import Reading
from mr2ct.errors import Mr2ctError
from mr2ct.geometry import Float64, closest_axes
from mr2ct.io.atomic import atomic_file
from mr2ct.io.display import Plane, as_pictures, from_pictures
from mr2ct.trust.pair_audit import AuditedPair
from mr2ct.trust.pair_images import PairImages
from mr2ct.trust.pair_measures import LoadedPair, load_pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAGE, _INK, _FAINT = "#101114", "#e8e8ea", "#9a9aa2"
_SKIN, _BONE, _ARROW = "#4fb3ff", "#ffb347", "#ff4fa3"
_COLOURS = {"exclude": "#ff6b5e", "doubt": "#f2c14e", "note": "#9a9aa2", "ok": "#7bd88f"}
_TILE_IN, _WORDS_IN, _DPI = 1.75, 0.62, 110
_ACROSS = 2
_NEAR_PLANE_MM = 30.0


def write_sheet(audited: Sequence[AuditedPair], path: str | Path, *, reading: Reading, count: int = 12) -> Path:
    """Write a PNG of the first `count` pairs, whole or not at all; the files are read again.

    Example
    -------
    >>> write_sheet(audited, "contact_sheet.png", reading=Reading())  # doctest: +SKIP
    """
    figure = sheet_figure(audited[:count], reading=reading, total=len(audited))
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor=_PAGE)
    return Path(path)


def sheet_figure(shown: Sequence[AuditedPair], *, reading: Reading, total: int) -> Figure:
    """Draw pairs, the first at the top left, ranked from 1 of `total`.

    Example
    -------
    >>> sheet_figure(audited[:4], reading=Reading(), total=432).savefig("sheet.png")  # doctest: +SKIP
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-max(len(shown), 1) // _ACROSS)
    width, height = _ACROSS * 3 * (_TILE_IN + 0.06) + 0.3, rows * (_TILE_IN + _WORDS_IN) + 0.45
    figure = Figure(figsize=(width, height), facecolor=_PAGE)
    FigureCanvasAgg(figure)
    title = f"the {len(shown)} worst of {total} pairs: MR | CT | CT's skin (blue) and bone (orange) on the MR"
    figure.text(0.15 / width, 1 - 0.2 / height, title, color=_FAINT, fontsize=8, va="center")
    for number, one in enumerate(shown):
        row, column = divmod(number, _ACROSS)
        left = 0.15 + column * 3 * (_TILE_IN + 0.06)
        top = height - 0.4 - row * (_TILE_IN + _WORDS_IN)
        _write_words(figure, one, number + 1, at=(left / width, top / height))
        boxes = [
            (left / width + n * (_TILE_IN + 0.03) / width, (top - _WORDS_IN - _TILE_IN + 0.08) / height)
            for n in range(3)
        ]
        axes = [figure.add_axes((x, y, _TILE_IN / width, _TILE_IN / height)) for x, y in boxes]
        _draw(axes, one, reading)
    return figure


def _write_words(figure: Figure, one: AuditedPair, rank: int, *, at: tuple[float, float]) -> None:
    colour = _COLOURS[one.verdict]
    x, y = at
    name = f"{rank}. {one.case.case}   {one.verdict}, weight {one.weight:.2g}"
    figure.text(x, y, name, color=colour, fontsize=8, va="top", weight="bold", parse_math=False)
    reasons = "; ".join(finding.sentence for finding in one.findings) or "nothing found"
    lines = textwrap.wrap(reasons, 104)
    lines = lines if len(lines) <= 3 else [*lines[:2], lines[2][:98] + " ..."]
    drop = 0.15 / figure.get_figheight()
    figure.text(x, y - drop, "\n".join(lines), color=_INK, fontsize=5.6, va="top", parse_math=False)


def _draw(axes: Sequence[Axes], one: AuditedPair, reading: Reading) -> None:
    for axis in axes:
        axis.set_axis_off()
        axis.set_anchor("N")
    try:
        loaded = load_pair(one.case, reading)
    except (Mr2ctError, OSError, ValueError):
        axes[0].text(0, 0.5, "cannot be read", color=_FAINT, fontsize=7, transform=axes[0].transAxes)
        return
    pair, view = loaded.images, _View(loaded)
    low, high = (float(v) for v in np.percentile(pair.mr, [1, 99.5]))
    for axis in (axes[0], axes[2]):
        axis.imshow(view.picture(pair.mr), cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    axes[1].imshow(view.picture(pair.ct), cmap="gray", vmin=-1000, vmax=1600)
    _draw_outlines(axes[2], view, pair)
    if one.measures is not None:
        _draw_arrows(axes[2], view, one)


def _draw_outlines(axis: Axes, view: _View, pair: PairImages) -> None:
    for image, level, colour in ((pair.ct_body.astype(np.float32), 0.5, _SKIN), (pair.ct, 300.0, _BONE)):
        picture = view.picture(image)
        if picture.min() < level < picture.max():
            axis.contour(picture, levels=[level], colors=[colour], linewidths=0.5)


def _draw_arrows(axis: Axes, view: _View, one: AuditedPair) -> None:
    if one.measures is None:
        return
    local = one.measures.registration.local
    for centre, shift in zip(local.centres, local.shifts_mm / view.spacing_mm, strict=True):
        if view.shows(centre):
            (x, y), (to_x, to_y) = view.place(centre), view.place(centre + 3 * shift)
            arrow = {
                "arrowstyle": "-|>",
                "color": _ARROW,
                "linewidth": 0.8,
                "mutation_scale": 4,
                "shrinkA": 0,
                "shrinkB": 0,
            }
            axis.annotate("", xy=(to_x, to_y), xytext=(x, y), arrowprops=arrow)


class _View:
    """The picture that is shown of a pair's arrays: which plane, which slice, and where a pixel of the array lies."""

    def __init__(self, loaded: LoadedPair) -> None:
        pair = loaded.images
        self.spacing_mm, self._affine, self._flat = pair.spacing_mm, loaded.affine, loaded.flat_axis
        self._plane = Plane.SAGITTAL if pair.plane == "volume" else Plane(pair.plane)
        whole = self._whole(pair.mr_body)
        middle = np.argwhere(whole).mean(axis=0)
        self._across = closest_axes(self._affine)[0][0] if self._flat is None else self._flat
        self._middle = float(middle[self._across])
        slices = [np.arange(n) for n in as_pictures(whole, self._affine, self._plane).shape]
        maps = [np.broadcast_to(s, [len(o) for o in slices]) for s in np.ix_(*slices)]
        self._slice_of, self._row_of, self._column_of = (from_pictures(m, self._affine, self._plane) for m in maps)
        self._shown = int(self._slice_of[tuple(int(v) for v in middle)])

    def _whole(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        return image if self._flat is None else np.expand_dims(image, self._flat)

    def picture(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        """The array's picture (rows, columns)."""
        return np.asarray(as_pictures(self._whole(image), self._affine, self._plane)[self._shown])

    def shows(self, point: Float64) -> bool:
        """Whether a point, in pixels of the array, lies near the picture's plane."""
        return self._flat is not None or abs(point[self._across] - self._middle) * self.spacing_mm <= _NEAR_PLANE_MM

    def place(self, point: Float64) -> tuple[float, float]:
        """Column and row of a point; the map is linear, so it goes on beyond the border."""
        full = np.asarray(point) if self._flat is None else np.insert(np.asarray(point), self._flat, 0)
        return self._linear(self._column_of, full), self._linear(self._row_of, full)

    @staticmethod
    def _linear(numbers: NDArray[np.int64], point: Float64) -> float:
        value = float(numbers[0, 0, 0])
        for axis, n in enumerate(numbers.shape):
            if n > 1:
                step = [0, 0, 0]
                step[axis] = 1
                value += (float(numbers[tuple(step)]) - float(numbers[0, 0, 0])) * float(point[axis])
        return value
