"""Which voxels an MR's intensities are measured on, before they are scaled.

A given mask may be generous: a fifth of a head's mask can be air. A scaling measured in it is another than the one
measured in the outline that conversion finds where nobody gives a mask, and the network then sees another image than in
training. Landmarks of a histogram suffer most (`preprocessing.nyul`).
"""

from __future__ import annotations

from mr2ct.errors import InputError
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.volume import Volume

MASK, OUTLINE = "mask", "outline"


def reference_region(mr: Volume, mask: Volume | None, within: str) -> Volume | None:
    """The voxels to measure: where it is above 0, or the whole image where it is None.

    Parameters
    ----------
    mr, mask : on one grid.
    within : "mask", the mask as it is; or "outline", the body's outline found in the MR, whatever mask was given.

    Raises
    ------
    InputError : no outline is found, or `within` is neither.

    Example
    -------
    >>> import numpy as np
    >>> from mr2ct.geometry import Geometry
    >>> from mr2ct.volume import Quantity
    >>> bright = np.zeros((24, 24, 1)); bright[6:18, 6:18] = 100
    >>> mr = Volume(bright, Geometry((24, 24, 1), np.eye(4)), Quantity.MR)
    >>> generous = Volume(np.ones((24, 24, 1)), mr.geometry, Quantity.MASK)
    >>> [int(reference_region(mr, generous, within).voxels.sum()) for within in ("mask", "outline")]
    [576, 140]
    """
    if within == MASK:
        return mask
    if within != OUTLINE:
        raise InputError("unknown region to measure intensities in", got=repr(within), expected=f"{MASK} or {OUTLINE}")
    try:
        return body_mask(mr)
    except InputError as error:
        if mask is None:
            raise
        raise InputError(
            "no outline found to measure the MR's intensities in",
            expected="a bright body before a dark background",
            remedy="check the image; core scaling without N4 measures in the given mask instead",
        ) from error
