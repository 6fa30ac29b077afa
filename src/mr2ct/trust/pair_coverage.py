"""Do MR and CT show the same part of the body? Tissue that one shows where the other has nothing, and how thick it is.

Skull and sinuses are dark in an MR and yet part of the head, so outlines alone cannot tell what is missing: it is
tissue bright in the MR where the CT shows air, and soft tissue of the CT where the MR is as dark as its background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mr2ct.trust.pair_images import Bools, PairImages

AIR_BELOW_HU = -500.0
SOFT_TISSUE_HU = (-200.0, 200.0)

_BRIGHT, _DARK = 0.2, 0.05
_SMOOTHING_MM = 2.0


@dataclass(frozen=True)
class Coverage:
    """How much tissue is missing from one of the two images.

    Parameters
    ----------
    ct_lacks_mm : how thick the thickest piece is that is bright in the MR and air in the CT: the diameter of the
        largest ball in it. mr_lacks_mm : the same of soft tissue in the CT where the MR is dark.
    ct_lacks_share, mr_lacks_share : all of it, as a share of the MR's and of the CT's body.
    """

    ct_lacks_mm: float
    ct_lacks_share: float
    mr_lacks_mm: float
    mr_lacks_share: float


def coverage(pair: PairImages) -> Coverage:
    """Compare what the two images of a pair show where they lie; see `pair_pose.in_place`.

    Example
    -------
    >>> coverage(in_place(pair, pose)).ct_lacks_mm  # doctest: +SKIP
    4.0
    """
    from scipy import ndimage

    mr = ndimage.gaussian_filter(pair.mr, _SMOOTHING_MM / pair.spacing_mm)
    dark = float(np.percentile(mr, 2.5))
    bright = float(np.percentile(pair.mr[pair.mr_body], 90)) - dark
    ct_lacks = pair.mr_body & (mr > dark + _BRIGHT * bright) & (pair.ct < AIR_BELOW_HU)
    soft = pair.ct_body & (pair.ct > SOFT_TISSUE_HU[0]) & (pair.ct < SOFT_TISSUE_HU[1])
    mr_lacks = soft & (mr < dark + _DARK * bright)
    return Coverage(
        _thickness(ct_lacks) * pair.spacing_mm, _share(ct_lacks, pair.mr_body),
        _thickness(mr_lacks) * pair.spacing_mm, _share(mr_lacks, pair.ct_body),
    )  # fmt: skip


def _thickness(part: Bools) -> float:
    """The diameter in pixels of the largest ball within; a shell counts little, a missing vertex much."""
    from scipy import ndimage

    return 2 * float(ndimage.distance_transform_edt(part).max()) if part.any() else 0.0


def _share(part: Bools, body: Bools) -> float:
    return float(part.sum()) / max(int(body.sum()), 1)
