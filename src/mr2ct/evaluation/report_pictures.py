"""Worst and best cases as pictures: MR | sCT | CT | difference, so that a reader sees what an error of 90 HU is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO

from mr2ct.errors import Mr2ctError
from mr2ct.evaluation.metric_names import metric_name
from mr2ct.evaluation.report_html import Html, figure, png
from mr2ct.evaluation.scoring import ScoredCase
from mr2ct.geometry import difference
from mr2ct.io import read_volume
from mr2ct.io.preview import preview_figure
from mr2ct.volume import Quantity

_DPI = 110


def worst_and_best(cases: Sequence[ScoredCase], count: int) -> tuple[tuple[ScoredCase, ...], tuple[ScoredCase, ...]]:
    """The `count` cases of highest MAE, worst first, and the `count` of lowest, best first; no case is in both.

    Example
    -------
    >>> worst_and_best([], 3)
    ((), ())
    """
    ranked = sorted(cases, key=lambda case: -case.score.image.get("mae_hu", math.nan))
    worst = ranked[: min(count, math.ceil(len(ranked) / 2))]
    best = ranked[len(worst) :][::-1][:count]
    return tuple(worst), tuple(best)


def case_figure(case: ScoredCase, standing: str) -> Html:
    """A figure of one case with its figures as caption; `standing` is what the caption begins with.

    A file that changed or vanished since it was scored is said in place of the picture.
    """
    named = [(metric_name(key), value) for key, value in case.score.image.items()]
    figures = [f"{name.label} {name.show(value)} {name.unit}".strip() for name, value in named]
    pair = case.pair
    whose = f"patient {pair.patient}" + (f", centre {pair.centre}" if pair.centre else "")
    caption = f"{standing}: {pair.case} ({whose}). {', '.join(figures)}."
    try:
        picture, remark = case_picture(case)
    except (Mr2ctError, OSError) as error:
        return figure([Html("")], f"{caption} No picture: {error}")
    alternative = f"{pair.case}: MR, sCT, CT and their difference in HU"
    return figure([png(picture, alternative)], f"{caption}{remark}")


def case_picture(case: ScoredCase, *, title: str | None = None) -> tuple[bytes, str]:
    """A PNG of the case through the middle of its head, and a remark on what is not in it ("" where nothing lacks).

    Raises
    ------
    Mr2ctError : a file that cannot be read any more.
    """
    pair = case.pair
    sct, ct = (read_volume(path, quantity=Quantity.HU) for path in (pair.sct, pair.ct))
    mask = None if pair.mask is None else read_volume(pair.mask, quantity=Quantity.MASK)
    panels, remark = {"sCT": sct, "CT": ct}, ""
    if pair.mask is not None:
        remark = " The difference is shown inside the mask alone."
    if pair.mr is not None:
        try:
            mr = read_volume(pair.mr)
            differs = difference(mr.geometry, ct.geometry, tolerance_mm=1e-2)
        except Mr2ctError as error:
            differs = str(error)
        if differs is None:
            panels = {"MR": mr, **panels}
        else:
            remark += f" The MR is not shown: {differs}."
    drawn = preview_figure(panels, mask=mask, title=title)
    file = BytesIO()
    # without the address that matplotlib writes into a PNG
    drawn.savefig(file, format="png", dpi=_DPI, facecolor=drawn.get_facecolor(), metadata={"Software": None})
    return file.getvalue(), remark
