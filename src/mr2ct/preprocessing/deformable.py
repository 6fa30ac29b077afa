"""Bend one scan onto another where a rigid movement is not enough (neck, jaw, skin), with the extra itk-elastix.

B-spline registration with Mattes mutual information: Klein et al., "elastix: a toolbox for intensity-based medical
image registration", IEEE Trans Med Imaging 29, 2010.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mr2ct.errors import InputError, MissingDependencyError
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.hu_clipping import clip_hu
from mr2ct.preprocessing.resampling import INTERPOLATIONS, outside_value
from mr2ct.preprocessing.simpleitk_image import placement
from mr2ct.preprocessing.step import geometry_from_json, geometry_to_json
from mr2ct.volume import Quantity, Volume

_SPLINE_ORDER = {"nearest": "0", "linear": "1", "bspline": "3"}


@dataclass(frozen=True)
class DeformableTransform:
    """A B-spline movement, moving <- fixed, as elastix writes it down.

    Parameters
    ----------
    parameters : elastix's parameter map: names to lists of words.
    grid : the fixed image's grid, on which `resample` gives its result.

    Example
    -------
    >>> DeformableTransform.from_dict(transform.to_dict()) == transform  # doctest: +SKIP
    True
    """

    parameters: Mapping[str, tuple[str, ...]]
    grid: Geometry

    def resample(self, moving: Volume, *, interpolation: str = "linear", outside: float | None = None) -> Volume:
        """The moving volume (or another on its grid) on the fixed grid; masks by nearest neighbour, HU int16 rounded.

        Raises
        ------
        InputError : an unknown interpolation. MissingDependencyError : itk-elastix is not installed.
        """
        if interpolation not in INTERPOLATIONS:
            raise InputError("unknown interpolation", got=repr(interpolation), expected=f"one of {INTERPOLATIONS}")
        itk = _itk()
        order = _SPLINE_ORDER["nearest" if moving.quantity is Quantity.MASK else interpolation]
        fill = outside_value(moving.quantity) if outside is None else outside
        words = {name: list(values) for name, values in self.parameters.items()}
        words |= {"FinalBSplineInterpolationOrder": [order], "DefaultPixelValue": [repr(float(fill))]}
        described = itk.ParameterObject.New()
        described.AddParameterMap(words)
        moved = itk.transformix_filter(_image(moving, itk), described, log_to_console=False)
        voxels = np.array(itk.array_view_from_image(moved))
        if moving.quantity is Quantity.MASK or moving.voxels.dtype == np.int16:
            voxels = np.rint(voxels).astype(moving.voxels.dtype)
        return Volume(voxels, self.grid, moving.quantity)

    def to_dict(self) -> dict[str, Any]:
        """The transform as JSON values."""
        return {
            "parameters": {name: list(values) for name, values in self.parameters.items()},
            "grid": geometry_to_json(self.grid),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DeformableTransform:
        """The inverse of `to_dict`."""
        words = {name: tuple(entries) for name, entries in values["parameters"].items()}
        return cls(words, geometry_from_json(values["grid"]))


def register_deformable(
    fixed: Volume, moving: Volume, *, seed: int = 0, control_spacing_mm: float = 20.0, iterations: int = 256
) -> DeformableTransform:
    """The smooth movement that lays `moving` on `fixed`; the two should be rigidly registered already.

    Parameters
    ----------
    fixed, moving : volumes (no single slices); HU are clipped from -1024 on.
    seed : of the random choice of voxels.
    control_spacing_mm : distance between the B-spline's control points: smaller bends more locally.
    iterations : steps at each resolution.

    Raises
    ------
    InputError : a single slice. MissingDependencyError : itk-elastix is not installed.

    Example
    -------
    >>> transform = register_deformable(mr, ct_on_mr)  # doctest: +SKIP
    >>> ct_bent = transform.resample(ct_on_mr)  # doctest: +SKIP
    """
    for name, volume in (("fixed", fixed), ("moving", moving)):
        if volume.geometry.single_slice_axis is not None:
            raise InputError(
                f"the {name} image is a single slice", got=f"shape {volume.geometry.shape}", expected="a volume"
            )
    itk = _itk()
    described = itk.ParameterObject.New()
    described.AddParameterMap(_settings(itk, fixed.geometry, seed, control_spacing_mm, iterations))
    _, found = itk.elastix_registration_method(
        _image(fixed, itk), _image(moving, itk), parameter_object=described, log_to_console=False
    )
    words = dict(found.GetParameterMap(0))
    return DeformableTransform({name: tuple(values) for name, values in words.items()}, fixed.geometry)


def _itk() -> Any:
    try:
        import itk
    except ImportError:
        itk = None
    if itk is None or not hasattr(itk, "elastix_registration_method"):
        raise MissingDependencyError(
            "deformable registration needs itk-elastix", remedy="pip install mr2ct[deformable]"
        )
    return itk


def _image(volume: Volume, itk: Any) -> Any:
    if volume.quantity is Quantity.HU:
        volume = clip_hu(volume)
    place = placement(volume.geometry)
    image = itk.image_from_array(np.ascontiguousarray(volume.voxels, dtype=np.float32))
    image.SetSpacing(place.spacing)
    image.SetOrigin(place.origin)
    image.SetDirection(np.array(place.direction).reshape(3, 3))
    return image


def _settings(itk: Any, grid: Geometry, seed: int, control_spacing_mm: float, iterations: int) -> dict[str, list[str]]:
    smallest_mm = min(n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    resolutions = max(1, min(4, int(math.log2(max(smallest_mm / control_spacing_mm, 2)))))
    words = dict(itk.ParameterObject.GetDefaultParameterMap("bspline", resolutions, control_spacing_mm))
    words |= {
        "Metric": ["AdvancedMattesMutualInformation"],
        "Registration": ["MultiResolutionRegistration"],
        "MaximumNumberOfIterations": [str(iterations)],
        "RandomSeed": [str(seed + 1)],
        "WriteResultImage": ["false"],
        "AutomaticTransformInitialization": ["false"],
        "ResultImagePixelType": ["float"],
    }
    words.pop("Metric0Weight", None)
    words.pop("Metric1Weight", None)
    return {name: list(values) for name, values in words.items()}
