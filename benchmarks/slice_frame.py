"""Claim: a slice with background round its body is answered better than the slice as it is cut.

    python benchmarks/slice_frame.py [MODEL ...] [--store stores/brain] [--side validation]

MAE in approximate HU inside the mask, mean over the slices of the side's patients, for what the network makes of the
slice as it is, and with a margin of background on all four sides (and to a multiple of 16 voxels, as
`mr2ct.inference.slice_frame` does with 16): plain, and the mean of that and of the mirrored slice (axial and coronal
slices). Then the time of a slice, plain, the median over all, and its ratio to that as it is. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from volume_quality import print_header

from mr2ct.bundles import DEFAULT_MODEL, find_bundle
from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore
from mr2ct.inference import Translator
from mr2ct.inference.slice_frame import GRID_VOXELS

MARGINS = (None, 0, 8, 16, 32, 64)
"""In voxels; None is the slice as it is, whatever its size."""

Image = NDArray[np.float32]


def main() -> None:
    arguments = parser(__doc__).parse_args()
    print_header(tuple(arguments.models))
    slices = list(slices_of(arguments.store, arguments.side))
    print(f"{len(slices)} {arguments.side} slices\n")
    print("| model | margin | plain | and mirrored | ms a slice | ratio |\n|---|---|---|---|---|---|")
    for name in arguments.models:
        translator = Translator.from_bundle(find_bundle(name))
        as_it_is = 0.0
        for margin in MARGINS:
            plain, mirrored, milliseconds = score(translator, slices, margin)
            as_it_is = as_it_is or milliseconds
            words = "as it is" if margin is None else str(margin)
            ratio = milliseconds / as_it_is
            print(f"| {name} | {words} | {plain:.1f} | {mirrored:.1f} | {milliseconds:.0f} | {ratio:.2f} |", flush=True)


def score(
    translator: Translator, slices: list[tuple[Image, Image, NDArray[np.bool_], bool]], margin: int | None
) -> tuple[float, float, float]:
    """MAE plain and with the mirror image, and the median time of a plain answer in ms."""
    errors, seconds = defaultdict(list), []
    for mr, ct, mask, left_right in slices:
        answer(translator, mr, margin)  # kernels are made anew for every size they meet, which is not timed
        begun = time.perf_counter()
        plain = answer(translator, mr, margin)
        seconds.append(time.perf_counter() - begun)
        both = (plain + answer(translator, mr[::-1], margin)[::-1]) / 2 if left_right else plain
        for name, sct in (("plain", plain), ("both", both)):
            errors[name].append(np.abs(sct - ct)[mask].mean())
    return float(np.mean(errors["plain"])), float(np.mean(errors["both"])), 1000 * float(np.median(seconds))


def answer(translator: Translator, mr: Image, margin: int | None) -> Image:
    """HU of a slice, shown with `margin` voxels of background or more on all sides."""
    before = margin or 0
    behind = [0 if margin is None else margin + -(n + 2 * margin) % GRID_VOXELS for n in mr.shape]
    shown = np.pad(mr, [(before, more) for more in behind])
    units = translator.engine(np.ascontiguousarray(shown)[None, None])[0, 0]
    hu = translator.description.hu_scaling.to_hu(units)[before : before + mr.shape[0], before : before + mr.shape[1]]
    return np.clip(hu, *translator.description.hu_range)


def slices_of(store: Path, side: str) -> Iterator[tuple[Image, Image, NDArray[np.bool_], bool]]:
    """MR in network units, CT in HU, mask, and whether the first axis runs left to right, of each slice."""
    for case in CaseStore.open(store).of_patients(getattr(read_split(store / "split.json"), side)):
        axis = case.slice_axis()
        mr, ct, mask = (np.take(np.asarray(image), 0, axis) for image in (case.mr(), case.ct(), case.mask()))
        yield mr.astype(np.float32), ct.astype(np.float32), mask > 0, axis != 0


def parser(words: str | None) -> argparse.ArgumentParser:
    """The options of what is measured on a store's slices."""
    found = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("models", nargs="*", default=[DEFAULT_MODEL], help="shipped names or bundle folders")
    found.add_argument("--store", type=Path, default=Path("stores/brain"))
    found.add_argument("--side", choices=("train", "validation", "test"), default="validation")
    return found


if __name__ == "__main__":
    main()
