"""Boxes cut on the device that trains, from cases that lie there: a GPU then waits for no disk and no copy.

The draws are those of `BoxCutter`, made on the CPU from the seed, the step and the rank: a plain box is the same, bit
for bit. Only the reading moves: every case lies in one flat tensor per image, whatever its shape, and the boxes of a
batch are gathered from it at once. A box off the middle is one of the same distribution, not the same box. A cut at a
pole is made on the CPU and copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mr2ct.datasets.off_middle import FEWEST_MM2, Vault, draw_height, find_vault, jittered
from mr2ct.datasets.pole_cuts import cut_at_a_pole
from mr2ct.datasets.sampling import Batch, BoxCutter, BoxPlan
from mr2ct.datasets.store import StoredCase
from mr2ct.geometry import PLANE_AXIS
from mr2ct.hounsfield import HuScaling

_DTYPES = {"mr": torch.float16, "ct": torch.int16, "mask": torch.uint8}


@dataclass(frozen=True)
class Move:
    """A cut off the middle: the vault in the slice's two axes, and the height as a share of the half-axis."""

    vault: Vault
    height: float


@dataclass(frozen=True)
class DrawnBox:
    """A box that is chosen but not yet read: `start` and `size` in voxels (i, j, k); `move` where it is off the middle.

    `axis` is the one that a slice is thin along; None for patches.
    """

    case: StoredCase
    axis: int | None
    start: tuple[int, ...]
    size: tuple[int, ...]
    move: Move | None = None


