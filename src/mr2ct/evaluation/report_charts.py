"""Charts of a report as inline SVG: they follow the page's light or dark colours and print sharp, without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from mr2ct.evaluation.metric_names import MetricName
from mr2ct.evaluation.report_html import Html
from mr2ct.evaluation.slice_profile import ProfileBand, SliceProfile

N_COLOURS = 6
_ROW, _PANEL_WIDTH, _LONGEST_LABEL = 30.0, 290.0, 18
_WIDE, _HIGH = 860.0, 320.0
_MOST_FAINT_LINES = 150


@dataclass(frozen=True)
class Scale:
    """A linear map from values to positions in a chart."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where `value` lies, rounded to a tenth of a pixel."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`.

    Example
    -------
    >>> ticks(0, 97)
    [0.0, 20.0, 40.0, 60.0, 80.0]
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    return [round(n * step, 10) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def distribution_chart(rows: Sequence[tuple[str, Sequence[float]]], name: MetricName) -> Html | None:
    """A row of dots with a box (quartiles, median; whiskers to 1.5 times the box) for each (label, values).

    None where no value is finite.
    """
    finite = [(label, np.array([v for v in values if math.isfinite(v)])) for label, values in rows]
    everything = np.concatenate([values for _, values in finite]) if finite else np.zeros(0)
    if not everything.size:
        return None
    left = 18 + 7.0 * max(min(len(label), _LONGEST_LABEL) for label, _ in finite)
    x = _scale_of(everything, left, _PANEL_WIDTH - 12)
    bottom = _ROW * len(finite) + 8
    parts = [_x_axis(x, name.heading, bottom)]
    for n, (label, values) in enumerate(finite):
        middle = 8 + _ROW * (n + 0.5)
        parts.append(f'<text x="{left - 10}" y="{middle + 4}" text-anchor="end">{_short(label)}</text>')
        parts.append(f'<g class="c{n % N_COLOURS}">{_dots_and_box(values, x, middle)}</g>')
    return _svg(parts, _PANEL_WIDTH, bottom + 44, f"Distribution of {name.heading}")


def _dots_and_box(values: np.ndarray, x: Scale, middle: float) -> str:
    if not values.size:
        return ""
    # the golden ratio spreads neighbours apart, the same way in every run
    spread = (np.arange(values.size) * 0.618034) % 1 * 14 - 7
    parts = [
        f'<circle class="dot" cx="{x(v)}" cy="{middle + s:.1f}" r="2.3"/>'
        for v, s in zip(np.sort(values), spread, strict=True)
    ]
    if values.size >= 5:
        q25, median, q75 = np.percentile(values, (25, 50, 75))
        reach = 1.5 * (q75 - q25)
        low, high = values[values >= q25 - reach].min(), values[values <= q75 + reach].max()
        parts += [
            f'<path class="whisker" d="M{x(low)} {middle}H{x(q25)}M{x(q75)} {middle}H{x(high)}"/>',
            f'<rect class="box" x="{x(q25)}" y="{middle - 9}" width="{max(x(q75) - x(q25), 0.5):.1f}" height="18"/>',
            f'<path class="median" d="M{x(median)} {middle - 9}V{middle + 9}"/>',
        ]
    return "".join(parts)


def profile_chart(bands: Sequence[tuple[str, ProfileBand]], cases: Sequence[SliceProfile]) -> Html:
    """MAE against depth: a median line with its quartile band for each (model, band), a faint line for each case."""
    highest = max(float(band.q75.max()) for _, band in bands)
    x = Scale(0, max(float(band.depth_mm[-1]) for _, band in bands), 56, _WIDE - 12)
    y = Scale(0, highest * 1.35 or 1.0, _HIGH, 10)
    parts = [_y_axis(y, "MAE (HU)", x), _x_axis(x, "mm below the uppermost voxel of the mask", _HIGH)]
    faint = [
        _points([(x(d), y(v)) for d, v in zip(case.depth_mm, case.mae_hu, strict=True)])
        for case in cases[:_MOST_FAINT_LINES]
    ]
    strength = f"stroke-opacity:{min(0.7, 12 / max(len(faint), 1)):.2f}"
    lines = "".join(f'<polyline class="faint" style="{strength}" points="{points}"/>' for points in faint)
    frame = f'<rect x="{x.start}" y="{y.end}" width="{x.end - x.start}" height="{y.start - y.end}"/>'
    parts.append(f'<clipPath id="profiles">{frame}</clipPath><g clip-path="url(#profiles)">{lines}</g>')
    for n, (_, band) in enumerate(bands):
        depth = [x(d) for d in band.depth_mm]
        there = list(zip(depth, map(y, band.q75), strict=True))
        back = list(zip(reversed(depth), map(y, band.q25[::-1]), strict=True))
        line = list(zip(depth, map(y, band.median), strict=True))
        parts.append(f'<g class="c{n % N_COLOURS}"><polygon class="band" points="{_points(there + back)}"/>')
        parts.append(f'<polyline class="line" points="{_points(line)}"/></g>')
    parts.append(_legend([model for model, _ in bands]))
    return _svg(parts, _WIDE, _HIGH + 44, "MAE by depth below the top of the mask")


def bins_chart(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[Sequence[float]]]], axes: tuple[str, str]
) -> Html:
    """For each (model, values of each bin): median, and a bar from the lower to the upper quartile, bin by bin.

    `axes` names the horizontal and the vertical axis.
    """
    quartiles = [
        (model, [np.percentile(own, (25, 50, 75)) if len(own) else None for own in bins]) for model, bins in series
    ]
    highest = max(float(q[2]) for _, bins in quartiles for q in bins if q is not None)
    step = (_WIDE - 68) / len(labels)
    y = Scale(0, highest * 1.08 or 1.0, _HIGH - 60, 10)
    x = Scale(0, len(labels), 56, _WIDE - 12)
    parts = [_y_axis(y, axes[1], x), f'<path class="axis" d="M56 {y(0)}H{_WIDE - 12}"/>']
    for n, label in enumerate(labels):
        parts.append(f'<text class="tick" x="{x(n + 0.5)}" y="{y(0) + 17}" text-anchor="middle">{escape(label)}</text>')
    parts.append(f'<text x="{(_WIDE + 44) / 2}" y="{y(0) + 36}" text-anchor="middle">{escape(axes[0])}</text>')
    for n, (_, bins) in enumerate(quartiles):
        shift = (n - (len(quartiles) - 1) / 2) * min(26.0, step / (len(quartiles) + 1))
        there = [(round(x(k + 0.5) + shift, 1), q) for k, q in enumerate(bins) if q is not None]
        bars = "".join(f'<path class="whisker" d="M{at} {y(q[0])}V{y(q[2])}"/>' for at, q in there)
        dots = "".join(f'<circle class="mark" cx="{at}" cy="{y(q[1])}" r="4"/>' for at, q in there)
        line = _points([(at, y(q[1])) for at, q in there])
        parts.append(f'<g class="c{n % N_COLOURS}"><polyline class="whisker" points="{line}"/>{bars}{dots}</g>')
    parts.append(_legend([model for model, _ in series]))
    return _svg(parts, _WIDE, _HIGH - 16, f"{axes[1]} by {axes[0]}")


def _scale_of(values: np.ndarray, start: float, end: float) -> Scale:
    low, high = float(values.min()), float(values.max())
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return Scale(low - room, high + room, start, end)


def _x_axis(x: Scale, heading: str, bottom: float) -> str:
    marks = ticks(x.low, x.high, count=5)
    lines = "".join(f'<path class="grid" d="M{x(t)} 4V{bottom}"/>' for t in marks)
    words = "".join(
        f'<text class="tick" x="{x(t)}" y="{bottom + 17}" text-anchor="middle">{_number(t, marks)}</text>'
        for t in marks
    )
    base = f'<path class="axis" d="M{x.start} {bottom}H{x.end}"/>'
    middle = (x.start + x.end) / 2
    return f'{lines}{base}{words}<text x="{middle}" y="{bottom + 36}" text-anchor="middle">{escape(heading)}</text>'


def _y_axis(y: Scale, heading: str, x: Scale) -> str:
    marks = ticks(y.low, y.high, count=5)
    lines = "".join(f'<path class="grid" d="M{x.start} {y(t)}H{x.end}"/>' for t in marks)
    words = "".join(
        f'<text class="tick" x="{x.start - 7}" y="{y(t) + 4}" text-anchor="end">{_number(t, marks)}</text>'
        for t in marks
    )
    middle = (y.start + y.end) / 2
    turned = f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{escape(heading)}</text>'
    return f"{lines}{words}{turned}"


def _number(value: float, marks: Sequence[float]) -> str:
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}".replace("-", "−")


def _legend(labels: Sequence[str]) -> str:
    if len(labels) < 2:
        return ""
    rows = [
        f'<g class="c{n % N_COLOURS}"><circle class="mark" cx="{_WIDE - 24}" cy="{20 + 18 * n}" r="4.5"/></g>'
        f'<text x="{_WIDE - 36}" y="{24 + 18 * n}" text-anchor="end">{escape(label)}</text>'
        for n, label in enumerate(labels)
    ]
    return "".join(rows)


def _short(label: str) -> str:
    shown = label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"
    return escape(shown) if shown == label else f"<title>{escape(label)}</title>{escape(shown)}"


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _svg(parts: Sequence[str], width: float, height: float, title: str) -> Html:
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">'
    return Html(f"{head}{''.join(parts)}</svg>")
