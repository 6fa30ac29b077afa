"""Bring the histogram of every MR to a shape learnt from a data set: landmarks of the histogram meet standard values.

Nyul, Udupa and Zhang, "New variants of a method of MRI scale standardization", IEEE Trans Med Imaging 19, 2000;
landmarks at percentiles 1, 10, 20, ... 90, 99 as in Shah et al., Med Image Anal 15, 2011.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError, InputError
from mr2ct.preprocessing.intensity import inside
from mr2ct.preprocessing.reference_region import MASK, reference_region
from mr2ct.preprocessing.step import Fitted, Images
from mr2ct.volume import Volume

PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)


@dataclass(frozen=True)
class Nyul:
    """Pipeline step: piecewise linear scaling that puts the landmarks of an MR at learnt standard values.

    Parameters
    ----------
    standard : the standard value of each landmark, in network units, increasing; the first is 0 and the last 1.
    percentiles : where the landmarks lie in the histogram of the voxels inside the mask.
    highest : results are clipped to [0, highest]; beyond the last landmark the last slope goes on.
    within : "mask", or "outline", to measure landmarks in the MR's own outline, as conversion without a mask does
        (`preprocessing.reference_region`).

    Raises
    ------
    InputError : standard values that do not fit the percentiles or do not increase.

    Example
    -------
    >>> Nyul((0.0, 0.5, 1.0), (1.0, 50.0, 99.0)).name
    'nyul'
    """

    name: ClassVar[str] = "nyul"
    standard: tuple[float, ...]
    percentiles: tuple[float, ...] = PERCENTILES
    highest: float = 1.5
    within: str = MASK

    def __post_init__(self) -> None:
        object.__setattr__(self, "standard", tuple(float(value) for value in self.standard))
        object.__setattr__(self, "percentiles", tuple(float(value) for value in self.percentiles))
        fits = len(self.standard) == len(self.percentiles) >= 2
        if not fits or min(np.diff(self.standard)) < 0 or min(np.diff(self.percentiles)) <= 0:
            raise InputError(
                "standard histogram that cannot be used",
                got=f"values {self.standard} at percentiles {self.percentiles}",
                expected="two or more increasing values, one for each percentile",
            )

    @classmethod
    def fit(
        cls,
        images: Iterable[tuple[Volume, Volume | None]],
        *,
        percentiles: tuple[float, ...] = PERCENTILES,
        within: str = MASK,
    ) -> Nyul:
        """Learn the standard values from (MR, region) pairs of the training patients.

        Each histogram is stretched so that its first landmark is 0 and its last 1; the standard is the mean. The
        order of the images does not matter, and images are read one at a time.

        Parameters
        ----------
        images : each MR with the region that is measured; the whole of it where the region is None.
        within : what these regions are, so that `apply` measures in the same.

        Raises
        ------
        DataSetError : no image. InputError : an image without contrast.
        """
        stretched = []
        for mr, region in images:
            landmarks = _landmarks(mr, region, percentiles)
            stretched.append((landmarks - landmarks[0]) / (landmarks[-1] - landmarks[0]))
        if not stretched:
            raise DataSetError("no image to learn a standard histogram from")
        standard = np.mean(np.sort(np.array(stretched), axis=0), axis=0)
        return cls(tuple(standard.tolist()), percentiles, within=within)

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """The MR on the standard scale, float32; records its landmarks. A case without MR passes unchanged."""
        if images.mr is None:
            return images, {}
        region = reference_region(images.mr, images.mask, self.within)
        landmarks = _landmarks(images.mr, region, self.percentiles)
        mapped = piecewise_linear(np.nan_to_num(images.mr.voxels, nan=landmarks[0]), landmarks, np.array(self.standard))
        mr = images.mr.with_voxels(np.clip(mapped, 0, self.highest).astype(np.float32))
        return Images(mr, images.ct, images.mask), {"landmarks": landmarks.tolist()}

    def to_dict(self) -> dict[str, Any]:
        """The learnt values as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Nyul:
        """The inverse of `to_dict`."""
        return cls(**values)


def piecewise_linear(
    values: NDArray[Any], landmarks: NDArray[np.float64], standard: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Map `landmarks` to `standard`, straight lines between, and the first and last line continued beyond.

    Landmarks that coincide count once.

    Example
    -------
    >>> piecewise_linear(np.array([-1.0, 5.0, 30.0]), np.array([0.0, 10.0, 20.0]), np.array([0.0, 0.5, 1.5])).tolist()
    [-0.05, 0.25, 2.5]
    """
    landmarks, first = np.unique(landmarks, return_index=True)
    standard = standard[first]
    slopes = np.diff(standard) / np.diff(landmarks)
    piece = np.clip(np.searchsorted(landmarks, values, side="right") - 1, 0, len(slopes) - 1)
    return np.asarray(standard[piece] + slopes[piece] * (values - landmarks[piece]))


def _landmarks(mr: Volume, region: Volume | None, percentiles: tuple[float, ...]) -> NDArray[np.float64]:
    landmarks = np.percentile(inside(mr, region).astype(np.float64), percentiles)
    if not landmarks[-1] > landmarks[0]:
        raise InputError(
            "the MR has no contrast", got=f"constant {landmarks[0]:g} inside the mask", remedy="check the image"
        )
    return np.asarray(landmarks)