class ResidentCutter(BoxCutter):
    """A `BoxCutter` whose `cut` only draws and whose `stack` reads, on `device`, all boxes of a batch at once.

    Parameters
    ----------
    cases : all that will ever be cut; they are copied to the device, 5 bytes a voxel.
    """

    def __init__(self, plan: BoxPlan, scaling: HuScaling, cases: Iterable[StoredCase], device: torch.device) -> None:
        super().__init__(plan, scaling)
        self.device = device
        unique = {case.folder: case for case in cases}
        self._flat = {name: _Flat.of(name, unique.values(), device) for name in _DTYPES}
        self._vaults: dict[Path, Vault] = {}

    def cut(self, case: StoredCase, rng: np.random.Generator, *, plane: str | None = None) -> dict[str, Any]:
        """One random box of `case`, for `stack`: whichever of mr, ct and mask it has, drawn or, at a pole, cut."""
        axis = self.draw_axis(case, rng, plane=plane)
        change = self.draw_change(case, axis, rng)
        if change is cut_at_a_pole:
            return self.cut_along(case, axis, rng, change=change)
        move, inside = None, self.inside(case)
        if change is not None and axis is not None:
            move, inside = self._draw_move(case, axis, rng)
        centre = self.draw_centre(inside, case, rng)
        start, size = self.placed(case, centre, axis)
        box = self.described(case, axis)
        box |= {"mr": DrawnBox(case, axis, tuple(start), tuple(size), move)} if case.has_mr else {}
        if axis is not None:
            start[axis], size[axis] = int(centre[axis]), 1
        box["mask"] = DrawnBox(case, axis, tuple(start), tuple(size), move)
        return box | ({"ct": box["mask"]} if case.has_ct else {})

    def stack(self, boxes: Sequence[Mapping[str, Any]]) -> Batch:
        """Read what `cut` drew: (N, channels, *spatial) float32 network units, as `BoxCutter` gives them."""
        batch = {key: self._read(key, [box[key] for box in boxes]) for key in boxes[0] if key in _DTYPES}
        # what augmentation decides by is read on the CPU: on the device it would have to wait for it
        told = (key for key in boxes[0] if key not in _DTYPES)
        return batch | {key: torch.from_numpy(np.stack([box[key] for box in boxes])) for key in told}

    def _draw_move(
        self, case: StoredCase, axis: int, rng: np.random.Generator
    ) -> tuple[Move | None, NDArray[np.int32]]:
        """A random move, and the voxels inside the mask as it moves them.

        The rule of `off_middle` keeps areas, r' dr' = r dr, so that voxels spread evenly stay so.
        """
        inside = self.inside(case)
        if not len(inside):
            return None, inside
        vault, height = jittered(self._vault(case, axis), rng), draw_height(rng)
        flat = np.delete(inside, axis, axis=1)
        units = (flat - np.asarray(vault.centre, dtype=np.float32)) / np.asarray(vault.half_axes, dtype=np.float32)
        squared = (units**2).sum(1)
        stays = squared > height**2
        share = np.count_nonzero(stays) / len(inside)
        if share * np.count_nonzero(self._arrays(case)["mask"]) * math.prod(vault.spacing_mm) < FEWEST_MM2:
            return None, inside
        shrunk = units[stays] * np.sqrt(1 - height**2 / squared[stays])[:, None]
        pixels = np.rint(
            shrunk * np.asarray(vault.half_axes, dtype=np.float32) + np.asarray(vault.centre, dtype=np.float32)
        ).astype(np.int32)
        return Move(vault, height), np.insert(pixels, axis, 0, axis=1)

    def _vault(self, case: StoredCase, axis: int) -> Vault:
        if case.folder not in self._vaults:
            mask = np.take(self._arrays(case)["mask"], 0, axis)
            spacing_mm = case.info.spacing_mm_beside(axis)
            upright = axis != PLANE_AXIS["axial"]
            self._vaults[case.folder] = find_vault(mask, upright=upright, spacing_mm=spacing_mm)
        return self._vaults[case.folder]

    def _read(self, name: str, boxes: Sequence[DrawnBox | NDArray[np.float32]]) -> Tensor:
        drawn = {n: box for n, box in enumerate(boxes) if isinstance(box, DrawnBox)}
        cut = {n: box for n, box in enumerate(boxes) if not isinstance(box, DrawnBox)}
        plain = {n: box for n, box in drawn.items() if box.move is None}
        moved = {n: box for n, box in drawn.items() if box.move is not None}
        parts = [self._read_drawn(name, read, of) for read, of in ((_read_plain, plain), (_read_moved, moved)) if of]
        if cut:
            parts.append(torch.from_numpy(np.stack(list(cut.values()))).to(self.device, non_blocking=True))
        if len(parts) == 1:
            return parts[0]
        order = np.argsort([*plain, *moved, *cut])
        return torch.cat(parts)[torch.from_numpy(order).to(self.device, non_blocking=True)]

    def _read_drawn(self, name: str, read: Callable[..., Tensor], boxes: Mapping[int, DrawnBox]) -> Tensor:
        """Boxes read from the device in one way, in network units."""
        outside = self.scaling.lowest_hu if name == "ct" else 0.0
        chosen = list(boxes.values())
        values = read(self._flat[name], chosen, outside=outside, nearest=name == "mask")
        if chosen[0].axis is None:
            values = values[:, None]
        if name == "mask":
            return (values > 0).float()
        return self._in_network_units(values) if name == "ct" else values

    def _in_network_units(self, hu: Tensor) -> Tensor:
        scaling = self.scaling
        return (hu.clamp(scaling.lowest_hu, scaling.highest_hu) - scaling.lowest_hu) / scaling.hu_per_unit - 1


@dataclass(frozen=True)
class _Flat:
    """One image of all cases, end to end, and where each case begins."""

    voxels: Tensor
    offsets: Mapping[Path, int]

    @classmethod
    def of(cls, name: str, cases: Iterable[StoredCase], device: torch.device) -> _Flat:
        having = [case for case in cases if name == "mask" or getattr(case, f"has_{name}")]
        ends = np.cumsum([0, *(int(np.prod(case.info.shape)) for case in having)])
        voxels = torch.empty(int(ends[-1]), dtype=_DTYPES[name], device=device)
        for case, begin, end in zip(having, ends[:-1], ends[1:], strict=True):
            voxels[begin:end] = torch.from_numpy(np.array(getattr(case, name)()).reshape(-1))
        return cls(voxels, {case.folder: int(begin) for case, begin in zip(having, ends, strict=False)})


