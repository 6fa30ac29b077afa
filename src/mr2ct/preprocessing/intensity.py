"""MR intensities have no unit: put every image on one scale before a network sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.preprocessing.reference_region import MASK, reference_region
from mr2ct.preprocessing.step import Fitted, Images
from mr2ct.volume import Volume


def finite(values: NDArray[Any]) -> NDArray[np.float32]:
    """The finite ones among the values, 1-D float32.

    Raises
    ------
    InputError : none is left.

    Example
    -------
    >>> finite(np.array([1.0, np.nan])).tolist()
    [1.0]
    """
    kept = values[np.isfinite(values)].astype(np.float32, copy=False)
    if kept.size == 0:
        raise InputError("no voxels to normalise by", got="an empty mask or no finite voxel", remedy="check the mask")
    return np.asarray(kept)


def inside(mr: Volume, mask: Volume | None) -> NDArray[np.float32]:
    """The finite voxels of the MR inside the mask (without a mask: all of them), 1-D float32."""
    return finite(mr.voxels if mask is None else mr.voxels[mask.voxels > 0])


def rescaled(mr: Volume, *, low: float, high: float, high_becomes: float = 1.0, highest: float = 1.5) -> Volume:
    """The MR with `low` at 0 and `high` at `high_becomes`, clipped to [0, highest], float32; NaN becomes 0.

    Raises
    ------
    InputError : `high` is not above `low`.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> from mr2ct.volume import Quantity
    >>> mr = Volume(np.array([10.0, 60.0, 110.0]).reshape(3, 1, 1), Geometry((3, 1, 1), np.eye(4)), Quantity.MR)
    >>> rescaled(mr, low=10, high=110).voxels.ravel().tolist()
    [0.0, 0.5, 1.0]
    """
    if not high > low:
        raise InputError(
            "the MR has no contrast", got=f"reference intensities {low:g} and {high:g}", remedy="check image and mask"
        )
    voxels = mr.voxels.astype(np.float32)
    voxels -= np.float32(low)
    voxels *= np.float32(high_becomes / (high - low))
    np.nan_to_num(voxels, copy=False, nan=0.0)
    return mr.with_voxels(np.clip(voxels, 0, np.float32(highest), out=voxels))


@dataclass(frozen=True)
class PercentileScaling:
    """Pipeline step: linear scaling with a low percentile of the image at 0 and a high one of the mask at 1.

    Parameters
    ----------
    lower_percentile : of the whole image.
    upper_percentile : of the voxels inside the mask.
    highest : where the result is clipped.
    within : "mask", or "outline", to measure the high one in the MR's own outline, as conversion without a mask does
        (`preprocessing.reference_region`).

    Example
    -------
    >>> PercentileScaling().upper_percentile
    99.0
    """

    name: ClassVar[str] = "percentile_scaling"
    lower_percentile: float = 0.5
    upper_percentile: float = 99.0
    highest: float = 1.5
    within: str = MASK

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """The MR in [0, highest], float32; records both intensities. A case without MR passes unchanged."""
        if images.mr is None:
            return images, {}
        low = float(np.percentile(finite(images.mr.voxels), self.lower_percentile))
        region = reference_region(images.mr, images.mask, self.within)
        high = float(np.percentile(inside(images.mr, region), self.upper_percentile))
        mr = rescaled(images.mr, low=low, high=high, highest=self.highest)
        return Images(mr, images.ct, images.mask), {"low": low, "high": high}


@dataclass(frozen=True)
class ZScore:
    """Pipeline step: zero mean and unit standard deviation inside the mask.

    Parameters
    ----------
    limit : the result is clipped to [-limit, limit].
    within : as in `PercentileScaling`, for mean and deviation.

    Example
    -------
    >>> ZScore().limit
    5.0
    """

    name: ClassVar[str] = "z_score"
    limit: float = 5.0
    within: str = MASK

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """The MR in standard deviations, float32; records mean and deviation. A case without MR passes unchanged."""
        if images.mr is None:
            return images, {}
        values = inside(images.mr, reference_region(images.mr, images.mask, self.within))
        mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
        if not deviation > 0:
            raise InputError(
                "the MR has no contrast", got=f"constant {mean:g} inside the mask", remedy="check the image"
            )
        voxels = (images.mr.voxels.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
        lowest = np.float32(-self.limit)
        mr = images.mr.with_voxels(np.clip(np.nan_to_num(voxels, nan=-self.limit), lowest, np.float32(self.limit)))
        return Images(mr, images.ct, images.mask), {"mean": mean, "standard_deviation": deviation}
