"""Claim: bone darker than any training patient's, lifted among theirs, brings a head's planes together.

    python benchmarks/bone_levels.py --store stores/brain [--model NAME] [--heads 2] [--mr FILE_OR_FOLDER]

1. Validation slices, whose truth is known, darkened by an exponent as such a scanner would show them: MAE in HU inside
   the mask, and when they are lifted to several levels; then what a lift costs that was not needed.
2. Digital heads that no training saw, in T1, T2 and FLAIR: the exponent that is found, and MAE in HU inside the mask of
   the axial slices alone, as they are and lifted.
3. Of `--mr`, a whole head without a CT: how far its planes lie apart (axial to coronal, axial to sagittal, coronal to
   sagittal), plain views, as it is and lifted.

The levels themselves come from scripts/learn_bone_levels.py. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from volume_quality import print_header

from mr2ct import read_volume
from mr2ct.bundles import DEFAULT_MODEL, find_bundle
from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore
from mr2ct.geometry import PLANE_AXIS
from mr2ct.hounsfield import AIR_HU
from mr2ct.inference import Translator
from mr2ct.inference.body_region import air_outside
from mr2ct.inference.bone_level import contrast_exponent, with_contrast
from mr2ct.inference.translator import PreparedBody
from mr2ct.inference.views import view_answer
from mr2ct.phantom import CONTRASTS, head_mask, head_phantom, simulate_ct, simulate_mr

UNSEEN_SEED = 20_265
CORE = 0.5  # of the shipped models' preparation
DARKENED = (1.0, 1.5, 2.0, 2.5)
UNNEEDED = (1.0, 0.85, 0.7, 0.55)

Array = NDArray[np.generic]
Slice = tuple[Array, Array, Array, str]


def main() -> None:
    given = _parser().parse_args()
    print_header((given.model,))
    translator = Translator.from_bundle(find_bundle(given.model))
    split = read_split(given.store / "split.json")
    slices = list(slices_of(given.store, split.validation))
    darkened(translator, slices)
    not_needed(translator, slices)
    phantoms(translator, given.heads)
    if given.mr is not None:
        whole_head(translator, given.mr)


def slices_of(store: Path, patients: tuple[str, ...]) -> Iterator[Slice]:
    """MR, CT, mask and plane of each slice, (i, j, k)."""
    names = {axis: plane for plane, axis in PLANE_AXIS.items()}
    for case in CaseStore.open(store).of_patients(patients):
        mr, ct = (np.asarray(image, dtype=np.float32) for image in (case.mr(), case.ct()))
        yield mr, ct, np.asarray(case.mask()) > 0, names[case.info.shape.index(1)]


def darkened(translator: Translator, slices: list[Slice]) -> None:
    darkest, usual = levels_of(translator)
    aims = {"usual, as in volumes": usual, "half-way, as in slices": math.sqrt(darkest * usual), "darkest": darkest}
    print(f"\n| validation slices to the power of | as they are | lifted to the {' | '.join(aims)} | lifted slices |")
    print(f"|---|---|{'---|' * len(aims)}---|")
    for power in DARKENED:
        rows, lifted = [], 0
        for mr, ct, mask, plane in slices:
            dark = with_contrast(mr, power, core=CORE)
            level = translator.bone_level(dark, mask, [plane])
            exponents = [contrast_exponent(level, (darkest, aim), core=CORE) for aim in aims.values()]
            rows.append([_error(translator, dark, exponent, ct, mask, plane) for exponent in (1.0, *exponents)])
            lifted += exponents[0] < 1
        errors = " | ".join(f"{error:.1f}" for error in np.mean(rows, axis=0))
        print(f"| {power} | {errors} | {lifted} of {len(rows)} |", flush=True)


def not_needed(translator: Translator, slices: list[Slice]) -> None:
    """What a lift costs where bone is as bright as in training."""
    rows = [[_error(translator, mr, e, ct, mask, plane) for e in UNNEEDED] for mr, ct, mask, plane in slices]
    print(f"\n| the slices as they are, lifted by the exponent | {' | '.join(map(str, UNNEEDED))} |")
    print(f"|---|{'---|' * len(UNNEEDED)}")
    print(f"| MAE, HU | {' | '.join(f'{error:.1f}' for error in np.mean(rows, axis=0))} |", flush=True)


def levels_of(translator: Translator) -> tuple[float, float]:
    known = translator.description.bone_levels
    if known is None:
        raise SystemExit(f"{translator.description.name} has no bone_levels: scripts/learn_bone_levels.py learns them")
    return known


def _error(translator: Translator, mr: Array, exponent: float, ct: Array, mask: Array, plane: str) -> float:
    units = translator.answer(with_contrast(mr, exponent, core=CORE), mask, plane)
    return _mae(translator.description.hu_scaling.to_hu(units), ct, mask)


def phantoms(translator: Translator, heads: int) -> None:
    print("\n| phantom | contrast | exponent | as it is | lifted |\n|---|---|---|---|---|")
    for number, contrast in itertools.product(range(heads), ("t1_mprage", "t1_spin_echo", "t2", "flair")):
        head = head_phantom(np.random.default_rng((UNSEEN_SEED, number)), spacing_mm=1.0)
        body = translator.prepare(simulate_mr(head, CONTRASTS[contrast], seed=(UNSEEN_SEED, number, 2)))
        truth, inside = simulate_ct(head, (UNSEEN_SEED, number, 1)).voxels, head_mask(head).voxels != 0
        errors = [
            _mae(_hu(translator, shown, "axial"), truth[body.box], inside[body.box])
            for shown in (_as_it_is(body), body)
        ]
        print(
            f"| {number + 1} | {contrast} | {body.contrast_exponent:.2f} | {errors[0]:.1f} | {errors[1]:.1f} |",
            flush=True,
        )


def whole_head(translator: Translator, path: Path) -> None:
    body = translator.prepare(read_volume(path))
    print(f"\n{path.name}: exponent {body.contrast_exponent:.2f}")
    for words, shown in (("as it is", _as_it_is(body)), ("lifted", body)):
        planes = [_hu(translator, shown, plane) for plane in PLANE_AXIS]
        apart = [f"{_mae(one, other, body.outline):.0f}" for one, other in itertools.combinations(planes, 2)]
        print(f"planes apart, {words}: {' / '.join(apart)} HU", flush=True)


def _as_it_is(body: PreparedBody) -> PreparedBody:
    before = with_contrast(body.mr_units, 1 / body.contrast_exponent, core=CORE)
    return replace(body, mr_units=np.where(body.outline, before, body.mr_units), contrast_exponent=1.0)


def _hu(translator: Translator, body: PreparedBody, plane: str) -> Array:
    hu = translator.description.hu_scaling.to_hu(view_answer(translator, body, plane))
    return air_outside(hu, body.weight, air_hu=AIR_HU)


def _mae(one: Array, other: Array, inside: Array) -> float:
    return float(np.abs(one - other)[inside].mean())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--store", type=Path, required=True, help="of `mr2ct preprocess`, with its split.json")
    parser.add_argument("--heads", type=int, default=2, help="how many phantoms")
    parser.add_argument("--mr", type=Path, help="a whole head without a CT")
    return parser


if __name__ == "__main__":
    main()
