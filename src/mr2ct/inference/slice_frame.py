"""The part of a slice that a network is shown: the body, and background around it, as around the crops of training.

A slice may end where the body does: at a neck, or because a data set was cut to its masks. What a network makes of
tissue at the very edge of what it sees is poor, for no crop of training ended there so often. What it gains:
`benchmarks/slice_frame.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.geometry import SLICE_MARGIN_VOXELS

if TYPE_CHECKING:
    from mr2ct.inference.translator import Translator

VOLUME_MARGIN_VOXELS = 8
"""In a volume, round what is inside: that holds a rim of background already, and 16 take a seventh more time."""

GRID_VOXELS = 16
"""A frame begins and ends on this grid of the slice (of half of it in a volume): moved by a few voxels, a body falls
elsewhere into pooling."""

PLACES = ((0, 0), (3, 11), (10, 5))
"""Where a single slice is shown: so many (rows, columns) further on in a frame. A network that folds and pools voxels
answers a little differently at every place on its grid, and the mean is nearer to the truth
(`benchmarks/slice_places.py`)."""

ONE_PLACE = PLACES[:1]

BACKGROUND = 0.0
"""The network unit of an MR without signal."""


@dataclass(frozen=True)
class SliceFrame:
    """Rows and columns of a slice, which may begin before its first and end after its last.

    Parameters
    ----------
    start, stop : (row, column), in voxels of the slice; `stop` is not part of it.

    Example
    -------
    >>> frame = SliceFrame.around(np.ones((1, 20, 40)))
    >>> frame.start, frame.stop
    ((-16, -16), (48, 64))
    """

    start: tuple[int, int]
    stop: tuple[int, int]

    @classmethod
    def around(cls, inside: NDArray[Any], *, alone: bool = True) -> SliceFrame:
        """The frame of some slices, (slices, rows, columns) and nonzero in the body; of nothing, nothing.

        `alone`: a single slice is all there is of its body; else it is one of a volume's.
        """
        margin, grid = (SLICE_MARGIN_VOXELS, GRID_VOXELS) if alone else (VOLUME_MARGIN_VOXELS, GRID_VOXELS // 2)
        start, stop = [], []
        for axis in (1, 2):
            taken = np.flatnonzero(np.any(inside, axis=(0, 3 - axis)))
            first, last = (int(taken[0]), int(taken[-1])) if len(taken) else (margin, -margin - 1)
            start.append((first - margin) // grid * grid)
            stop.append(-(-(last + 1 + margin) // grid) * grid)
        return cls((start[0], start[1]), (stop[0], stop[1]))

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.stop[0] - self.start[0], self.stop[1] - self.start[1]

    def moved(self, place: tuple[int, int]) -> SliceFrame:
        """A frame that begins so many (rows, columns) before this one, on all sides of it and larger by the grid.

        Example
        -------
        >>> SliceFrame((0, 0), (32, 48)).moved((3, 11))
        SliceFrame(start=(-3, -11), stop=(45, 53))
        """
        (row, column), (rows, columns) = self.start, self.stop
        return SliceFrame(
            (row - place[0], column - place[1]), (rows + GRID_VOXELS - place[0], columns + GRID_VOXELS - place[1])
        )

    def of(self, slices: NDArray[Any]) -> NDArray[np.float32]:
        """What (..., rows, columns) hold in the frame, background where the slices have ended: float32."""
        shown = np.full((*slices.shape[:-2], *self.size), BACKGROUND, dtype=np.float32)
        (rows, columns), (own_rows, own_columns) = self._overlap(slices.shape)
        shown[..., own_rows, own_columns] = slices[..., rows, columns]
        return shown

    def put(self, answers: NDArray[np.float32], slices: NDArray[np.float32]) -> None:
        """Write answers to what `of` gave where they belong in `slices`; voxels out of the frame stay."""
        (rows, columns), (own_rows, own_columns) = self._overlap(slices.shape)
        slices[..., rows, columns] = answers[..., own_rows, own_columns]

    def _overlap(self, shape: tuple[int, ...]) -> tuple[list[slice], list[slice]]:
        """Rows and columns that frame and slice share: as the slice counts them, and as the frame does."""
        there, here = [], []
        for start, stop, size in zip(self.start, self.stop, shape[-2:], strict=True):
            low = max(0, start)
            high = max(low, min(size, stop))
            there.append(slice(low, high))
            here.append(slice(low - start, high - start))
        return there, here


def slice_hu(model: Translator, mr: NDArray[Any]) -> NDArray[np.float64]:
    """A 2-D model's sCT of one slice all of which may be body: (rows, columns) network units in, HU of its range out.

    Example
    -------
    >>> slice_hu(translator, mr_slice).shape == mr_slice.shape  # doctest: +SKIP
    True
    """
    frame = SliceFrame.around(np.ones((1, *mr.shape)))
    units = np.empty(mr.shape, np.float32)
    frame.put(model.engine(frame.of(mr[None, None]))[0, 0], units)
    return np.clip(model.description.hu_scaling.to_hu(units), *model.description.hu_range)
