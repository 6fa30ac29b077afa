"""What a training step sees: boxes cut from prepared cases, drawn anew for each step from the seed and the step alone.

A batch depends on nothing but (seed, step, rank): to resume at step n is to ask for batch n. Boxes are slices, slabs of
neighbouring slices (2.5-D) or patches (3-D), read from memory-mapped arrays without loading the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mr2ct.datasets.off_middle import moved_off_middle
from mr2ct.datasets.pole_cuts import cut_at_a_pole
from mr2ct.datasets.store import StoredCase
from mr2ct.errors import DataSetError
from mr2ct.geometry import PLANE_AXIS
from mr2ct.hounsfield import HuScaling

Batch = dict[str, Tensor]

Change = Callable[..., dict[str, NDArray[Any]]]
"""`off_middle.moved_off_middle` or `pole_cuts.cut_at_a_pole`."""

SLICE_OF = "slice_of"
"""A key of a case's record: the volume that the slice was cut from, at whatever height."""

# cases of up to 16 MB, slices that is, are held in memory up to 1 GB; of larger ones this many files are kept open
_SMALL_BYTES, _HELD_BYTES, _HELD_MAPS = 16 * 2**20, 2**30, 300

_LISTED, _LISTING_SEED = 20_000, 0


@dataclass(frozen=True)
class BoxPlan:
    """Which boxes are cut.

    Parameters
    ----------
    planes : the planes slices are cut in; ignored for 3-D patches.
    size : voxels of a slice (2 numbers) or a patch (3 numbers); what lies outside the volume is background.
    context_slices : neighbouring slices the network sees at once: 1 for 2-D, 3, 5, ... for 2.5-D, None for 3-D patches.
    foreground : the share of boxes drawn round a voxel of the mask; the others round any voxel. Where a box fits
        into the volume it is moved to lie inside.
    off_middle : the share of boxes from single slices that are changed to what a cut far from the middle would show
        (`datasets.off_middle`). pole_cuts : the share of those that are made at a pole (`datasets.pole_cuts`).
    """

    size: tuple[int, ...]
    planes: tuple[str, ...] = ("axial", "coronal", "sagittal")
    context_slices: int | None = 1
    foreground: float = 0.8
    off_middle: float = 0.0
    pole_cuts: float = 0.0

    def __post_init__(self) -> None:
        wanted = 3 if self.context_slices is None else 2
        if len(self.size) != wanted:
            raise DataSetError("box size does not fit the kind of box", got=self.size, expected=f"{wanted} numbers")
        if self.context_slices is not None and self.context_slices % 2 == 0:
            raise DataSetError("a slab has a middle slice", got=self.context_slices, expected="an odd number of slices")


def read_box(voxels: NDArray[Any], start: Sequence[int], size: Sequence[int], *, outside: float) -> NDArray[np.float32]:
    """Copy a box of `size` voxels that begins at voxel `start` (may be negative); beyond the array it is `outside`.

    Example
    -------
    >>> read_box(np.ones((2, 2, 2)), (-1, 0, 0), (2, 1, 1), outside=0).ravel().tolist()
    [0.0, 1.0]
    """
    box = np.full(tuple(size), outside, dtype=np.float32)
    first = [max(s, 0) for s in start]
    last = [min(s + n, have) for s, n, have in zip(start, size, voxels.shape, strict=True)]
    if all(a < b for a, b in zip(first, last, strict=True)):
        source = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        target = tuple(slice(a - s, b - s) for a, b, s in zip(first, last, start, strict=True))
        box[target] = voxels[source]
    return box


def planes_of(case: StoredCase, plan: BoxPlan) -> tuple[str, ...]:
    """The plan's planes that can be cut from this case: a volume one voxel thick has but one."""
    if plan.context_slices is None:
        return plan.planes
    shape = case.info.shape
    thin = [plane for plane, axis in PLANE_AXIS.items() if shape[axis] == 1]
    return tuple(plane for plane in plan.planes if not thin or plane in thin)


