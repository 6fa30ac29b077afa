"""Where slices graze the skull, on real tissue: validation slices moved off the middle, whose true CT moves with them.

    python benchmarks/off_middle_error.py [--model NAME|PATH ...] [--store stores/brain]

There is no whole real head with a CT. A middle slice moved by `mr2ct.datasets.off_middle` has real tissue, a known
truth and the geometry of a cut at a share of the head's half-axis (0 the middle, 1 the pole). Printed for each plane
and height: MAE in the mask (of coronal and sagittal slices, above the vault's centre), and in bone MAE and mean error
(sCT - CT), in approximate HU, mean over validation patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from volume_quality import print_header

from mr2ct.bundles import DEFAULT_MODEL, find_bundle
from mr2ct.datasets.off_middle import find_vault, off_middle
from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore
from mr2ct.geometry import PLANE_AXIS
from mr2ct.hounsfield import BONE_ABOVE_HU
from mr2ct.inference import Translator
from mr2ct.inference.slice_frame import slice_hu

HEIGHTS = (0.0, 0.3, 0.6, 0.75, 0.85, 0.92, 0.96)
FEWEST_VOXELS = 300

Slice = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]


def main() -> None:
    arguments = _parser().parse_args()
    print_header((arguments.model,))
    translator = Translator.from_bundle(find_bundle(arguments.model))
    print("\n| plane | figure | " + " | ".join(f"{height:.2f}" for height in HEIGHTS) + " |")
    for plane, axis in PLANE_AXIS.items():
        slices = list(validation_slices(arguments.store, axis))
        columns = [errors(translator, slices, height=height, upright=plane != "axial") for height in HEIGHTS]
        for name, row in zip(("MAE", "MAE in bone", "mean error in bone"), zip(*columns, strict=True), strict=True):
            print(f"| {plane} | {name} | " + " | ".join(f"{figure:.0f}" for figure in row) + " |")


def errors(translator: Translator, slices: list[Slice], *, height: float, upright: bool) -> tuple[float, float, float]:
    """MAE in the mask, MAE in bone, mean error in bone; HU, each the mean over slices that hold enough of it."""
    rows = []
    lowest = translator.description.hu_range[0]
    for whole in slices:
        mr, ct, mask = moved(whole, height=height, upright=upright, lowest_hu=lowest)
        if mask.sum() < FEWEST_VOXELS:
            continue
        apart = slice_hu(translator, mr) - ct
        bone = mask & (ct > BONE_ABOVE_HU)
        in_bone = apart[bone] if bone.any() else np.array([np.nan])
        rows.append((np.abs(apart[mask]).mean(), np.abs(in_bone).mean(), in_bone.mean()))
    figures = np.nanmean(np.array(rows), axis=0)
    return float(figures[0]), float(figures[1]), float(figures[2])


def moved(whole: Slice, *, height: float, upright: bool, lowest_hu: float) -> Slice:
    """The slice as a cut at `height` would show it."""
    mr, ct, mask = whole
    vault = find_vault(mask, upright=upright)
    if height:
        mr, ct = (off_middle(image, vault, height=height, outside=out) for image, out in ((mr, 0.0), (ct, lowest_hu)))
        mask = off_middle(mask, vault, height=height, nearest=True) > 0
    if upright:
        # a neck is no ellipsoid
        mask = mask & (np.arange(mask.shape[1]) >= vault.centre[1])
    return mr, ct, mask


def validation_slices(store: Path, axis: int) -> Iterator[Slice]:
    """MR in network units, CT in HU and mask of each validation patient's slice across that axis."""
    patients = read_split(store / "split.json").validation
    for case in CaseStore.open(store).of_patients(patients):
        if case.info.shape[axis] == 1:
            mr, ct, mask = (np.take(np.asarray(image), 0, axis) for image in (case.mr(), case.ct(), case.mask()))
            yield mr.astype(np.float32), ct.astype(np.float32), mask > 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--store", type=Path, default=Path("stores/brain"))
    return parser


if __name__ == "__main__":
    main()
