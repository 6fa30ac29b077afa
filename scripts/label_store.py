"""A store whose CT are what several models agree on, to teach one network what they know together.

    python scripts/label_store.py stores/brain stores/agreed --bundles runs/a/bundle runs/b/bundle \\
        --patients runs/a/unpaired.json
    mr2ct train recipe.yaml --init-from runs/a/bundle        # method: supervised, its store stores/agreed

Every training slice that has an MR becomes a case whose CT is the median of the models' answers, each asked as the
slice is, mirrored (left to right, where it was trained with flips), and at 0.9 and 1.1 of its size. No true CT of a
training patient is read, so models of unpaired training can teach. --patients, the file that such a run writes, leaves
only the patients whose MR it saw.
--atlases adds what real CT show: those of the patients whose CT that run saw, bent onto the models' median; the CT
is then the mean of that median and of what the atlases show, those counted most that are like the median there.
Where an MR ends before the outline does, at a neck, no model knows the CT: there the tissue above goes on to the
outline's end, and `data.short_field` of a recipe teaches more of the like.
Validation patients keep their CT, so that training measures what it always does; test patients are left out.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label as components
from scipy.ndimage import zoom
from torch.nn import functional as F

from mr2ct.bundles import find_bundle
from mr2ct.datasets.atlases import AtlasFit, fused
from mr2ct.datasets.relabelling import begin_relabelled_store
from mr2ct.datasets.short_field import SIDE_VOXELS, outline_edge, sides_of
from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore, StoredCase, write_case
from mr2ct.errors import DataSetError, Mr2ctError
from mr2ct.hounsfield import AIR_HU
from mr2ct.inference import Translator
from mr2ct.inference.slice_frame import slice_hu
from mr2ct.io.atomic import atomic_folder
from mr2ct.training.sides import Sides, read_sides

SIZES = (0.9, 1.1)
DEEPEST_VOXELS, NO_SIGNAL = 30, 0.05
"""How far from a cut an MR may end; what is no signal, in network units."""
AGREED = "agreed"
FIT = AtlasFit()

Image = NDArray[Any]


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    try:
        models = [Translator.from_bundle(find_bundle(name)) for name in given.bundles]
        store = CaseStore.open(given.store)
        count = label(store, given.out, models, patients=given.patients, with_atlases=given.atlases)
        print(f"{given.out}: {count} cases")
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error


def label(
    store: CaseStore,
    out: Path,
    models: Sequence[Translator],
    *,
    patients: Path | None = None,
    with_atlases: bool = False,
) -> int:
    """Write the store `out`, and return how many of its cases got their CT from `models`."""
    split = read_split(store.root / "split.json")
    sides = read_sides(patients) if patients else Sides(mr=split.train)
    train = set(split.train)
    taught = [case for case in store.of_patients(sorted(train & set(sides.mr))) if case.has_mr]
    imaged = [case for case in store.of_patients(sorted(train & set(sides.ct))) if case.has_ct]
    if with_atlases and not imaged:
        raise DataSetError("no patient to take atlases from", remedy="name the run's unpaired.json by --patients")
    atlases = Atlases.of(imaged) if with_atlases else None
    if not taught:
        raise DataSetError(
            "no training patient is left", expected=f"some of {store.root / 'split.json'}, with an MR in the store"
        )
    with atomic_folder(out) as unfinished:
        begin_relabelled_store(unfinished, of=store, split=split, train={case.info.patient for case in taught})
        for case in taught:
            record = {**case.info.record, AGREED: [model.description.weights_sha256 for model in models]}
            info = replace(case.info, record=record)
            ct = continued_beyond_the_field(agreed_ct(case, models, atlases), case)
            write_case(unfinished, info=info, mr=case.mr(), ct=ct, mask=case.mask())
    return len(taught)


def continued_beyond_the_field(ct: NDArray[Any], case: StoredCase) -> NDArray[Any]:
    """(i, j, k) HU: where the MR has ended before the outline's lower side, what lies above goes straight on."""
    axis = case.slice_axis()
    mask, mr = np.take(case.mask() > 0, 0, axis), np.take(case.mr(), 0, axis)
    found = np.take(ct, 0, axis)
    if axis != 2:
        for side in lower_sides(mask):
            found = continued(found, band_without_signal(mr, mask, side), side.normal)
    return np.expand_dims(found, axis)


def band_without_signal(mr: Image, mask: NDArray[np.bool_], side: LowerSide) -> NDArray[np.bool_]:
    """(n, k): inside the mask, without signal, and joined to its lower side."""
    rows, columns = np.indices(mask.shape)
    depth = side.reach - (side.normal[0] * rows + side.normal[1] * columns)
    dark = mask & (mr < NO_SIGNAL) & (depth < DEEPEST_VOXELS)
    parts, _ = components(dark)
    touching = np.unique(parts[dark & (depth < 2)])
    return np.isin(parts, touching[touching > 0])