class BoxCutter:
    """Draw boxes from one case at a time; a thinned list of each case's mask voxels is remembered."""

    def __init__(self, plan: BoxPlan, scaling: HuScaling) -> None:
        self.plan, self.scaling = plan, scaling
        # by folder: two stores may each have a case of the same name
        self._foreground: dict[Path, NDArray[np.int32]] = {}
        self._opened: dict[Path, dict[str, NDArray[Any]]] = {}
        self._held_bytes = self._held_maps = 0

    def cut(self, case: StoredCase, rng: np.random.Generator, *, plane: str | None = None) -> dict[str, Any]:
        """One random box of `case`: whichever of mr, ct, mask it has, (channels, *spatial) float32 network units."""
        axis = self.draw_axis(case, rng, plane=plane)
        return self.cut_along(case, axis, rng, change=self.draw_change(case, axis, rng))

    def cut_along(
        self, case: StoredCase, axis: int | None, rng: np.random.Generator, *, change: Change | None
    ) -> dict[str, Any]:
        """What `cut` gives, once the axis and the change are drawn."""
        images = self._arrays(case)
        if change is not None and axis is not None:
            spacing_mm, lowest_hu = case.info.spacing_mm_beside(axis), self.scaling.lowest_hu
            images = change(images, axis=axis, generator=rng, lowest_hu=lowest_hu, spacing_mm=spacing_mm)
        inside = self.inside(case) if change is None else _voxels_inside(images["mask"])
        centre = self.draw_centre(inside, case, rng)
        start, size = self.placed(case, centre, axis)
        box = self.described(case, axis)
        if "mr" in images:
            box["mr"] = self._channels(read_box(images["mr"], start, size, outside=0), axis)
        if axis is not None:
            start[axis], size[axis] = int(centre[axis]), 1
        box["mask"] = self._channels((read_box(images["mask"], start, size, outside=0) > 0).astype(np.float32), axis)
        if "ct" in images:
            hu = read_box(images["ct"], start, size, outside=self.scaling.lowest_hu)
            box["ct"] = self._channels(self.scaling.to_network(hu), axis)
        return box

    @staticmethod
    def described(case: StoredCase, axis: int | None) -> dict[str, Any]:
        """What a box says of itself besides its images: `left_right`, and `spacing_mm` along its spatial axes."""
        spacing_mm = np.array(case.info.spacing_mm_beside(axis), dtype=np.float32)
        return {"left_right": np.float32(axis != 0), "spacing_mm": spacing_mm}

    def stack(self, boxes: Sequence[Mapping[str, Any]]) -> Batch:
        """One batch of the boxes that `cut` gave."""
        return {key: torch.from_numpy(np.stack([box[key] for box in boxes])) for key in boxes[0]}

    def draw_axis(self, case: StoredCase, rng: np.random.Generator, *, plane: str | None = None) -> int | None:
        """The axis that the box is one slab thick along, at random where `plane` is None; None for patches."""
        return None if self.plan.context_slices is None else PLANE_AXIS[plane or self._draw_plane(case, rng)]

    def draw_change(self, case: StoredCase, axis: int | None, rng: np.random.Generator) -> Change | None:
        """What makes this box one cut elsewhere, which single middle slices alone can be; None where it stays."""
        is_slice = axis is not None and case.info.shape[axis] == 1 and SLICE_OF not in case.info.record
        if not (is_slice and self.plan.off_middle and rng.random() < self.plan.off_middle):
            return None
        # no number is drawn where there are no pole cuts: older runs resume as they were
        at_pole = bool(self.plan.pole_cuts) and rng.random() < self.plan.pole_cuts
        return cut_at_a_pole if at_pole else moved_off_middle

    def placed(self, case: StoredCase, centre: NDArray[np.int32], axis: int | None) -> tuple[list[int], list[int]]:
        """Start and size, in voxels, of the box round `centre`."""
        size = self._box_size(axis)
        start = [
            int(c) - n // 2 if other == axis else _start_inside(int(c), n, have)
            for other, (c, n, have) in enumerate(zip(centre, size, case.info.shape, strict=True))
        ]
        return start, size

    def _arrays(self, case: StoredCase) -> dict[str, NDArray[Any]]:
        """The case's arrays: to open a file for each box costs more than to read the box."""
        if case.folder in self._opened:
            return self._opened[case.folder]
        images: dict[str, NDArray[Any]] = {"mask": case.mask()}
        images |= {"mr": case.mr()} if case.has_mr else {}
        images |= {"ct": case.ct()} if case.has_ct else {}
        n_bytes = sum(image.nbytes for image in images.values())
        if n_bytes <= _SMALL_BYTES and self._held_bytes + n_bytes <= _HELD_BYTES:
            self._held_bytes += n_bytes
            images = {name: np.array(image) for name, image in images.items()}
        elif self._held_maps < _HELD_MAPS:
            self._held_maps += len(images)
        else:
            return images
        self._opened[case.folder] = images
        return images

    def _draw_plane(self, case: StoredCase, rng: np.random.Generator) -> str:
        planes = planes_of(case, self.plan)
        if not planes:
            raise DataSetError(
                "case has no slice in the planes asked for", got=case.info.case, expected=", ".join(self.plan.planes)
            )
        return planes[int(rng.integers(len(planes)))]

    def _box_size(self, axis: int | None) -> list[int]:
        size = list(self.plan.size)
        if axis is not None and self.plan.context_slices is not None:
            size.insert(axis, self.plan.context_slices)
        return size

    def draw_centre(self, inside: NDArray[np.int32], case: StoredCase, rng: np.random.Generator) -> NDArray[np.int32]:
        """A voxel of `inside` (n, 3), or, for a share of 1 - foreground, any voxel of the case."""
        if len(inside) and rng.random() < self.plan.foreground:
            return np.asarray(inside[int(rng.integers(len(inside)))])
        return rng.integers(case.info.shape).astype(np.int32)

    def inside(self, case: StoredCase) -> NDArray[np.int32]:
        """(n, 3) voxels of the case's mask: all of fewer than 40 000, else 20 000 of them, the same in every run."""
        if case.folder not in self._foreground:
            self._foreground[case.folder] = _voxels_inside(self._arrays(case)["mask"])
        return self._foreground[case.folder]

    @staticmethod
    def _channels(box: NDArray[np.float32], axis: int | None) -> NDArray[np.float32]:
        return box[None] if axis is None else np.ascontiguousarray(np.moveaxis(box, axis, 0))


