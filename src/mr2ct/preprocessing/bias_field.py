"""Take out the slow brightness drift that the receiver coil puts over an MR: one tissue, one level everywhere.

N4: Tustison et al., "N4ITK: improved N3 bias correction", IEEE Trans Med Imaging 29, 2010; SimpleITK's implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import require_same_geometry
from mr2ct.preprocessing.reference_region import MASK, reference_region
from mr2ct.preprocessing.step import Fitted, Images
from mr2ct.volume import Volume

_FEWEST_VOXELS = 24
"""Shrinking leaves at least this many voxels along an axis; thick-slice axes are hardly shrunk."""

_SHRINK_OF_SLICES = 2
"""A slice has few voxels for a histogram to be made of."""

_CONVERGED = 1e-4
"""SimpleITK's own 1e-3 stops at 0.067 of a field of 0.118 in a real slice; this reaches 0.044."""


def n4(
    mr: Volume, mask: Volume, *, shrink: int = 4, iterations: tuple[int, ...] = (50, 50, 50, 50)
) -> tuple[Volume, Fitted]:
    """The MR divided by its bias field (float32, same grid), and the parameters that were used.

    Parameters
    ----------
    mr, mask : on one grid. A volume one voxel thick is corrected in its plane. Voxels of the mask that are not above 0
        do not count; beyond the mask the field keeps within the range it has inside.
    shrink : the field is estimated on every n-th voxel; it is slow in space, so little is lost and much time is won;
        by 2 at most in a slice.
    iterations : the most iterations at each of the fitting levels, coarse to fine.

    Raises
    ------
    InputError : a volume that is one voxel thick along two axes, or a mask without positive voxels.
    GeometryError : MR and mask on different grids.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> from mr2ct.volume import Quantity
    >>> grid = Geometry((32, 32, 1), np.eye(4))
    >>> ramp = np.linspace(1, 2, 32)[:, None, None] * np.ones(grid.shape)
    >>> flat, _ = n4(Volume(ramp, grid, Quantity.MR), Volume(np.ones(grid.shape), grid, Quantity.MASK))
    >>> bool(flat.voxels.std() < ramp.std() / 2)
    True
    """
    require_same_geometry(mr.geometry, mask.geometry, names="MR and mask")
    thick = [axis for axis, n in enumerate(mr.geometry.shape) if n > 1]
    usable = (mask.voxels > 0) & (mr.voxels > 0) & np.isfinite(mr.voxels)
    if len(thick) < 2 or not usable.any():
        raise InputError(
            "no bias field can be estimated",
            got=f"shape {mr.geometry.shape}, {int(usable.sum())} positive voxels in the mask",
            expected="a slice or a volume with tissue inside the mask",
        )
    most = shrink if len(thick) == 3 else min(shrink, _SHRINK_OF_SLICES)
    factors = [max(1, min(most, mr.geometry.shape[axis] // _FEWEST_VOXELS)) for axis in thick]
    values = np.nan_to_num(mr.voxels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    log_field = _log_field(values.squeeze(), usable.squeeze(), factors, iterations)
    log_field = log_field.reshape(mr.geometry.shape)
    lowest, highest = float(log_field[usable].min()), float(log_field[usable].max())
    corrected = values / np.exp(np.clip(log_field, lowest, highest))
    fitted = {"shrink_factors": factors, "weakest": float(np.exp(lowest)), "strongest": float(np.exp(highest))}
    return mr.with_voxels(corrected), fitted


def _log_field(
    values: NDArray[np.float32], usable: NDArray[np.bool_], factors: list[int], iterations: tuple[int, ...]
) -> NDArray[np.float32]:
    import SimpleITK as sitk  # noqa: N813

    # without a spacing: the field's splines have their knots at shares of the grid, whatever a voxel's size
    image, inside = sitk.GetImageFromArray(values), sitk.GetImageFromArray(usable.astype(np.uint8))
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(iterations)
    corrector.SetConvergenceThreshold(_CONVERGED)
    corrector.Execute(sitk.Shrink(image, factors[::-1]), sitk.Shrink(inside, factors[::-1]))
    return np.asarray(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image)), dtype=np.float32)


@dataclass(frozen=True)
class BiasFieldCorrection:
    """Pipeline step: N4 inside the mask. It goes after the body mask and before any scaling.

    Parameters
    ----------
    shrink, iterations : as in `n4`.
    within : "mask", or "outline", to estimate the field in the MR's own outline, as conversion without a mask does
        (`preprocessing.reference_region`).

    Example
    -------
    >>> BiasFieldCorrection().shrink
    4
    """

    name: ClassVar[str] = "n4"
    shrink: int = 4
    iterations: tuple[int, ...] = (50, 50, 50, 50)
    within: str = MASK

    def __post_init__(self) -> None:
        object.__setattr__(self, "iterations", tuple(self.iterations))

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """The corrected MR; records the field's range. A case without MR passes unchanged.

        Raises
        ------
        InputError : no mask.
        """
        if images.mr is None:
            return images, {}
        region = reference_region(images.mr, images.mask, self.within)
        if region is None:
            raise InputError("N4 needs a body mask", remedy="put a body_mask step before it, or give a mask")
        corrected, fitted = n4(images.mr, region, shrink=self.shrink, iterations=self.iterations)
        return Images(corrected, images.ct, images.mask), fitted
