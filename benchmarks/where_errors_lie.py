"""Which voxels does the MAE come from? Its parts by what the CT shows, and by what the sCT shows instead.

    python benchmarks/where_errors_lie.py --data DATA --split stores/brain/split.json [--side test] [MODEL ...]

Each case is converted as a user would, without its mask, and all voxels inside the masks are counted alike (the MAE of
`mr2ct evaluate` is the mean over cases, and differs a little). A part is the sum of its voxels' errors over the number
of all voxels; the parts of a table add up to the MAE. `no MR` is tissue where the MR has no signal at all, such as a
neck beyond the MR's field of view.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from held_out import cases_of, markdown_table
from numpy.typing import NDArray

from mr2ct import Quantity, __version__, read_volume
from mr2ct.bundles import find_bundle
from mr2ct.datasets.cases import PairedCase
from mr2ct.datasets.splits import read_split
from mr2ct.errors import Mr2ctError
from mr2ct.evaluation.tissue_metrics import DEFAULT_THRESHOLDS
from mr2ct.inference import Translator

RANGES_HU = (-1024, -950, -600, -250, -100, 100, 250, 600, 1000, 3072)
TISSUES = ("air", "soft tissue", "bone")
NO_SIGNAL = 0.02
"""Of the brightest percentile: an MR below it shows nothing."""

Part = tuple[str, NDArray[np.bool_]]


@dataclass
class Sums:
    """Voxels, their absolute errors and their errors, summed over cases."""

    voxels: float = 0
    absolute: float = 0
    signed: float = 0

    def add(self, errors: NDArray[Any]) -> None:
        self.voxels += errors.size
        self.absolute += float(np.abs(errors).sum())
        self.signed += float(errors.sum())


def main() -> None:
    given = _parser().parse_args()
    try:
        cases = cases_of(given.data, getattr(read_split(given.split), given.side))
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"mr2ct {__version__}; {len(cases)} cases of {len({case.patient for case in cases})} {given.side} patients")
    for model in given.models:
        print(f"\n{model}\n")
        print("\n".join(table(measure(cases, Translator.from_bundle(find_bundle(model))))))


def measure(cases: Sequence[PairedCase], translator: Translator) -> dict[str, Sums]:
    """Part -> its sums; "all" first."""
    sums: dict[str, Sums] = {}
    for case in cases:
        mr = read_volume(case.mr)
        ct, inside = (
            read_volume(path, quantity=quantity).voxels
            for path, quantity in ((case.ct, Quantity.HU), (case.mask, Quantity.MASK))
        )
        inside = inside > 0
        sct, true = translator.translate(mr).sct.voxels[inside].astype(float), ct[inside].astype(float)
        dark = mr.voxels[inside] < NO_SIGNAL * np.percentile(mr.voxels, 99)
        for name, chosen in parts(sct, true, dark):
            sums.setdefault(name, Sums()).add((sct - true)[chosen])
    return sums


def parts(sct: NDArray[Any], ct: NDArray[Any], dark: NDArray[np.bool_]) -> Iterator[Part]:
    """Name and voxels: all; each true tissue as each tissue of the sCT; no MR; each range of the CT."""
    yield "all", np.ones(ct.shape, bool)
    limits = (DEFAULT_THRESHOLDS.air_below, DEFAULT_THRESHOLDS.bone_above)
    of_ct, of_sct = (np.digitize(hu, limits) for hu in (ct, sct))
    for true, name in enumerate(TISSUES):
        for shown, other in enumerate(TISSUES):
            yield f"{name}, shown as {other}", (of_ct == true) & (of_sct == shown)
    yield "no MR: tissue, shown as air", dark & (of_ct > 0) & (of_sct == 0)
    for low, high in pairwise(RANGES_HU):
        yield f"CT of {low} to {high} HU", (ct >= low) & (ct < high)


def table(sums: dict[str, Sums]) -> list[str]:
    """Markdown lines."""
    total = sums["all"].voxels
    rows = [
        [
            name,
            f"{100 * own.voxels / total:.1f}",
            f"{own.absolute / total:.1f}",
            f"{own.absolute / max(own.voxels, 1):.0f}",
            f"{own.signed / max(own.voxels, 1):+.0f}",
        ]
        for name, own in sums.items()
    ]
    return markdown_table(["", "% of voxels", "part of the MAE (HU)", "MAE there", "sCT − CT there"], rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["brain-multiscale-attention", "brain-cyclegan"])
    parser.add_argument("--data", type=Path, required=True, help="in SynthRAD layout, single slices")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--side", choices=["validation", "test"], default="validation")
    return parser


if __name__ == "__main__":
    main()
