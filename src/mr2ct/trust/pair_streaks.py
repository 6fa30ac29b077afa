"""Streaks: rays of false light and dark that metal throws through a CT, and noise that drowns soft tissue.

Brain and muscle are smooth in a CT; what changes there from one place to the next is an artefact or noise.
"""

from __future__ import annotations

import numpy as np

from mr2ct.preprocessing.morphology import dilated, eroded
from mr2ct.trust.pair_images import PairImages

_CORE_MM, _FROM_BONE_MM, _SMOOTH_MM = 15.0, 6.0, 5.0
_SOFT_HU = (-400.0, 250.0)
_BONE_SHARE = 0.6
_FEW = 200


def roughness_hu(pair: PairImages) -> float:
    """How much the CT's soft tissue deep in the body departs from its surroundings: 90th percentile, in HU.

    Looked at is what lies 15 mm within the MR's outline, 6 mm from any thick bone. NaN where that is next to nothing.

    Example
    -------
    >>> roughness_hu(pair)  # doctest: +SKIP
    12.0
    """
    from scipy import ndimage

    spacing = (pair.spacing_mm,) * 3
    core = eroded(np.atleast_3d(pair.mr_body), spacing, _CORE_MM)
    sigma = _SMOOTH_MM / pair.spacing_mm
    # a thin bright ray is no bone: most of a bone's surroundings are bright
    bony = ndimage.uniform_filter((pair.ct > _SOFT_HU[1]).astype(np.float32), max(3, round(sigma))) > _BONE_SHARE
    hollow = ndimage.uniform_filter((pair.ct < _SOFT_HU[0]).astype(np.float32), max(3, round(sigma))) > _BONE_SHARE
    away = ~dilated(np.atleast_3d(bony | hollow), spacing, _FROM_BONE_MM)
    seen = (core & away).reshape(pair.ct.shape)
    if int(seen.sum()) < _FEW:
        return float("nan")
    held = np.clip(pair.ct, *_SOFT_HU)
    weight = ndimage.gaussian_filter(seen.astype(np.float32), sigma) + 1e-6
    smooth = ndimage.gaussian_filter(held * seen, sigma) / weight
    return float(np.percentile(np.abs(held - smooth)[seen], 90))
