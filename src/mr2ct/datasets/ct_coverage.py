"""Where a resampled CT was imaged: beyond its edge it is -1024 HU, which is no air but tissue that nobody measured.

A network that learns from such a case learns to leave out half a neck. So a prepared case is cut to the box that its CT
covers, and what the CT does not cover inside the box counts as outside the body, in MR, CT and mask alike.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mr2ct.errors import DataSetError
from mr2ct.geometry import part_of
from mr2ct.hounsfield import LOWEST_HU
from mr2ct.preprocessing.morphology import bounding_box
from mr2ct.preprocessing.pipeline import Prepared
from mr2ct.preprocessing.resampling import resample_to
from mr2ct.volume import Quantity, Volume

LEAST_COVERED = 0.05
"""The share of the body that a CT has to show: with less, CT and MR are of different places."""

# resampled to other voxels, what lies at the edge is mixed with what lies beyond
_UNMIXED = 0.99


def within_ct(prepared: Prepared, covered: Volume) -> tuple[Prepared, float]:
    """A prepared case without what its CT does not cover, and the share of its mask (0 to 1) that is left out so.

    Intensities were scaled by the whole MR, as in conversion.

    Parameters
    ----------
    covered : mask on the grid of the MR as it was read, 1 where the CT was imaged.

    Returns
    -------
    The case on the box that the CT covers; in it, beyond the CT, mask and MR are 0 and the CT is -1024 HU.

    Raises
    ------
    DataSetError : the CT covers less than `LEAST_COVERED` of the mask.

    Example
    -------
    >>> prepared, uncovered_share = within_ct(pipeline.apply(mr, ct=ct), covered)  # doctest: +SKIP
    """
    shares = Volume(covered.voxels.astype(np.float32), covered.geometry, Quantity.MR)
    known = resample_to(shares, prepared.mr.geometry, outside="edge").voxels > _UNMIXED
    body = prepared.mask.voxels > 0
    covered_share = int(np.count_nonzero(body & known)) / max(int(np.count_nonzero(body)), 1)
    if covered_share < LEAST_COVERED:
        raise DataSetError(
            "the CT shows hardly anything of what the MR shows",
            got=f"{100 * covered_share:.1f} % of the body",
            expected=f"{100 * LEAST_COVERED:g} % or more",
            remedy="check that both are of one patient and lie right in space, or try --register",
        )
    box = bounding_box(known)
    grid = part_of(prepared.mr.geometry, box)

    def kept(volume: Volume, beyond: float) -> Volume:
        voxels = np.where(known[box], volume.voxels[box], volume.voxels.dtype.type(beyond))
        return Volume(voxels, grid, volume.quantity)

    ct = None if prepared.ct is None else kept(prepared.ct, LOWEST_HU)
    cut = replace(prepared, mr=kept(prepared.mr, 0), ct=ct, mask=kept(prepared.mask, 0))
    return cut, float(1 - covered_share)
