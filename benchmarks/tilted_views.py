"""Claim: a head converted in one plane alone comes nearer to the CT, and to the other planes, where it is shown tilted.

    python benchmarks/tilted_views.py [--model NAME] [--heads 2] [--mr FILE_OR_FOLDER]

Digital heads that no training saw, whose truth is known: MAE in HU inside the mask of what each plane alone gives, of
the head as it is and mirrored, and with tilted views besides; and how far the planes lie apart there (axial to coronal,
axial to sagittal, coronal to sagittal). Of `--mr`, a whole head without a CT, the latter alone, inside the outline that
is found. On the network's own 1 mm grid. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import platform
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mr2ct import read_volume
from mr2ct.bundles import DEFAULT_MODEL, find_bundle
from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference import Translator
from mr2ct.inference.body_region import air_outside
from mr2ct.inference.tilts import EVERY_VIEW, tilts_of
from mr2ct.inference.translator import PreparedBody
from mr2ct.inference.views import FLIPS, view_answer
from mr2ct.phantom import CONTRASTS, head_mask, head_phantom, simulate_ct, simulate_mr

UNSEEN_SEED = 20_264

Array = NDArray[np.generic]


def main() -> None:
    given = _parser().parse_args()
    translator = Translator.from_bundle(find_bundle(given.model))
    print(f"{given.model}; {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| head | views | " + " | ".join(PLANE_AXIS) + " | planes apart |\n|---|---|---|---|---|---|")
    for number in range(given.heads):
        head = head_phantom(np.random.default_rng((UNSEEN_SEED, number)), spacing_mm=1.0)
        body = translator.prepare(simulate_mr(head, CONTRASTS["t1_mprage"], seed=(UNSEEN_SEED, number, 2)))
        truth, inside = simulate_ct(head, (UNSEEN_SEED, number, 1)).voxels, head_mask(head).voxels != 0
        _rows(f"phantom {number + 1}", translator, body, inside[body.box], truth=truth[body.box])
    if given.mr is not None:
        body = translator.prepare(read_volume(given.mr))
        _rows(given.mr.name, translator, body, body.outline, truth=None)


def _rows(name: str, translator: Translator, body: PreparedBody, inside: Array, *, truth: Array | None) -> None:
    found: dict[str, dict[str, Array]] = {"plain and mirrored": {}, "and tilted": {}}
    spacing_mm = body.prepared.mr.geometry.spacing_mm
    for plane in PLANE_AXIS:
        tilted = tilts_of(plane, body.mr_units.shape, spacing_mm)
        for words, views in zip(found, (FLIPS, (*FLIPS, *tilted)), strict=True):
            found[words][plane] = _hu(translator, body, plane, views)
    for words, planes in found.items():
        errors = ["" if truth is None else f"{_apart(hu, truth, inside):.1f}" for hu in planes.values()]
        apart = [f"{_apart(one, other, inside):.0f}" for one, other in itertools.combinations(planes.values(), 2)]
        print(f"| {name} | {words} | {' | '.join(errors)} | {' / '.join(apart)} |", flush=True)


def _hu(translator: Translator, body: PreparedBody, plane: str, views: tuple[str, ...]) -> Array:
    answers = [view_answer(translator, body, plane, view=EVERY_VIEW[view]) for view in views]
    scaling = translator.description.hu_scaling
    units = np.mean(answers, axis=0, dtype=np.float32)
    return air_outside(scaling.to_hu(units), body.weight, air_hu=scaling.lowest_hu)


def _apart(one: Array, other: Array, inside: Array) -> float:
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32))[inside].mean())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--heads", type=int, default=2, help="how many digital heads")
    parser.add_argument("--mr", type=Path, help="a whole head as a file or a DICOM folder")
    return parser


if __name__ == "__main__":
    main()
