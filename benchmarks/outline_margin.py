"""Claim: in a single slice, trusting the network far outside the outline that was found costs nothing and errs less.

    python benchmarks/outline_margin.py --data DATA --split stores/brain/split.json [--model NAME] [--mr FILE_OR_FOLDER]

1. Validation slices, converted without their masks and scored inside them: MAE in HU by how far outside the outline the
   network keeps the word (fading over 4 mm more), with the mean of the plain and the mirrored view; last with the mask.
2. Of `--mr`, a whole head: how much of what lies at some distance outside its outline the network takes for more than
   air (above -900 HU) and for tissue (above -500), in ml.

Nothing is asserted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from volume_quality import print_header

from mr2ct import Quantity, read_volume
from mr2ct.bundles import DEFAULT_MODEL, find_bundle
from mr2ct.datasets.cases import PairedCase, find_synthrad
from mr2ct.datasets.splits import read_split
from mr2ct.inference import Translator
from mr2ct.inference.body_region import body_weight
from mr2ct.inference.planes import fuse
from mr2ct.inference.translator import PreparedBody
from mr2ct.inference.views import FLIPS, PLAIN, view_answer
from mr2ct.volume import Volume

KEPT_MM = (6, 10, 13, 16, 20, 30)
FADING_MM = 4
RINGS_MM = (0, 5, 10, 13, 16, 20, 24)


def main() -> None:
    given = _parser().parse_args()
    print_header((given.model,))
    translator = Translator.from_bundle(find_bundle(given.model))
    wanted = read_split(given.split).validation
    cases = [case for case in find_synthrad(given.data) if case.patient in wanted]
    scores = [dict(errors(translator, case)) for case in cases]
    print(f"\n{len(cases)} slices of {len(wanted)} patients\n\n| mm kept outside the outline | MAE, HU |\n|---|---|")
    for name in scores[0]:
        print(f"| {name} | {np.mean([score[name] for score in scores]):.2f} |")
    if given.mr is not None:
        rings(translator, read_volume(given.mr))


def errors(translator: Translator, case: PairedCase) -> Iterator[tuple[str, float]]:
    """MAE in HU of one slice, by edge."""
    mr, ct = read_volume(case.mr), read_volume(case.ct, quantity=Quantity.HU)
    mask = read_volume(case.mask, quantity=Quantity.MASK)

    def error(answer: NDArray[np.float32], body: PreparedBody) -> float:
        sct = translator.compose([answer], body)
        return float(np.abs(sct.voxels.astype(float) - ct.voxels)[mask.voxels != 0].mean())

    body = translator.prepare(mr)
    answer = both_views(translator, body)
    for kept_mm in KEPT_MM:
        yield str(kept_mm), error(answer, replace(body, weight=weight_of(body, kept_mm)))
    of_mask = translator.prepare(mr, mask=mask)
    yield "mask given", error(both_views(translator, of_mask), of_mask)


def both_views(translator: Translator, body: PreparedBody) -> NDArray[np.float32]:
    (plane,) = translator.planes_for(body)
    return fuse([view_answer(translator, body, plane, view=view) for view in FLIPS], method="mean")


def weight_of(body: PreparedBody, kept_mm: float) -> NDArray[np.float32]:
    """As `inference.translator` weighs an answer, with another edge."""
    outline, spacing_mm = body.prepared.mask.voxels[body.box], body.prepared.mr.geometry.spacing_mm
    return body_weight(outline, spacing_mm, edge=(kept_mm, kept_mm + FADING_MM))


def rings(translator: Translator, mr: Volume) -> None:
    """What the network sees round a whole head."""
    body = translator.prepare(mr)
    far = replace(body, weight=weight_of(body, RINGS_MM[-1]))
    units = fuse(
        [view_answer(translator, far, plane, view=PLAIN[0]) for plane in translator.planes_for(body)], method="mean"
    )
    hu = translator.description.hu_scaling.to_hu(units)
    spacing_mm = body.prepared.mr.geometry.spacing_mm
    distance_mm = ndimage.distance_transform_edt(~body.outline, sampling=spacing_mm)
    ml = float(np.prod(spacing_mm)) / 1000
    print("\n| mm outside the head | ml | above -900 HU | above -500 HU |\n|---|---|---|---|")
    for near, beyond in pairwise(RINGS_MM):
        ring = hu[(distance_mm > near) & (distance_mm <= beyond)]
        counts = (ring.size, np.count_nonzero(ring > -900), np.count_nonzero(ring > -500))
        print(f"| {near} to {beyond} | {' | '.join(f'{count * ml:.1f}' for count in counts)} |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a data set in SynthRAD's layout")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--mr", type=Path, help="a whole head")
    return parser


if __name__ == "__main__":
    main()