def continued(image: Image, band: NDArray[np.bool_], normal: tuple[float, float]) -> Image:
    """`image` with each voxel of `band` as the nearest one beyond the band, against the normal."""
    places = np.argwhere(band)
    sources, within = places.astype(float), np.ones(len(places), bool)
    for _ in range(2 * DEEPEST_VOXELS):
        sources[within] -= normal
        nearest = sources.round().astype(int).clip(0, np.array(band.shape) - 1)
        within = band[tuple(nearest.T)]
    changed = image.copy()
    changed[tuple(places[~within].T)] = image[tuple(nearest[~within].T)]
    return changed


class LowerSide(NamedTuple):
    """A straight side of an outline that faces down: its unit normal, and its distance from the origin along that."""

    normal: tuple[float, float]
    reach: float


def lower_sides(mask: NDArray[np.bool_]) -> list[LowerSide]:
    """The longest straight side that faces down, or none.

    `mask` is (n, k), not empty, with k towards the head's top.
    """
    edge = torch.nonzero(outline_edge(torch.from_numpy(mask).float()))
    normals, reach, _, lengths = sides_of(edge, edge, range(-150, -29))
    longest = int(lengths.argmax())
    if lengths[longest] < SIDE_VOXELS:
        return []
    return [LowerSide((float(normals[0, longest]), float(normals[1, longest])), float(reach[longest]))]


@dataclass(frozen=True)
class Atlases:
    """CT slices by the axis that they are one voxel thick along: (K, 1, side, side) HU, air outside the mask."""

    by_axis: Mapping[int, torch.Tensor]

    @classmethod
    def of(cls, cases: Sequence[StoredCase]) -> Atlases:
        side = 32 * math.ceil(max(max(case.info.shape) for case in cases) / 32)
        images: dict[int, list[Image]] = defaultdict(list)
        for case in cases:
            axis = case.slice_axis()
            ct = np.where(case.mask() > 0, case.ct(), AIR_HU)
            images[axis].append(centred(np.take(ct, 0, axis), side))
        return cls({axis: torch.from_numpy(np.stack(own))[:, None] for axis, own in images.items()})

    def fused_on(self, sct: Image, axis: int) -> Image:
        """The atlases bent onto an sCT, (n, m) HU as it is, and fused."""
        if axis not in self.by_axis:
            raise DataSetError(
                "no atlas of a slice's plane", got=f"slices along axes {sorted(self.by_axis)}, not {axis}"
            )
        atlases = self.by_axis[axis]
        side = max(atlases.shape[-1], 4 * math.ceil(max(sct.shape) / 4))
        widened = F.pad(atlases, 4 * [(side - atlases.shape[-1]) // 2], value=AIR_HU)
        image = torch.from_numpy(centred(sct, widened.shape[-1]))[None, None]
        return back_from_centred(fused(image, FIT(image, widened))[0, 0].numpy(), sct.shape)


def centred(image: Image, side: int) -> NDArray[np.float32]:
    """`image` in the middle of a square of air."""
    square = np.full((side, side), AIR_HU, np.float32)
    rows, columns = (slice((side - n) // 2, (side - n) // 2 + n) for n in image.shape)
    square[rows, columns] = image
    return square


def back_from_centred(square: Image, shape: tuple[int, ...]) -> Image:
    """What `centred` put into the middle."""
    rows, columns = (slice((len(square) - n) // 2, (len(square) - n) // 2 + n) for n in shape)
    return square[rows, columns]


def agreed_ct(case: StoredCase, models: Sequence[Translator], atlases: Atlases | None = None) -> NDArray[np.float64]:
    """(i, j, k) HU of a case of one slice, air outside the mask.

    The median of all answers, or the mean of that and of the atlases bent onto it and fused.
    """
    axis = case.slice_axis()
    mr, mask = (np.take(image, 0, axis) for image in (case.mr().astype(np.float32), case.mask() > 0))
    answers = [answer for model in models for answer in views_of(model, mr, left_right=axis != 0)]
    agreed = np.where(mask, np.median(answers, axis=0), AIR_HU)
    if atlases is not None:
        agreed = np.where(mask, (agreed + atlases.fused_on(agreed, axis)) / 2, AIR_HU)
    return np.expand_dims(agreed, axis)


def views_of(model: Translator, mr: Image, *, left_right: bool) -> list[Image]:
    """HU of a slice as it is, mirrored along its first axis where that runs left to right, and at other sizes.

    A model that was trained without flips is not shown the mirror image.
    """
    found = [slice_hu(model, mr)]
    if left_right and model.description.flips:
        found.append(slice_hu(model, mr[::-1])[::-1])
    for size in SIZES:
        resized = slice_hu(model, zoom(mr, size, order=3, mode="nearest").clip(min=0))
        found.append(zoom(resized, np.array(mr.shape) / resized.shape, order=1, mode="nearest"))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="prepared slices, with their split.json")
    parser.add_argument("out", type=Path, help="the new store; does not exist yet")
    parser.add_argument("--bundles", nargs="+", required=True, help="shipped names or bundle folders, of 2-D networks")
    parser.add_argument("--patients", type=Path, help="unpaired.json of a run: only patients whose MR it saw")
    parser.add_argument(
        "--atlases", action="store_true", help="bend CT of other patients onto the answers, half of the CT"
    )
    return parser


if __name__ == "__main__":
    main()
