"""Claim: a single slice is answered better at several places on the network's grid of folding and pooling than at one.

    python benchmarks/slice_places.py [MODEL ...] [--store stores/brain] [--side validation]

MAE in approximate HU inside the mask, mean over the slices of the side's patients, plain and mirrored (as
`mr2ct.inference` does with a single slice, but in the mask that is given), for the mean of answers at more and more
`mr2ct.inference.slice_frame.PLACES`, then at other places as well. Then the time of a slice, the median over all, and
its ratio to that at one place. Nothing is asserted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from slice_frame import Image, parser, slices_of
from volume_quality import print_header

from mr2ct.bundles import find_bundle
from mr2ct.inference import Translator
from mr2ct.inference.planes import predict_slices
from mr2ct.inference.slice_frame import PLACES
from mr2ct.inference.views import FLIPS, VIEWS

Places = Sequence[tuple[int, int]]
Slice = tuple[Image, Image, NDArray[np.bool_], bool]

MORE: Places = ((13, 6), (7, 7), (5, 10), (11, 3), (8, 3), (3, 8))
CHOICES: dict[str, Places] = {
    **{f"{count} of ours": PLACES[:count] for count in range(1, len(PLACES) + 1)},
    "and one more": (*PLACES, *MORE[:1]),
    "and six more": (*PLACES, *MORE),
}


def main() -> None:
    arguments = parser(__doc__).parse_args()
    print_header(tuple(arguments.models))
    slices = list(slices_of(arguments.store, arguments.side))
    print(f"{len(slices)} {arguments.side} slices\n")
    print("| model | places | MAE (HU) | ms a slice | ratio |\n|---|---|---|---|---|")
    for name in arguments.models:
        translator = Translator.from_bundle(find_bundle(name))
        at_one = 0.0
        for words, places in CHOICES.items():
            mae_hu, milliseconds = score(translator, slices, places)
            at_one = at_one or milliseconds
            print(f"| {name} | {words} | {mae_hu:.1f} | {milliseconds:.0f} | {milliseconds / at_one:.2f} |", flush=True)


def score(translator: Translator, slices: Sequence[Slice], places: Places) -> tuple[float, float]:
    """MAE in HU, and the median time of a slice in ms."""
    errors, seconds = [], []
    for mr, ct, mask, left_right in slices:
        begun = time.perf_counter()
        sct = answer(translator, mr, places, left_right=left_right)
        seconds.append(time.perf_counter() - begun)
        errors.append(np.abs(sct - ct)[mask].mean())
    return float(np.mean(errors)), 1000 * float(np.median(seconds))


def answer(translator: Translator, mr: Image, places: Places, *, left_right: bool) -> Image:
    """HU of a slice: the mean of both views. Of slices without left and right, the second one only lies elsewhere."""
    plane, volume = ("axial", mr[:, :, None]) if left_right else ("sagittal", mr[None])
    units = [
        view.restore(
            predict_slices(
                translator.engine, view.alter(volume), view.alter(np.ones_like(volume)), plane=plane, places=places
            )
        )
        for view in (VIEWS[name] for name in FLIPS)
    ]
    hu = translator.description.hu_scaling.to_hu(np.mean(units, axis=0).reshape(mr.shape))
    return np.clip(hu, *translator.description.hu_range)


if __name__ == "__main__":
    main()