def _voxels_inside(mask: NDArray[Any]) -> NDArray[np.int32]:
    # the places are thinned before they become coordinates: a volume has millions
    places = np.flatnonzero(np.asarray(mask) > 0)
    if len(places) >= 2 * _LISTED:
        # at random: a fixed stride falls in with the rows of the array, and meets the same slices again and again
        chosen = np.random.default_rng(_LISTING_SEED).choice(len(places), _LISTED, replace=False, shuffle=False)
        places = places[np.sort(chosen)]
    return np.stack(np.unravel_index(places, mask.shape), axis=-1).astype(np.int32)


def _start_inside(centre: int, size: int, length: int) -> int:
    """Where a box of `size` round `centre` begins, moved to lie inside the volume; in its middle where it is larger.

    Example
    -------
    >>> _start_inside(1, 4, 10), _start_inside(9, 4, 10), _start_inside(9, 14, 10)
    (0, 6, -2)
    """
    if size >= length:
        return -((size - length) // 2)
    return min(max(centre - size // 2, 0), length - size)


@dataclass(frozen=True)
class CasePool:
    """Cases drawn with a weight: real patients and phantoms in the proportion that a recipe asks for.

    `case_weights`, name to weight, says how often a case is drawn beside the others of its pool: 1 where it is not
    listed, never at 0. None draws all alike.
    """

    cases: tuple[StoredCase, ...]
    weight: float = 1.0
    case_weights: Mapping[str, float] | None = None

    def narrowed(self, keep: Callable[[StoredCase], bool]) -> CasePool:
        """The pool with the cases alone that are kept and can be drawn."""
        return replace(self, cases=with_weight(filter(keep, self.cases), self.case_weights))


def with_weight(cases: Iterable[StoredCase], case_weights: Mapping[str, float] | None) -> tuple[StoredCase, ...]:
    """The cases whose weight is not 0."""
    return tuple(case for case in cases if case_weights is None or case_weights.get(case.info.case, 1.0) > 0)


def _draw_weighted(
    cases: Sequence[StoredCase], case_weights: Mapping[str, float] | None, rng: np.random.Generator
) -> StoredCase:
    if case_weights is None:
        return cases[int(rng.integers(len(cases)))]
    weights = np.array([case_weights.get(case.info.case, 1.0) for case in cases])
    return cases[int(rng.choice(len(cases), p=weights / weights.sum()))]


class PairedBatches(torch.utils.data.Dataset[Batch]):
    """Batch number `step` of paired boxes: mr (N, C, *spatial), ct and mask (N, 1, *spatial), network units.

    Also left_right (N,): 1 where the first spatial axis runs left to right, so that a flip along it is anatomy; and
    spacing_mm (N, spatial axes), by which augmentation turns what is not isotropic.
    Cases that lack MR or CT, or have no slice in the planes asked for, are left out.
    """

    def __init__(
        self, pools: Sequence[CasePool], cutter: BoxCutter, *, batch_size: int, seed: int, rank: int = 0
    ) -> None:
        self.pools = [
            pool.narrowed(lambda case: bool(case.has_mr and case.has_ct and planes_of(case, cutter.plan)))
            for pool in pools
        ]
        if not any(pool.cases for pool in self.pools):
            raise DataSetError(
                "no paired case to train on",
                expected=f"cases with slices in {', '.join(cutter.plan.planes)}"
                if cutter.plan.context_slices
                else None,
                remedy="prepare cases that have both MR and CT",
            )
        self.cutter, self.batch_size, self.seed, self.rank = cutter, batch_size, seed, rank

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, self.rank, step))
        return self.cutter.stack([self.cutter.cut(_draw_case(self.pools, rng), rng) for _ in range(self.batch_size)])


class UnpairedBatches(torch.utils.data.Dataset[Batch]):
    """Batch number `step` of MR and CT of different patients, in one plane: mr, mr_mask, ct, ct_mask (N, 1, *spatial).

    left_right and spacing_mm as in `PairedBatches`, the latter of the MR; ct_spacing_mm of the CT.
    No CT in a batch belongs to a patient whose MR is in it. Planes that only MR or only CT can be cut in are left out.
    `case_weights` as in `CasePool`.
    """

    def __init__(
        self,
        mr_cases: Sequence[StoredCase],
        ct_cases: Sequence[StoredCase],
        cutter: BoxCutter,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        case_weights: Mapping[str, float] | None = None,
    ) -> None:
        self.case_weights = case_weights
        self.mr_cases = [case for case in with_weight(mr_cases, case_weights) if case.has_mr]
        self.ct_cases = [case for case in with_weight(ct_cases, case_weights) if case.has_ct]
        if not self.mr_cases or not self.ct_cases:
            raise DataSetError("unpaired training needs MR cases and CT cases", remedy="prepare both")
        self.cutter, self.batch_size, self.seed, self.rank = cutter, batch_size, seed, rank
        of_mr, of_ct = (
            {plane for case in cases for plane in planes_of(case, cutter.plan)}
            for cases in (self.mr_cases, self.ct_cases)
        )
        self.planes = tuple(plane for plane in cutter.plan.planes if plane in of_mr & of_ct)
        if not self.planes:
            raise DataSetError(
                "MR and CT cases have no plane in common",
                got=f"MR {', '.join(sorted(of_mr)) or 'none'}; CT {', '.join(sorted(of_ct)) or 'none'}",
                expected=f"one of {', '.join(cutter.plan.planes)} in both",
            )

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, self.rank, step))
        plane = None
        if self.cutter.plan.context_slices is not None:
            plane = self.planes[int(rng.integers(len(self.planes)))]
        mr_cases = self._draw(self.mr_cases, plane, rng, avoid=frozenset())
        seen = frozenset(case.info.patient for case in mr_cases)
        ct_cases = self._draw(self.ct_cases, plane, rng, avoid=seen)
        mr = self.cutter.stack([self._only(self.cutter.cut(case, rng, plane=plane), "mr") for case in mr_cases])
        ct = self.cutter.stack([self._only(self.cutter.cut(case, rng, plane=plane), "ct") for case in ct_cases])
        return {
            "mr": mr["mr"], "mr_mask": mr["mask"], "ct": ct["ct"], "ct_mask": ct["mask"],
            "left_right": mr["left_right"], "spacing_mm": mr["spacing_mm"], "ct_spacing_mm": ct["spacing_mm"],
        }  # fmt: skip

    def _draw(
        self, cases: Sequence[StoredCase], plane: str | None, rng: np.random.Generator, *, avoid: frozenset[str]
    ) -> list[StoredCase]:
        fit = [
            case
            for case in cases
            if case.info.patient not in avoid and (plane is None or plane in planes_of(case, self.cutter.plan))
        ]
        if not fit:
            raise DataSetError(
                "no case to draw", got=f"plane {plane}", expected="MR and CT of different patients in every plane"
            )
        return [_draw_weighted(fit, self.case_weights, rng) for _ in range(self.batch_size)]

    @staticmethod
    def _only(box: dict[str, Any], quantity: str) -> dict[str, Any]:
        return {key: box[key] for key in (quantity, "mask", "left_right", "spacing_mm")}


def _draw_case(pools: Sequence[CasePool], rng: np.random.Generator) -> StoredCase:
    weights = np.array([pool.weight if pool.cases else 0.0 for pool in pools])
    pool = pools[int(rng.choice(len(pools), p=weights / weights.sum()))]
    return _draw_weighted(pool.cases, pool.case_weights, rng)
