"""A volume through a network of slices: slice by slice in one plane, or in three planes whose answers are fused.

Arrays here are canonical (RAS) volumes (i, j, k); a slice keeps the two other axes in their order, as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference.engine import Engine
from mr2ct.inference.slice_frame import PLACES, SliceFrame

ALL_PLANES = "all"
AIR = -1.0
"""The network unit of the lowest HU: what an unseen slice holds."""

THINNEST_SLICE = 32
"""In voxels: of a slab thinner than this, only the slices along its wide side are used unless others are asked for."""

FRAMED_TOGETHER = 4
"""So many neighbouring slices share a frame."""

OnProgress = Callable[[float], None]
_Group = tuple[SliceFrame, NDArray[np.intp]]


def require_plane(wanted: str) -> None:
    """Raise InputError unless `wanted` is "all" or the name of a plane.

    Example
    -------
    >>> require_plane("coronal")
    """
    if wanted != ALL_PLANES and wanted not in PLANE_AXIS:
        raise InputError("unknown plane", got=repr(wanted), expected=f"one of {ALL_PLANES}, {', '.join(PLANE_AXIS)}")


def choose_planes(shape: tuple[int, int, int], *, wanted: str, trained: Sequence[str]) -> tuple[str, ...]:
    """The planes to convert a canonical volume of `shape` in.

    Parameters
    ----------
    wanted : "all", or one plane. trained : the planes that the model knows.

    A volume one voxel thick has one plane. With "all", planes whose slices would be strips (under 32 voxels) are left
    out, as long as one remains.

    Raises
    ------
    InputError : an unknown plane, one the model was not trained on, or one that a single slice does not have.

    Example
    -------
    >>> choose_planes((200, 240, 1), wanted="all", trained=["axial", "coronal"])
    ('axial',)
    """
    require_plane(wanted)
    thin = [plane for plane, axis in PLANE_AXIS.items() if shape[axis] == 1]
    cut = tuple(plane for plane in trained if wanted in (ALL_PLANES, plane) and (not thin or plane in thin))
    if not cut:
        raise InputError(
            "cannot convert in this plane",
            got=f"planes {wanted}" + (f", a single {thin[-1]} slice" if thin else ""),
            expected=f"one that the model was trained on ({', '.join(trained)}) and the volume has",
            remedy="choose another --planes or another --model",
        )
    if wanted != ALL_PLANES or thin:
        return cut
    broad = tuple(plane for plane in cut if _narrow_side(shape, plane) >= THINNEST_SLICE)
    return broad or (max(cut, key=lambda plane: _narrow_side(shape, plane)),)


def _narrow_side(shape: tuple[int, int, int], plane: str) -> int:
    return min(size for axis, size in enumerate(shape) if axis != PLANE_AXIS[plane])


def predict_slices(
    engine: Engine,
    mr: NDArray[Any],
    inside: NDArray[Any],
    *,
    plane: str,
    context_slices: int = 1,
    places: Sequence[tuple[int, int]] = PLACES,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float32]:
    """The network's answer for every slice of one plane, stacked to a volume.

    Parameters
    ----------
    mr : (i, j, k) network units. inside : (i, j, k); a slice where it is all zero is not run and becomes air, and so
        does what lies far from it in the others (`SliceFrame`).
    context_slices : odd; the network sees that many neighbouring slices as channels, background beyond the ends.
    places : where the slice of a volume of one is shown; its answer is the mean. Those of others are shown once.
    on_progress : called with the share that is done, in (0, 1].

    Returns
    -------
    (i, j, k) float32 in network units.

    Example
    -------
    >>> predict_slices(engine, mr, mask, plane="axial").shape  # doctest: +SKIP
    (170, 240, 260)
    """
    axis = PLANE_AXIS[plane]
    slices, wanted = np.moveaxis(mr, axis, 0), np.moveaxis(inside, axis, 0)
    answer = np.full(mr.shape, AIR, dtype=np.float32)
    stacked = np.moveaxis(answer, axis, 0)
    occupied, alone = np.flatnonzero(np.any(wanted, axis=(1, 2))), len(slices) == 1
    done = 0
    for groups in _batches(_framed(wanted, occupied, alone=alone), engine.batch_size):
        shown = [(frame, _slabs(slices, indices, context_slices)) for frame, indices in groups]
        if alone:
            sheets = _answer_of_one(engine, shown[0][1], shown[0][0], places)
        else:
            sheets = engine(np.concatenate([frame.of(slabs) for frame, slabs in shown]))[:, 0]
        of_sheets = [(frame, index) for frame, indices in groups for index in indices]
        for (frame, index), sheet in zip(of_sheets, sheets, strict=True):
            frame.put(sheet, stacked[index])
        done += len(of_sheets)
        if on_progress is not None:
            on_progress(done / len(occupied))
    return answer


def _framed(wanted: NDArray[Any], occupied: NDArray[np.intp], *, alone: bool) -> Iterator[_Group]:
    """Neighbouring slices, a few at a time, in the frame round what is inside of these alone: near a pole it is small.

    How many does not depend on the device, because what a network answers depends a little on where its frame begins.
    """
    for start in range(0, len(occupied), FRAMED_TOGETHER):
        indices = occupied[start : start + FRAMED_TOGETHER]
        yield SliceFrame.around(wanted[indices], alone=alone), indices


def _batches(groups: Iterable[_Group], batch_size: int) -> Iterator[list[_Group]]:
    """Groups one after another whose frames are of one size, together as long as they are no more than a batch."""
    for _, alike in groupby(groups, key=lambda group: group[0].size):
        while batch := list(islice(alike, max(1, batch_size // FRAMED_TOGETHER))):
            yield batch


def _answer_of_one(
    engine: Engine, slab: NDArray[np.float32], frame: SliceFrame, places: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """The mean answer to a single slice: (1, context_slices, rows, columns), and (1, rows, columns) of its frame."""
    shown = np.concatenate([frame.moved(place).of(slab) for place in places])
    rows, columns = frame.size
    answers = [
        sheet[row : row + rows, column : column + columns]
        for sheet, (row, column) in zip(engine(shown)[:, 0], places, strict=True)
    ]
    mean: NDArray[np.float32] = np.mean(answers, axis=0, keepdims=True)
    return mean


def _slabs(slices: NDArray[Any], centres: NDArray[np.intp], context_slices: int) -> NDArray[np.float32]:
    """(N, context_slices, rows, columns): each centre slice among its neighbours, zero beyond the volume."""
    slabs = np.zeros((len(centres), context_slices, *slices.shape[1:]), dtype=np.float32)
    for channel in range(context_slices):
        index = centres + channel - context_slices // 2
        there = (index >= 0) & (index < len(slices))
        slabs[there, channel] = slices[index[there]]
    return slabs


def fuse(predictions: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of several answers of one shape, voxel by voxel; a single answer is returned as it is.

    Raises
    ------
    InputError : nothing to fuse.

    Example
    -------
    >>> fuse([np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.float32)]).item()
    0.5
    """
    if not predictions:
        raise InputError("no plane to fuse", got="none", expected="at least one")
    if len(predictions) == 1:
        return predictions[0]
    total = predictions[0].copy()
    for prediction in predictions[1:]:
        total += prediction
    return total / np.float32(len(predictions))
