"""The same body shown to a network in other ways: what an answer owes to chance shows where the answers differ.

Test-time augmentation as in Wang et al. 2019, doi:10.1016/j.neucom.2019.01.103, with changes that leave the anatomy
what it is: left and right exchanged, and the grid of the network's pooling moved. (A change of contrast was tried on
the shipped models; it told nothing more.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.inference.planes import OnProgress

if TYPE_CHECKING:
    from mr2ct.inference.translator import PreparedBody, Translator

_SHIFT_VOXELS = 5

Array = NDArray[Any]


@dataclass(frozen=True)
class View:
    """A change of a canonical volume (i, j, k) and the way back for the answer.

    Parameters
    ----------
    alter : of the MR's and the weights' voxels alike. restore : of the answer, to the shape it began with.

    Example
    -------
    >>> a = np.arange(8.0).reshape(2, 2, 2)
    >>> all(np.array_equal(view.restore(view.alter(a)), a) for view in VIEWS.values())
    True
    """

    alter: Callable[[Array], Array]
    restore: Callable[[Array], Array]


def _unchanged(voxels: Array) -> Array:
    return voxels


def _mirrored(voxels: Array) -> Array:
    """Left and right exchanged, and background before the first voxel of each axis, so that pooling falls elsewhere."""
    widths = [(_SHIFT_VOXELS if size > 1 else 0, 0) for size in voxels.shape]
    return np.pad(voxels[::-1], widths)


def _back_from_mirrored(voxels: Array) -> Array:
    start = tuple(_SHIFT_VOXELS if size > 1 else 0 for size in voxels.shape)
    return voxels[start[0] :, start[1] :, start[2] :][::-1]


VIEWS: dict[str, View] = {
    "plain": View(_unchanged, _unchanged),
    "mirrored": View(_mirrored, _back_from_mirrored),
}
"""Ways to show a body by name; the sCT is the mean of the answers to all, unless fewer are asked for."""

PLAIN = ("plain",)
FLIPS = tuple(VIEWS)
"""Test-time flips: the mean of all views. Of sagittal slices, which have no left and right, only the grid moves."""


def view_answer(
    translator: Translator,
    body: PreparedBody,
    plane: str | None,
    *,
    view: str | View = "plain",
    on_progress: OnProgress | None = None,
) -> NDArray[np.float32]:
    """The network's answer to one view of a body, on the body's own voxels: (i, j, k) in network units.

    Parameters
    ----------
    plane : one of the model's planes; None for a 3-D network. view : a key of `VIEWS`, or a view itself.

    Raises
    ------
    BundleError : the network gave numbers that are not finite.

    Example
    -------
    >>> view_answer(translator, body, "axial", view="mirrored").shape == body.mr_units.shape  # doctest: +SKIP
    True
    """
    shown = VIEWS[view] if isinstance(view, str) else view
    mr_units, inside = shown.alter(body.mr_units), shown.alter(body.weight)
    units = translator.answer(mr_units, inside, plane, on_progress=on_progress)
    return np.ascontiguousarray(shown.restore(units))
