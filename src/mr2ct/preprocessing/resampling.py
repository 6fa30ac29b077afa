"""Put a volume on another grid: an explicit call, with the interpolation named, never a side effect.

Linear and B-spline interpolation smooth first where the new grid is much coarser, so that fine structure does not
alias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import Float64, Geometry, difference, with_spacing_mm
from mr2ct.hounsfield import LOWEST_HU
from mr2ct.preprocessing.simpleitk_image import placement, to_simpleitk, voxels_of
from mr2ct.preprocessing.step import Fitted, Images, geometry_to_json
from mr2ct.volume import Quantity, Volume

INTERPOLATIONS = ("linear", "bspline", "nearest")

COARSER_BY = 1.5
"""From this ratio of new to old voxel size on, the volume is smoothed before it is sampled."""

_FWHM_PER_SIGMA = 2.354820045
_ALIGNED = 1e-6


def resample_to(
    volume: Volume,
    geometry: Geometry,
    *,
    interpolation: str = "linear",
    outside: float | Literal["edge"] | None = None,
    world_transform: Float64 | None = None,
) -> Volume:
    """The volume on another grid in the same patient space.

    Parameters
    ----------
    volume : MR (the result is float32), HU (keeps its voxel type; int16 is rounded) or MASK (always nearest neighbour).
    geometry : the grid to sample on. Where it is the volume's own, or differs by whole voxels, voxels are copied
        exactly.
    interpolation : "linear", "bspline" (cubic) or "nearest".
    outside : value beyond the outer faces of the volume's border voxels, or "edge" to continue the nearest of these;
        by default -1024 for HU and 0 for the rest.
    world_transform : (4, 4), RAS+ mm on the new grid to RAS+ mm of the volume; None stands for the identity.

    Where the new grid is coarser by more than 1.5 along an axis of the volume, a Gaussian is applied first whose width
    makes up the difference of the two voxel sizes (Cardoso et al., MICCAI 2015, "Scale factor point spread function
    matching"); nearest neighbour never smooths.

    Raises
    ------
    InputError : an unknown interpolation.

    Example
    -------
    >>> mr = Volume(np.arange(4.0).reshape(4, 1, 1), Geometry((4, 1, 1), np.eye(4)), Quantity.MR)
    >>> shifted = np.eye(4); shifted[0, 3] = 0.5
    >>> resample_to(mr, Geometry((3, 1, 1), shifted)).voxels.ravel().tolist()
    [0.5, 1.5, 2.5]
    """
    if interpolation not in INTERPOLATIONS:
        raise InputError(
            "unknown interpolation", got=repr(interpolation), expected=f"one of {', '.join(INTERPOLATIONS)}"
        )
    if volume.quantity is Quantity.MASK:
        interpolation = "nearest"
    outside = outside_value(volume.quantity) if outside is None else outside
    if world_transform is None:
        if difference(volume.geometry, geometry, tolerance_mm=_ALIGNED) is None:
            return Volume(volume.voxels, geometry, volume.quantity)
        shift = _whole_voxel_shift(volume.geometry, geometry)
        if shift is not None and outside != "edge":
            return _shifted(volume, geometry, shift, outside)
    return _interpolated(
        volume, geometry, interpolation, outside, np.eye(4) if world_transform is None else world_transform
    )


def outside_value(quantity: Quantity) -> float:
    """What lies beyond a volume's border: air (-1024) for HU, 0 for MR and masks."""
    return float(LOWEST_HU) if quantity is Quantity.HU else 0.0


def to_spacing(volume: Volume, spacing_mm: Sequence[float] | float, *, interpolation: str = "linear") -> Volume:
    """The volume with voxels of another size, over the same box of space; an axis one voxel thick keeps its voxel.

    Example
    -------
    >>> thin = Volume(np.zeros((4, 4, 1)), Geometry((4, 4, 1), np.diag([2.0, 2.0, 5.0, 1.0])), Quantity.MR)
    >>> to_spacing(thin, 1.0).geometry.shape
    (8, 8, 1)
    """
    grid = spaced_geometry(volume.geometry, spacing_mm)
    return resample_to(volume, grid, interpolation=interpolation, outside="edge")


def spaced_geometry(geometry: Geometry, spacing_mm: Sequence[float] | float) -> Geometry:
    """The grid of `to_spacing`: the very same object where the spacing is met already (to a micrometre)."""
    wanted = np.broadcast_to(np.asarray(spacing_mm, dtype=np.float64), (3,))
    kept = (np.array(geometry.shape) == 1) | (np.abs(np.array(geometry.spacing_mm) - wanted) < 1e-3)
    if kept.all():
        return geometry
    new = np.where(kept, np.array(geometry.spacing_mm), wanted)
    return with_spacing_mm(geometry, (float(new[0]), float(new[1]), float(new[2])))


def _whole_voxel_shift(source: Geometry, target: Geometry) -> NDArray[np.int64] | None:
    """The index in `source` of the first voxel of `target`, where the two grids share their voxels."""
    to_source = np.linalg.inv(source.affine) @ target.affine
    reach = max(*source.shape, *target.shape)
    if np.abs(to_source[:3, :3] - np.eye(3)).max() * reach > _ALIGNED:
        return None
    shift = np.rint(to_source[:3, 3])
    return shift.astype(np.int64) if np.abs(to_source[:3, 3] - shift).max() < _ALIGNED else None


def _shifted(volume: Volume, geometry: Geometry, shift: NDArray[np.int64], outside: float | str) -> Volume:
    voxels = np.full(geometry.shape, outside, dtype=volume.voxels.dtype)
    start = np.maximum(shift, 0)
    stop = np.minimum(np.array(volume.voxels.shape), shift + np.array(geometry.shape))
    if (stop > start).all():
        taken = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        put = tuple(slice(a, b) for a, b in zip(start - shift, stop - shift, strict=True))
        voxels[put] = volume.voxels[taken]
    return Volume(voxels, geometry, volume.quantity)


def _interpolated(
    volume: Volume, geometry: Geometry, interpolation: str, outside: float | str, world_transform: Float64
) -> Volume:
    import SimpleITK as sitk  # noqa: N813

    methods = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline, "nearest": sitk.sitkNearestNeighbor}
    working = volume if interpolation == "nearest" else volume.with_voxels(volume.voxels.astype(np.float32, copy=False))
    image = to_simpleitk(working)
    if interpolation != "nearest":
        image = _smoothed(image, smoothing_sigma_mm(volume.geometry, geometry, world_transform))
    resampler = sitk.ResampleImageFilter()
    place = placement(geometry)
    resampler.SetSize(place.size)
    resampler.SetOutputSpacing(place.spacing)
    resampler.SetOutputDirection(place.direction)
    resampler.SetOutputOrigin(place.origin)
    resampler.SetTransform(_affine_transform(world_transform))
    resampler.SetInterpolator(methods[interpolation])
    if outside == "edge":
        resampler.SetUseNearestNeighborExtrapolator(True)
    else:
        resampler.SetDefaultPixelValue(float(outside))
    voxels = voxels_of(resampler.Execute(image))
    if volume.quantity is Quantity.HU and volume.voxels.dtype == np.int16 and voxels.dtype != np.int16:
        voxels = np.clip(np.rint(voxels), -32768, 32767).astype(np.int16)
    return Volume(voxels, geometry, volume.quantity)


