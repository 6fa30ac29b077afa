"""Whether the numbers of an image can be those of an MR at all, whatever a model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.io.checks import looks_like_ct
from mr2ct.trust.verdict import Finding, Verdict
from mr2ct.volume import Quantity, Volume

_FEWEST_LEVELS = 24
"""Numbers that differ: an MR of 8 bits has more than 100, even of 6 bits more than 40; a mask or label map a few."""

_EVEN_SHARE = 0.4
"""Of neighbouring voxels that are equal: 0.12 at most in 324 slices of 8 bits, fewer with more bits."""

_ENOUGH_VOXELS = 400_000


def kind_findings(volume: Volume) -> list[Finding]:
    """A refusal where the image is constant, a CT, a mask or a label map, or has no dark background at all.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> label_map = Volume(np.eye(9).reshape(9, 9, 1), Geometry((9, 9, 1), np.eye(4)), Quantity.MR)
    >>> kind_findings(label_map)[0].code
    'modality'
    """
    voxels = _some(volume.voxels)
    levels = np.unique(voxels)
    if volume.quantity is Quantity.MASK or len(levels) <= _FEWEST_LEVELS:
        return [
            Finding(
                Verdict.REFUSE,
                "modality",
                f"Only {len(levels)} different numbers: this is a mask, a label map or an empty image, not an MR.",
                float(len(levels)),
                f"more than {_FEWEST_LEVELS}",
            )
        ]
    if volume.quantity is Quantity.HU or looks_like_ct(volume.voxels):
        return [Finding(Verdict.REFUSE, "modality", _ct_words(volume.voxels), expected="an MR, in no unit")]
    share = even_share(volume.voxels)
    if share > _EVEN_SHARE:
        words = "Inside the body most neighbouring voxels are equal: a label map, a mask or a drawing, not an MR."
        return [Finding(Verdict.REFUSE, "modality", words, share, f"at most {_EVEN_SHARE}")]
    return []


def even_share(voxels: NDArray[Any]) -> float:
    """The share of neighbours above the background that differ by less than 0.05 % of the range of most voxels.

    Example
    -------
    >>> even_share(np.array([[0, 0, 5, 5, 5, 7, 7]]))
    0.75
    """
    axis = int(np.argmax(voxels.shape))
    step = max(1, voxels.size // _ENOUGH_VOXELS)
    sheets = np.moveaxis(voxels, axis, 0)
    # neighbours along the longest axis, of some of its lines
    lines = sheets.reshape(len(sheets), -1)[:, ::step].astype(np.float32)
    lowest, highest = (float(end) for end in np.quantile(lines, [0.005, 0.995]))
    above = lines > lowest + 0.05 * (highest - lowest)
    pairs = above[1:] & above[:-1]
    if not pairs.any():
        return 0.0
    return float((np.abs(np.diff(lines, axis=0))[pairs] <= 5e-4 * (highest - lowest)).mean())


def _some(voxels: NDArray[Any]) -> NDArray[Any]:
    flat = voxels.ravel(order="K")
    return flat[:: max(1, flat.size // _ENOUGH_VOXELS)]


def _ct_words(voxels: NDArray[Any]) -> str:
    return (
        f"This looks like a CT, where an MR belongs: values from {voxels.min():g} to {voxels.max():g}, "
        "with air, soft tissue and bone as in HU."
    )
