"""A store whose CT are what several models agree on, to teach one network what they know together.

    python scripts/label_store.py stores/brain stores/agreed --bundles runs/a/bundle runs/b/bundle \\
        --patients runs/a/unpaired.json
    mr2ct train recipe.yaml --init-from runs/a/bundle        # method: supervised, its store stores/agreed

Every training slice of the store becomes a case whose CT is the median of the models' answers, each asked as the slice
is, mirrored (left to right), and at 0.9 and 1.1 of its size. No true CT of a training patient is read, so models of
unpaired training can teach. --patients, the file that such a run writes, leaves only the patients whose MR it saw.
Where an MR ends before the outline does, at a neck, nobody knows the CT: that band is taken out of the mask, and
`data.short_field` of a recipe teaches what lies there from the tissue above it.
Validation patients keep their CT, so that training measures what it always does; test patients are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, zoom
from scipy.ndimage import label as components

from mr2ct.bundles import find_bundle
from mr2ct.datasets.splits import Split, read_split, write_split
from mr2ct.datasets.store import CaseStore, StoredCase, create_store, write_case
from mr2ct.errors import DataSetError, Mr2ctError
from mr2ct.hounsfield import AIR_HU
from mr2ct.inference import Translator
from mr2ct.io.atomic import atomic_folder

SIZES = (0.9, 1.1)
SIDE_VOXELS, DEEPEST_VOXELS, NO_SIGNAL = 50, 30, 0.05
"""A cut is a straight side of so many voxels; how far from it an MR may end; what is no signal, in network units."""
AGREED = "agreed"

Image = NDArray[Any]


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    try:
        models = [Translator.from_bundle(find_bundle(name)) for name in given.bundles]
        print(f"{given.out}: {label(CaseStore.open(given.store), given.out, models, patients=given.patients)} cases")
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error


def label(store: CaseStore, out: Path, models: Sequence[Translator], *, patients: Path | None = None) -> int:
    """Write the store `out`, and return how many of its cases got their CT from `models`."""
    split = read_split(store.root / "split.json")
    taught = set(split.train)
    if patients is not None:
        taught &= set(json.loads(patients.read_text(encoding="utf-8"))["mr"])
    if not taught:
        raise DataSetError("no training patient is left", expected=f"some of {store.root / 'split.json'}")
    with atomic_folder(out) as unfinished:
        create_store(unfinished, settings=store.settings)
        kept = Split(train=tuple(sorted(taught)), validation=split.validation, test=(), seed=split.seed)
        write_split(kept, unfinished / "split.json")
        for case in store.of_patients(split.validation):
            write_case(unfinished, info=case.info, mr=case.mr(), ct=case.ct(), mask=case.mask())
        cases = store.of_patients(kept.train)
        for case in cases:
            record = {**case.info.record, AGREED: [model.description.weights_sha256 for model in models]}
            info = replace(case.info, record=record)
            mask = np.where(beyond_the_field(case), 0, case.mask())
            write_case(unfinished, info=info, mr=case.mr(), ct=agreed_ct(case, models), mask=mask)
    return len(cases)


def beyond_the_field(case: StoredCase) -> NDArray[np.bool_]:
    """(i, j, k): inside the mask, without signal, and joined to a straight lower side of the mask."""
    axis = case.info.shape.index(1) if 1 in case.info.shape else 2
    if axis == 2:
        return np.zeros(case.info.shape, bool)
    mask, mr = np.take(case.mask() > 0, 0, axis), np.take(case.mr(), 0, axis)
    rows, columns = np.indices(mask.shape)
    found = np.zeros_like(mask)
    for normal, reach in lower_sides(mask):
        depth = reach - (normal[0] * rows + normal[1] * columns)
        dark = mask & (mr < NO_SIGNAL) & (depth < DEEPEST_VOXELS)
        parts, _ = components(dark)
        touching = np.unique(parts[dark & (depth < 2)])
        found |= np.isin(parts, touching[touching > 0])
    return np.expand_dims(found, axis)


def lower_sides(mask: NDArray[np.bool_]) -> list[tuple[tuple[float, float], float]]:
    """Unit normal and distance from the origin of the longest straight side that faces down, or none.

    `mask` is (n, k) with k towards the head's top. A straight side is where many voxels of the edge lie on one line
    that has the whole mask on its other side.
    """
    rows, columns = np.nonzero(mask & ~binary_erosion(mask))
    longest, found = SIDE_VOXELS - 1, []
    for angle in np.deg2rad(np.arange(-150, -29)):
        normal = (float(np.cos(angle)), float(np.sin(angle)))
        along = normal[0] * rows + normal[1] * columns
        near = along > along.max(initial=-np.inf) - 1.5
        length = len(np.unique(np.round(normal[0] * columns[near] - normal[1] * rows[near])))
        if length > longest:
            longest, found = length, [(normal, float(along.max()))]
    return found


def agreed_ct(case: StoredCase, models: Sequence[Translator]) -> NDArray[np.float64]:
    """(i, j, k) HU of a case of one slice: the median of all answers, air outside the mask."""
    if 1 not in case.info.shape:
        raise DataSetError(
            f"case {case.info.case} is a volume", got=str(case.info.shape), expected="slices (scripts/pack_store.py)"
        )
    axis = case.info.shape.index(1)
    mr = np.take(case.mr().astype(np.float32), 0, axis)
    answers = [answer for model in models for answer in views_of(model, mr, left_right=axis != 0)]
    agreed = np.expand_dims(np.median(answers, axis=0), axis)
    return np.where(case.mask() > 0, agreed, AIR_HU)


def views_of(model: Translator, mr: Image, *, left_right: bool) -> list[Image]:
    """HU of a slice as it is, mirrored along its first axis where that runs left to right, and at other sizes."""

    def answer(image: Image) -> Image:
        hu = model.description.hu_scaling.to_hu(model.engine(np.ascontiguousarray(image)[None, None])[0, 0])
        return np.clip(hu, *model.description.hu_range)

    found = [answer(mr)]
    if left_right:
        found.append(answer(mr[::-1])[::-1])
    for size in SIZES:
        resized = answer(zoom(mr, size, order=3, mode="nearest").clip(min=0))
        found.append(zoom(resized, np.array(mr.shape) / resized.shape, order=1, mode="nearest"))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="prepared slices, with their split.json")
    parser.add_argument("out", type=Path, help="the new store; does not exist yet")
    parser.add_argument("--bundles", nargs="+", required=True, help="shipped names or bundle folders, of 2-D networks")
    parser.add_argument("--patients", type=Path, help="unpaired.json of a run: only patients whose MR it saw")
    return parser


if __name__ == "__main__":
    main()
