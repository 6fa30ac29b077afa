"""Claim: scaling by the median of deep tissue puts the brain on a steadier level than a high percentile does.

For every slice of the brain-slices data, the brain's level (the median MR of the largest soft-tissue part of the
registered CT, 15 to 55 HU) is divided by each candidate reference intensity. The table shows how much that ratio
varies: over all slices, and between the three planes of one patient, as the standard deviation of its logarithm (0.10
is about 10 %).

    python benchmarks/intensity_anchors.py ../shared/data/brain-slices
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from mr2ct.io import read_volume
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.core_scaling import core_level
from mr2ct.preprocessing.intensity import inside
from mr2ct.preprocessing.morphology import largest_component, opened
from mr2ct.volume import Quantity, Volume


def brain_level(mr: Volume, ct: Volume, mask: Volume) -> float | None:
    soft = (ct.voxels >= 15) & (ct.voxels <= 55) & (mask.voxels > 0)
    brain = largest_component(opened(soft, ct.geometry.spacing_mm, 3.0))
    return float(np.median(mr.voxels[brain])) if brain.sum() > 1500 else None


def bright_median(mr: Volume, mask: Volume) -> float:
    values = inside(mr, mask)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(np.median(values[values > low + 0.2 * (high - low)]))


ANCHORS = {
    "99th percentile in the mask": lambda mr, mask: float(np.percentile(inside(mr, mask), 99)),
    "95th percentile in the mask": lambda mr, mask: float(np.percentile(inside(mr, mask), 95)),
    "75th percentile in the mask": lambda mr, mask: float(np.percentile(inside(mr, mask), 75)),
    "median of the bright voxels": bright_median,
    "median of deep tissue": core_level,
}


def main(folder: Path) -> None:
    ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader((folder / "cases.csv").open()):
        case = folder / row["case"]
        mr = read_volume(case / "mr.nii.gz")
        ct = read_volume(case / "ct.nii.gz", quantity=Quantity.HU)
        given = read_volume(case / "mask.nii.gz", quantity=Quantity.MASK)
        level = brain_level(mr, ct, given)
        if level is None:
            continue
        low = float(np.percentile(mr.voxels, 0.5))
        for kind, mask in (("given mask", given), ("own mask", body_mask(mr))):
            for name, anchor in ANCHORS.items():
                ratios[f"{name}, {kind}"][row["patient"]].append(np.log((level - low) / (anchor(mr, mask) - low)))
    print(f"{'reference intensity':45s} brain/reference  all slices  within a patient  slices")
    for name, patients in ratios.items():
        values = np.concatenate([np.array(v) for v in patients.values()])
        within = np.sqrt(np.mean([np.var(v, ddof=1) for v in patients.values() if len(v) > 1]))
        print(f"{name:45s} {np.exp(np.median(values)):15.2f} {values.std():11.3f} {within:17.3f} {values.size:7d}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/brain-slices"))
