"""One small PNG of a model's worst cases, MR | sCT | CT | difference, to lie beside its card."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mr2ct.errors import DataSetError
from mr2ct.evaluation.report_pictures import case_picture
from mr2ct.evaluation.scoring import ScoredCase
from mr2ct.io.atomic import atomic_file

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 150_000
_WIDTHS = (960, 860, 770, 690, 620, 540, 460)
_N_GREYS, _N_COLOURS = 80, 176
_GREY_WITHIN = 12


def write_failure_sheet(path: Path | str, cases: Sequence[ScoredCase], *, most_bytes: int = MOST_BYTES) -> Path:
    """Draw the cases below one another, each with its name and MAE, as wide as `most_bytes` allow.

    Raises
    ------
    DataSetError : no case, or more than fit. InputError : a file of a case that cannot be read.

    Example
    -------
    >>> write_failure_sheet("failures.png", [worst])  # doctest: +SKIP
    """
    from PIL import Image

    if not cases:
        raise DataSetError("nothing to draw", got="no case", expected="at least one")
    rows = [Image.open(BytesIO(case_picture(case, title=_title(case))[0])).convert("RGB") for case in cases]
    sheet = _below_one_another(rows)
    for width in _WIDTHS:
        encoded = _encoded(sheet, width)
        if len(encoded) <= most_bytes:
            break
    else:
        raise DataSetError(
            "the picture is too large", got=f"{len(cases)} cases", expected=f"{most_bytes} bytes at most"
        )
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded)
    return Path(path)


def _title(case: ScoredCase) -> str:
    centre = f", centre {case.pair.centre}" if case.pair.centre else ""
    return f"{case.pair.case}{centre}: MAE {case.score.image['mae_hu']:.1f} HU"


def _below_one_another(rows: Sequence[Image]) -> Image:
    from PIL import Image

    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), rows[0].getpixel((0, 0)))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _encoded(sheet: Image, width: int) -> bytes:
    """A PNG of that width in 256 colours: evenly spaced greys, and the most used of those that are none."""
    from PIL import Image

    height = round(sheet.height * width / sheet.width)
    small = sheet.resize((width, height), Image.Resampling.LANCZOS)
    file = BytesIO()
    small.quantize(palette=_palette(small), dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _palette(picture: Image) -> Image:
    """A palette that does not leave the few pixels of the difference to the many greys."""
    from PIL import Image

    pixels = np.asarray(picture).reshape(-1, 3)
    greys = np.repeat(np.linspace(0, 255, _N_GREYS).astype(np.uint8)[:, None], 3, axis=1)
    coloured = pixels[np.ptp(pixels, axis=1) > _GREY_WITHIN]
    chosen = greys
    if len(coloured):
        found = Image.fromarray(np.unique(coloured, axis=0)[None]).quantize(_N_COLOURS, dither=Image.Dither.NONE)
        chosen = np.concatenate([greys, np.asarray(found.getpalette(), dtype=np.uint8).reshape(-1, 3)[:_N_COLOURS]])
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen.tobytes())
    return palette
