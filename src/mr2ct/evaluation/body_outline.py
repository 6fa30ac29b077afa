"""The body outline that an sCT and its CT are compared by: one rule for both, inside the mask they are scored in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.hounsfield import LOWEST_HU
from mr2ct.volume import Volume

_ROOM = 2


def body_outline(image: Volume, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The body in a CT or an sCT (HU), filled, (i, j, k), as far as it lies in `inside`; empty where there is none.

    Everything outside is set to air first: the couch of the CT, and what an sCT never said anything about, do not
    count. Then the rule of `preprocessing.body_mask`: above -400 HU, opened, closed, largest part, filled.

    Example
    -------
    >>> from mr2ct.volume import Quantity
    >>> hu = np.full((30, 30, 1), -1000.0); hu[5:25, 5:25] = 40; hu[14:16, 14:16] = -1000
    >>> head = Volume(hu, Geometry((30, 30, 1), np.eye(4)), Quantity.HU)
    >>> int(body_outline(head, np.ones(hu.shape, dtype=bool)).sum())
    396
    """
    from mr2ct.preprocessing.body_mask import body_mask
    from mr2ct.preprocessing.morphology import bounding_box

    box = tuple(
        slice(max(0, side.start - _ROOM), min(n, side.stop + _ROOM))
        for side, n in zip(bounding_box(inside), inside.shape, strict=True)
    )
    outline = np.zeros(inside.shape, dtype=bool)
    try:
        found = body_mask(_cut_out(image, inside, box))
    except InputError:
        return outline
    outline[box] = (found.voxels != 0) & inside[box]
    return outline


def _cut_out(image: Volume, inside: NDArray[np.bool_], box: tuple[slice, ...]) -> Volume:
    hu = np.where(inside[box], image.voxels[box], LOWEST_HU).astype(image.voxels.dtype)
    affine = np.array(image.geometry.affine)
    affine[:3, 3] = voxel_to_world(affine, [side.start for side in box])
    i, j, k = hu.shape
    return Volume(hu, Geometry((i, j, k), affine), image.quantity)
