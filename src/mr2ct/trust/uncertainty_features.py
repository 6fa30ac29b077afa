"""What is known of a voxel's error when there is no CT: how the answers differ, and what the voxel has around it.

Features are made slice by slice in the plane that the network saw, so that single slices and whole volumes are
described alike. None of them holds a position in the head: a slice from elsewhere would have a misleading one. Three
describe the scan (how sharp it is, how bright its background, how rough its tissue): scanners differ in their errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.geometry import PLANE_AXIS

Float32 = NDArray[np.float32]

FEATURES = (
    "sct",
    "sct_soft",
    "other_answers",
    "other_views",
    "spread",
    "spread_around",
    "spread_in_slice",
    "gradient",
    "higher_around",
    "lower_around",
    "mean_around",
    "depth",
    "mr",
    "mr_around",
    "mr_contrast",
    "is_coronal",
    "is_sagittal",
    "sharpness",
    "background",
    "roughness",
)
"""Names and order of the features; a calibration made with others is refused."""

_NEAR, _AROUND = 5, 11
"""Sides of the windows in voxels (1 mm each at the shipped models' spacing)."""

_DEEP_MM, _FEW_PIXELS, _FINE = 15.0, 200, 0.7


def slice_features(
    answers_hu: Float32,
    mr_units: Float32,
    outline: NDArray[np.bool_],
    *,
    spacing_mm: tuple[float, float],
    plane: str,
    sct_hu: Float32 | None = None,
) -> Float32:
    """Features of every pixel of one slice: (rows, columns, len(FEATURES)), each of the order of 1.

    Parameters
    ----------
    answers_hu : (members, views, rows, columns) HU.
    sct_hu : (rows, columns) HU, the sCT whose error is asked for; `answers_hu[0, 0]` where it is None.
    mr_units : (rows, columns) network units. outline : (rows, columns), inside the body.
    spacing_mm : of rows and columns. plane : the slice's plane.

    Example
    -------
    >>> slice_features(np.zeros((1, 2, 8, 8), np.float32), np.zeros((8, 8), np.float32), np.ones((8, 8), bool),
    ...                spacing_mm=(1.0, 1.0), plane="axial").shape
    (8, 8, 20)
    """
    from scipy import ndimage

    sct = answers_hu[0, 0] if sct_hu is None else sct_hu
    spread = answers_hu.reshape(-1, *sct.shape).std(axis=0)
    others = answers_hu.mean(axis=(0, 1)) - sct
    views = answers_hu[0].mean(axis=0) - sct
    in_body = spread[outline] if outline.any() else spread
    gradient = np.hypot(*(_slope(sct, axis) / mm for axis, mm in enumerate(spacing_mm)))
    depth_mm = _depth_mm(outline, spacing_mm)
    columns = (
        sct / 1000,
        np.clip(sct, -200, 200) / 100,
        _compressed(others),
        _compressed(views),
        _compressed(spread),
        _compressed(ndimage.uniform_filter(spread, _AROUND)),
        np.full_like(sct, np.log1p(in_body / 10).mean()),
        _compressed(gradient),
        _compressed(ndimage.maximum_filter(sct, _NEAR) - sct),
        _compressed(sct - ndimage.minimum_filter(sct, _NEAR)),
        ndimage.uniform_filter(sct, _AROUND) / 1000,
        np.clip(depth_mm, -20, 60) / 20,
        mr_units * 2,
        ndimage.uniform_filter(mr_units, _AROUND) * 2,
        (ndimage.maximum_filter(mr_units, _NEAR) - ndimage.minimum_filter(mr_units, _NEAR)) * 2,
        np.full_like(sct, plane == "coronal"),
        np.full_like(sct, plane == "sagittal"),
        *(np.full_like(sct, value) for value in _scan_features(mr_units, depth_mm)),
    )
    return np.stack(columns, axis=-1).astype(np.float32)


def _compressed(hu: NDArray[Any]) -> NDArray[Any]:
    """Signed logarithm: 10 HU more matter at 10 HU, not at 500."""
    return np.asarray(np.sign(hu) * np.log1p(np.abs(hu) / 10))


def _slope(hu: Float32, axis: int) -> Float32:
    return np.gradient(hu, axis=axis) if hu.shape[axis] > 1 else np.zeros_like(hu)


def _depth_mm(outline: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> NDArray[Any]:
    """Distance to the outline, negative outside it."""
    from scipy import ndimage

    if outline.all() or not outline.any():
        return np.full(outline.shape, 60.0 if outline.any() else -20.0)
    within = ndimage.distance_transform_edt(outline, sampling=spacing_mm)
    beyond = ndimage.distance_transform_edt(~outline, sampling=spacing_mm)
    return np.asarray(within - beyond)


def _scan_features(mr_units: Float32, depth_mm: NDArray[Any]) -> tuple[float, float, float]:
    """Sharpness (fine against coarser detail in deep tissue), brightness around the body, roughness of deep tissue."""
    from scipy import ndimage

    deep = depth_mm > _DEEP_MM
    if np.count_nonzero(deep) < _FEW_PIXELS:
        deep = depth_mm > 0
    around = (depth_mm > -_DEEP_MM) & (depth_mm <= 0)
    smooth = ndimage.gaussian_filter(mr_units, _FINE)
    fine = float((mr_units - smooth)[deep].std()) if deep.any() else 0.0
    coarse = float((smooth - ndimage.gaussian_filter(mr_units, 2 * _FINE))[deep].std()) if deep.any() else 0.0
    background = float(mr_units[around].mean()) if around.any() else 0.0
    return 2 * fine / (coarse + 1e-3), float(np.log(max(background, 0.0) + 0.01)), float(np.log(coarse + 1e-3))


def in_plane_spacing_mm(spacing_mm: tuple[float, float, float], plane: str) -> tuple[float, float]:
    """The spacing of a slice's rows and columns.

    Example
    -------
    >>> in_plane_spacing_mm((1.0, 2.0, 3.0), "coronal")
    (1.0, 3.0)
    """
    rows, columns = (mm for axis, mm in enumerate(spacing_mm) if axis != PLANE_AXIS[plane])
    return rows, columns
