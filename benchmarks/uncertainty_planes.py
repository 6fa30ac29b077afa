"""Does the interval hold where planes are fused? Measured on the lines where two slices of a held-out patient cross.

    python benchmarks/uncertainty_planes.py --data DATA --split stores/brain/split.json

Single slices are all the real CT there is, so the fusion of a whole volume cannot be measured directly. On a crossing
line two planes' answers exist for the same voxels: their mean is what a fused sCT would be, and the mean of their
half-widths is what `predict_uncertainty` would state. Printed: coverage of one plane alone and of two fused, by tissue.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

from mr2ct import Quantity, read_volume
from mr2ct.bundles import find_bundle
from mr2ct.datasets.cases import find_synthrad
from mr2ct.datasets.splits import read_split
from mr2ct.geometry import voxel_to_world, world_to_voxel
from mr2ct.hounsfield import Tissue, tissue_mask
from mr2ct.inference import Translator
from mr2ct.trust.uncertainty import predict_uncertainty
from mr2ct.volume import Volume


def main() -> None:
    arguments = _parser().parse_args()
    bundle = find_bundle(arguments.model)
    names = bundle.description.calibration["models"]
    members = [Translator.from_bundle(find_bundle(name)) for name in names]
    test = set(read_split(arguments.split).test)
    slices = defaultdict(list)
    for case in find_synthrad(arguments.data):
        if case.patient in test:
            found = predict_uncertainty(read_volume(case.mr), members, bundle.description.calibration)
            ct, mask = read_volume(case.ct, quantity=Quantity.HU), read_volume(case.mask, quantity=Quantity.MASK)
            slices[case.patient].append((found.sct, found.half_width_hu, ct, mask))
    rows = [crossing(*pair) for of_patient in slices.values() for pair in combinations(of_patient, 2)]
    one, other, ct = (np.concatenate([row[n] for row in rows], axis=1) for n in range(3))
    fused, truth = (one + other) / 2, ct.mean(axis=0)
    print(f"{'true tissue':12} {'voxels':>7} {'one plane':>10} {'two fused':>10} {'half-width':>11}")
    for name, chosen in [("all", np.ones(len(truth), bool)), *((t.value, tissue_mask(truth, t)) for t in Tissue)]:
        single = np.mean([np.mean(np.abs(truth - s)[chosen] <= h[chosen]) for s, h in (one, other)])
        both = np.mean(np.abs(truth - fused[0])[chosen] <= fused[1][chosen])
        print(f"{name:12} {chosen.sum():7} {single:10.1%} {both:10.1%} {fused[1][chosen].mean():11.0f}")


def crossing(one: tuple[Volume, ...], other: tuple[Volume, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sCT, half-width) of both slices and their CTs, (2, voxels) each, where they cross inside both masks."""
    here = np.argwhere(one[0].voxels > -(10**6))
    there = world_to_voxel(other[0].geometry.affine, voxel_to_world(one[0].geometry.affine, here))
    nearest = np.rint(there).astype(int)
    shape = np.array(other[0].geometry.shape)
    shared = (np.abs(there - nearest).max(axis=1) < 0.51) & ((nearest >= 0) & (nearest < shape)).all(axis=1)
    a, b = tuple(here[shared].T), tuple(nearest[shared].T)
    inside = (one[3].voxels[a] > 0) & (other[3].voxels[b] > 0)
    values = [[v.voxels[at][inside].astype(float) for v in of[:3]] for of, at in ((one, a), (other, b))]
    (sct_a, half_a, ct_a), (sct_b, half_b, ct_b) = values
    return np.stack([sct_a, half_a]), np.stack([sct_b, half_b]), np.stack([ct_a, ct_b])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--model", default="brain-multiscale-attention")
    return parser


if __name__ == "__main__":
    main()