@dataclass(frozen=True)
class _Table:
    """Boxes of one size as columns of numbers on the device; axes in the order of the box: a slice's own axis first.

    `begin` (N,) in the flat tensor; `start`, `shape` and `stride` (N, 3).
    """

    begin: Tensor
    start: Tensor
    shape: Tensor
    stride: Tensor
    size: tuple[int, ...]

    @classmethod
    def of(cls, flat: _Flat, boxes: Sequence[DrawnBox]) -> _Table:
        rows = []
        for box in boxes:
            order = _order(box)
            shape = box.case.info.shape
            strides = (shape[1] * shape[2], shape[2], 1)
            rows.append([flat.offsets[box.case.folder]] + [of[n] for of in (box.start, shape, strides) for n in order])
        table = torch.tensor(rows).to(flat.voxels.device, non_blocking=True)
        size = tuple(boxes[0].size[n] for n in _order(boxes[0]))
        return cls(table[:, 0], table[:, 1:4], table[:, 4:7], table[:, 7:10], size)

    def along(self, axis: int) -> Tensor:
        """The boxes' voxels along one axis, (N, 1, 1, 1) but for that axis."""
        steps = torch.arange(self.size[axis], device=self.begin.device)
        places = self.start[:, axis, None] + steps
        return places.reshape([len(places)] + [-1 if other == axis else 1 for other in range(3)])

    def inside(self, places: Tensor, axis: int) -> Tensor:
        """Whether voxels along one axis lie in their case."""
        return (places >= 0) & (places < self.shape[:, axis, None, None, None])

    def take(self, flat: _Flat, places: Sequence[Tensor], *, outside: float) -> Tensor:
        """The values at (N, ...) voxels along the three axes, which are broadcast; `outside` where there are none."""
        known = self.inside(places[0], 0) & self.inside(places[1], 1) & self.inside(places[2], 2)
        index = self.begin[:, None, None, None] + sum(
            place * self.stride[:, axis, None, None, None] for axis, place in enumerate(places)
        )
        values = flat.voxels[torch.where(known, index, 0)].float()
        return torch.where(known, values, outside)


def _order(box: DrawnBox) -> tuple[int, ...]:
    first = () if box.axis is None else (box.axis,)
    return (*first, *(n for n in range(3) if n not in first))


def _read_plain(flat: _Flat, boxes: Sequence[DrawnBox], *, outside: float, nearest: bool) -> Tensor:
    table = _Table.of(flat, boxes)
    return table.take(flat, [table.along(axis) for axis in range(3)], outside=outside)


def _read_moved(flat: _Flat, boxes: Sequence[DrawnBox], *, outside: float, nearest: bool) -> Tensor:
    """As `off_middle.off_middle` and `sampling.read_box` after it: bilinear, or the nearest voxel."""
    table = _Table.of(flat, boxes)
    moves = [box.move for box in boxes if box.move is not None]
    numbers = torch.tensor([[*move.vault.centre, *move.vault.half_axes, move.height] for move in moves])
    columns = numbers.to(table.begin.device, non_blocking=True)[:, :, None, None, None].unbind(1)
    centre, half_axes, height = columns[:2], columns[2:4], columns[4]
    slab, rows, columns_at = (table.along(axis) for axis in range(3))
    units = [(at - c) / a for at, c, a in zip((rows, columns_at), centre, half_axes, strict=True)]
    radius = (units[0] ** 2 + units[1] ** 2).sqrt()
    stretch = (radius**2 + height**2).sqrt() / radius.clamp(min=1e-3)
    source = [c + a * u * stretch for c, a, u in zip(centre, half_axes, units, strict=True)]
    if nearest:
        values = table.take(flat, [slab, *(at.round().long() for at in source)], outside=outside)
    else:
        values = _bilinear(table, flat, slab, source, outside=outside)
    seen = table.inside(rows, 1) & table.inside(columns_at, 2)
    return torch.where(seen, values, outside)


def _bilinear(table: _Table, flat: _Flat, slab: Tensor, source: Sequence[Tensor], *, outside: float) -> Tensor:
    low = [at.floor() for at in source]
    weights = [at - floor for at, floor in zip(source, low, strict=True)]
    total = torch.zeros((), device=slab.device)
    for one in (0, 1):
        for other in (0, 1):
            weight = (weights[0] if one else 1 - weights[0]) * (weights[1] if other else 1 - weights[1])
            places = [slab, low[0].long() + one, low[1].long() + other]
            total = total + weight * table.take(flat, places, outside=outside)
    return total