def smoothing_sigma_mm(source: Geometry, target: Geometry, world_transform: Float64) -> Float64:
    """(3,): the Gaussian, along the axes of `source`, that is applied before sampling on `target`; 0 where none is."""
    steps = world_transform[:3, :3] @ target.affine[:3, :3]
    along = np.linalg.inv(source.directions) @ steps
    new = np.sqrt((along**2).sum(axis=1))
    old = np.array(source.spacing_mm)
    thick = np.array(source.shape) > 1
    width = np.sqrt(np.maximum(new**2 - old**2, 0)) / _FWHM_PER_SIGMA
    return np.where((new > COARSER_BY * old) & thick, width, 0.0)


def _smoothed(image: Any, sigma_mm: Float64) -> Any:
    import SimpleITK as sitk  # noqa: N813

    for axis, sigma in enumerate(reversed(sigma_mm.tolist())):
        # the recursive filter needs four voxels along its axis
        if sigma > 0 and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(image, sigma=sigma, direction=axis)
    return sitk.Cast(image, sitk.sitkFloat32)


def _affine_transform(matrix: Float64) -> Any:
    import SimpleITK as sitk  # noqa: N813

    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


MOST_VOXELS = 2**30
"""Of a grid that a volume is brought to: 4 GiB in float32, a metre in each direction at 1 mm."""


def _require_holdable(before: Geometry, after: Geometry) -> None:
    if math.prod(after.shape) > MOST_VOXELS:
        sizes = " x ".join(f"{size:g}" for size in before.spacing_mm)
        raise InputError(
            "the grid is too large to be resampled",
            got=f"{' x '.join(map(str, after.shape))} voxels, from voxels of {sizes} mm",
            expected=f"at most {MOST_VOXELS:,} voxels",
            remedy="correct the voxel size if it is wrong (in mm), or crop the volume",
        )


@dataclass(frozen=True)
class ToSpacing:
    """Pipeline step: voxels of a stated size; undone by resampling onto the grid before.

    Parameters
    ----------
    spacing_mm : the edge of cubic voxels, or three sizes along (i, j, k).
    interpolation : of images; masks are always nearest neighbour.

    Raises
    ------
    InputError : not one size or three, or one of 0 or less; from `apply`, a grid of more than `MOST_VOXELS`.

    Example
    -------
    >>> ToSpacing(1.0).spacing_mm, ToSpacing((1, 1, 3)).spacing_mm
    (1.0, (1.0, 1.0, 3.0))
    """

    name: ClassVar[str] = "to_spacing"
    spacing_mm: float | tuple[float, ...] = 1.0
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        sizes = np.atleast_1d(np.asarray(self.spacing_mm, dtype=np.float64)).tolist()
        if len(sizes) not in (1, 3) or not min(sizes) > 0:
            raise InputError("unusable voxel size", got=f"{self.spacing_mm} mm", expected="one size above 0, or three")
        # cubic voxels have one record, however they were asked for
        object.__setattr__(self, "spacing_mm", sizes[0] if len(set(sizes)) == 1 else tuple(sizes))

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """Every volume on voxels of `spacing_mm` (masks by nearest neighbour); records the grid before."""
        before = images.leading.geometry
        after = spaced_geometry(before, self.spacing_mm)
        _require_holdable(before, after)
        moved = images.each(lambda volume: resample_to(volume, after, interpolation=self.interpolation, outside="edge"))
        return moved, {"before": geometry_to_json(before), "after": geometry_to_json(after)}

    def undo(self, volume: Volume, before: Geometry, *, interpolation: str, outside: float | None) -> Volume:
        """The volume sampled on the grid `before`; `outside` counts where the volume is a part of the step's grid."""
        whole = difference(volume.geometry, spaced_geometry(before, self.spacing_mm)) is None
        return resample_to(volume, before, interpolation=interpolation, outside="edge" if whole else outside)
