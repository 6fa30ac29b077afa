"""A store whose training CT lie on what shipped or trained models make of their MR: labels without registration's rest.

    python scripts/realign_labels.py stores/brain stores/realigned \\
        --bundles brain-multiscale-attention brain-attention-unet
    mr2ct train recipe.yaml --init-from runs/a/bundle        # its store stores/realigned

Every training slice keeps its MR and mask; its CT is moved, affinely and by a stiff field, onto the mean of the models'
answers to the slice as it is and, of those that were trained with flips, mirrored (left to right). A store of slices of
one voxel's thickness is expected. Validation patients keep their CT, so that training measures what it always does;
test patients are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.bundles import find_bundle
from mr2ct.datasets.realignment import Realignment
from mr2ct.datasets.relabelling import begin_relabelled_store
from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore, StoredCase, write_case
from mr2ct.errors import Mr2ctError
from mr2ct.inference import Translator
from mr2ct.inference.slice_frame import slice_hu
from mr2ct.io.atomic import atomic_folder

REALIGNED = "realigned_onto"


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    try:
        models = [Translator.from_bundle(find_bundle(name)) for name in given.bundles]
        moved = realign(CaseStore.open(given.store), given.out, models)
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{given.out}: {len(moved)} cases; their CT differ from before by {np.mean(moved):.1f} HU in the mean")


def realign(store: CaseStore, out: Path, models: Sequence[Translator]) -> list[float]:
    """Write the store `out`, and return by how much each training CT has changed: HU, mean inside its mask."""
    split = read_split(store.root / "split.json")
    changes = []
    with atomic_folder(out) as unfinished:
        begin_relabelled_store(unfinished, of=store, split=split, train=split.train)
        for case in store.of_patients(split.train):
            ct, mask = np.asarray(case.ct(), float), case.mask() > 0
            moved = realigned(case, models)
            record = {**case.info.record, REALIGNED: [model.description.weights_sha256 for model in models]}
            info = replace(case.info, record=record)
            write_case(unfinished, info=info, mr=case.mr(), ct=moved, mask=case.mask())
            changes.append(float(np.abs(moved - ct)[mask].mean()))
    return changes


def realigned(case: StoredCase, models: Sequence[Translator]) -> NDArray[np.float64]:
    """(i, j, k) HU: the CT of a case of one slice on the models' sCT; beyond the mask, on itself."""
    axis = case.slice_axis()
    mr, ct, mask = (np.take(image, 0, axis) for image in (case.mr(), case.ct(), case.mask() > 0))
    left_right = axis != 0  # the first axis of other slices runs left to right
    answers = [
        answer
        for model in models
        for answer in both_views(model, mr, mirrored_too=left_right and model.description.flips)
    ]
    sct = np.where(mask, np.mean(answers, axis=0), ct)
    return np.expand_dims(Realignment()(ct, sct, mask), axis)


def both_views(model: Translator, mr: NDArray[Any], *, mirrored_too: bool) -> list[NDArray[np.float64]]:
    """HU of a slice as it is and, where wanted, mirrored along its first axis."""
    plain = slice_hu(model, mr)
    return [plain, slice_hu(model, mr[::-1])[::-1]] if mirrored_too else [plain]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="prepared slices, with their split.json")
    parser.add_argument("out", type=Path, help="the new store; does not exist yet")
    parser.add_argument("--bundles", nargs="+", required=True, help="shipped names or bundle folders, of 2-D networks")
    return parser


if __name__ == "__main__":
    main()
