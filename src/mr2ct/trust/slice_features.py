"""Numbers that describe an MR slice: its outline, its contrast, its detail and noise, its evenness and its background.

Every number is free of the scanner's scale (intensities are in units of deep tissue) and, as a logarithm or a ratio,
close enough to normally distributed for distances by covariance. The names' first parts are the aspects that
`trust.input_reference` measures distances in.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mr2ct.trust.slice_view import SliceView

ASPECTS = ("outline", "contrast", "detail", "evenness", "signal", "background")

_DEEP_MM = 12.0
_DEPTHS_MM = (0, 3, 6, 10, 15, 25, 40, 200)
_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_SCALES_MM = (0.0, 1.0, 2.0, 4.0, 8.0)
_SMALL = 1e-3
_FAINT = 0.05
"""A tenth of deep tissue: training backgrounds were cut to zero, and ordinary noise must not look far from that."""

Array = NDArray[np.float32]
Bool = NDArray[np.bool_]


def slice_features(view: SliceView) -> dict[str, float]:
    """The features of one slice by name, such as "contrast.deep_quantile_0.98"; all finite.

    Example
    -------
    >>> disc = np.hypot(*np.mgrid[-40:41, -50:51]) < 35
    >>> view = SliceView("axial", np.where(disc, 0.5, 0).astype(np.float32), disc, (1.0, 1.0))
    >>> round(slice_features(view)["outline.log_area"], 1)  # 35^2 pi mm^2, in cm^2
    3.6
    """
    outline = view.outline if view.outline.any() else np.ones_like(view.outline)
    depth = _radius_mm(outline, view.spacing_mm)
    deep = depth > min(_DEEP_MM, 0.4 * float(depth.max()))
    aspects = {
        "outline": _outline(outline, view.spacing_mm),
        "contrast": _contrast(view.mr, outline, depth, deep),
        "detail": _detail(view.mr, deep, view.spacing_mm),
        "evenness": _evenness(view, outline, depth),
        "signal": _dark_parts(view, outline, depth)
        | {"saturated": _log(float((view.mr[outline] > 1.45).mean()), 0.003)},
        "background": _background(view.mr, outline, view.spacing_mm),
    }
    named = {f"{aspect}.{name}": float(value) for aspect, part in aspects.items() for name, value in part.items()}
    return {name: value if np.isfinite(value) else 0.0 for name, value in named.items()}


def _log(value: float, floor: float = _SMALL) -> float:
    return float(np.log(max(value, 0.0) + floor))


def _outline(outline: Bool, spacing_mm: tuple[float, float]) -> dict[str, float]:
    from scipy import ndimage

    found: dict[str, float] = {"log_area": _log(outline.sum() * spacing_mm[0] * spacing_mm[1] / 100)}
    boxed = outline[ndimage.find_objects(outline.astype(np.int8))[0]]
    for axis, name in enumerate(("rows", "columns")):
        found[f"log_{name}"] = _log(boxed.shape[axis] * spacing_mm[axis])
        inset = min(max(1, round(3 / spacing_mm[axis])), boxed.shape[axis] - 1)
        for end, line in (("low", inset), ("high", -1 - inset)):
            found[f"flat_{name}_{end}"] = float(np.take(boxed, line, axis=axis).mean())
        for end, line in (("low", 0), ("high", -1)):
            found[f"touch_{name}_{end}"] = float(np.take(outline, line, axis=axis).sum() / boxed.shape[1 - axis])
    widths = boxed.mean(axis=0)
    for share in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9):
        found[f"width_{share}"] = float(widths[int(share * (len(widths) - 1))])
    found["mirrored"] = float((boxed != boxed[::-1]).mean())
    edge = outline ^ ndimage.binary_erosion(outline)
    found["log_roughness"] = _log(edge.sum() ** 2 / (4 * np.pi * outline.sum()))
    return found


def _contrast(mr: Array, outline: Bool, depth: Array, deep: Bool) -> dict[str, float]:
    found = {f"quantile_{q}": float(v) for q, v in zip(_QUANTILES, np.quantile(mr[outline], _QUANTILES), strict=True)}
    inner = np.quantile(mr[deep], _QUANTILES) if deep.any() else np.zeros(len(_QUANTILES))
    found |= {f"deep_quantile_{q}": float(v) for q, v in zip(_QUANTILES, inner, strict=True)}
    for low, high in pairwise(_DEPTHS_MM):
        ring = mr[outline & (depth > low) & (depth <= high)]
        found[f"depth_{low}"] = float(ring.mean()) if ring.size else 0.3
        if low in (0, 3, 6):
            found[f"bright_at_{low}"] = float(np.quantile(ring, 0.9)) if ring.size else 0.5
    return found


def _detail(mr: Array, deep: Bool, spacing_mm: tuple[float, float]) -> dict[str, float]:
    """Energy by scale and direction; noise from second differences (Immerkaer 1996, doi:10.1006/cviu.1996.0060)."""
    from scipy import ndimage

    deep = deep if deep.any() else np.ones_like(deep)
    levels = [mr] + [ndimage.gaussian_filter(mr, [s / d for d in spacing_mm]) for s in _SCALES_MM[1:]]
    found = {
        f"log_band_{scale:g}": _log(float((fine - coarse)[deep].std()))
        for scale, (fine, coarse) in zip(_SCALES_MM[1:], pairwise(levels), strict=True)
    }
    noise = ndimage.convolve(mr, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6)
    found["log_noise"] = _log(1.4826 * float(np.median(np.abs(noise[deep]))))
    local = np.sqrt(np.maximum(ndimage.uniform_filter(mr**2, 5) - ndimage.uniform_filter(mr, 5) ** 2, 0))
    found["log_quiet"] = _log(float(np.quantile(local[deep], 0.1)))
    found["log_busy"] = _log(float(np.quantile(local[deep], 0.9)))
    found["flat_share"] = float((local[deep] < 0.004).mean())
    for name, level in (("fine", mr), ("coarse", levels[2])):
        rows, columns = (np.abs(np.diff(level, n=2, axis=a, append=0, prepend=0))[deep].mean() for a in (0, 1))
        found[f"direction_{name}"] = _log(float(rows)) - _log(float(columns))
    return found | _line_roughness(mr)


def _line_roughness(mr: Array) -> dict[str, float]:
    """How unevenly k-space lines carry energy, along either axis: motion and ghosts make neighbours differ."""
    from scipy import ndimage

    spectrum = np.abs(np.fft.fft2(mr)) ** 2
    found: dict[str, float] = {}
    for axis, name in enumerate(("rows", "columns")):
        half = mr.shape[axis] // 2
        energy = np.log(np.asarray(spectrum.sum(axis=1 - axis))[3:half] + 1e-6)
        if len(energy) < 8:
            found |= {f"log_uneven_{name}": 0.0, f"log_spike_{name}": 0.0}
            continue
        uneven = np.diff(energy, n=2)
        found[f"log_uneven_{name}"] = _log(float(uneven.std()), 0.02)
        found[f"log_spike_{name}"] = _log(float((energy - ndimage.median_filter(energy, 9)).max()), 0.05)
    return found


def _evenness(view: SliceView, outline: Bool, depth: Array) -> dict[str, float]:
    mr = view.mr
    found = _drift(mr, outline, depth) | _slow_part(view, outline, depth)
    return found | {"asymmetry": _asymmetry(view, outline)}


def _drift(mr: Array, outline: Bool, depth: Array) -> dict[str, float]:
    """A second-order polynomial through the logarithm of bright tissue: its range, its slopes and curvatures."""
    bright = outline & (mr > 0.2) & (depth > 4)
    if bright.sum() < 50:
        return dict.fromkeys(("range", "slope_rows", "slope_columns", "bend_rows", "bend_columns", "bend_both"), 0.0)
    places = np.argwhere(bright)[:: max(1, int(bright.sum()) // 4000)]
    low, high = places.min(axis=0), places.max(axis=0)
    x, y = (2 * (places - low) / np.maximum(high - low, 1) - 1).T
    terms = np.stack([np.ones_like(x), x, y, x * x - 1 / 3, y * y - 1 / 3, x * y], axis=1)
    values = np.log(mr[places[:, 0], places[:, 1]])
    coefficients = np.linalg.lstsq(terms, values, rcond=None)[0]
    fitted = np.quantile(terms @ coefficients, [0.05, 0.95])
    names = ("slope_rows", "slope_columns", "bend_rows", "bend_columns", "bend_both")
    return {"range": float(fitted[1] - fitted[0])} | dict(zip(names, coefficients[1:].tolist(), strict=True))


def _slow_part(view: SliceView, outline: Bool, depth: Array) -> dict[str, float]:
    """What is left of the upper head's brightness at 12 mm: its range and slopes; in a sound brain, little."""
    from scipy import ndimage

    step = [max(1, round(3 / d)) for d in view.spacing_mm]
    thin = (slice(None, None, step[0]), slice(None, None, step[1]))
    mr, inside = view.mr[thin], (outline & (depth > 6))[thin].astype(np.float32)
    sigma = [12 / d / n for d, n in zip(view.spacing_mm, step, strict=True)]
    # cubes favour the brighter tissue of a neighbourhood, so that dark fluid and air weigh little
    weight = ndimage.gaussian_filter(inside, sigma)
    slow = np.cbrt(ndimage.gaussian_filter(inside * mr**3, sigma) / np.maximum(weight, 1e-3))
    places = np.argwhere((inside > 0) & (_upper(outline, view.plane)[thin]))
    if len(places) < 20:
        return dict.fromkeys(("slow_range", "slow_rows", "slow_columns", "slow_rest"), 0.0)
    values = np.log(np.maximum(slow[places[:, 0], places[:, 1]], 0.02))
    x, y = (2 * (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1) - 1).T
    terms = np.stack([np.ones_like(x), x, y], axis=1)
    coefficients = np.linalg.lstsq(terms, values, rcond=None)[0]
    low, high = np.quantile(values, [0.03, 0.97])
    return {
        "slow_range": float(high - low),
        "slow_rows": float(coefficients[1]),
        "slow_columns": float(coefficients[2]),
        "slow_rest": float((values - terms @ coefficients).std()),
    }


def _upper(outline: Bool, plane: str) -> Bool:
    """The part that is brain for the most: all of an axial slice, 110 mm below the vertex or so in the others."""
    columns = np.flatnonzero(outline.any(axis=0))
    upper = np.zeros_like(outline)
    share = 0.0 if plane == "axial" else 0.4
    upper[:, int(columns[0] + share * (columns[-1] - columns[0])) :] = True
    return upper


def _asymmetry(view: SliceView, outline: Bool) -> float:
    """How much left differs from right after smoothing; a sagittal slice has no such sides."""
    from scipy import ndimage

    if view.plane == "sagittal":
        return 0.0
    box = ndimage.find_objects(outline.astype(np.int8))[0]
    smooth = ndimage.gaussian_filter(view.mr[box], [6 / d for d in view.spacing_mm])
    return _log(float(np.abs(smooth - smooth[::-1])[outline[box]].mean()), 0.01)


def _dark_parts(view: SliceView, outline: Bool, depth: Array) -> dict[str, float]:
    """How large signal-free parts are: inside the outline, in the upper head rounded off, and on one side only."""
    from scipy import ndimage

    mr, spacing_mm = view.mr, view.spacing_mm
    dark = outline & (ndimage.gaussian_filter(mr, [1 / d for d in spacing_mm]) < 0.08)
    inner = depth > 8
    radius = _radius_mm(dark, spacing_mm)
    upper = _upper(outline, view.plane)
    step = [max(1, round(2 / d)) for d in spacing_mm]
    thin = (slice(None, None, step[0]), slice(None, None, step[1]))
    coarse_mm = (spacing_mm[0] * step[0], spacing_mm[1] * step[1])
    bites = _rounded((outline & upper)[thin], coarse_mm) & (dark | ~outline)[thin] & upper[thin]
    box = ndimage.find_objects(outline.astype(np.int8))[0]
    one_sided = dark[box] & ~ndimage.binary_dilation(dark[box][::-1], iterations=3)
    return {
        "dark_share": _log(float((dark & inner).sum() / max(inner.sum(), 1)), 0.01),
        "dark_radius": _log(float(radius.max()), 1.0),
        "dark_radius_deep": _log(float((radius * inner).max()), 1.0),
        "dark_radius_upper": _log(float((radius * inner * upper).max()), 1.0),
        "dark_radius_rounded": _log(float(_radius_mm(bites, coarse_mm).max()), 1.0),
        "dark_radius_one_sided": _log(
            0.0 if view.plane == "sagittal" else float(_radius_mm(one_sided, spacing_mm).max()), 1.0
        ),
    }


def _radius_mm(mask: Bool, spacing_mm: tuple[float, float]) -> Array:
    """How far each pixel of a mask is from the nearest outside it; 0 outside; beyond the image is outside."""
    from scipy import ndimage

    if not mask.any():
        return np.zeros(mask.shape, dtype=np.float32)
    return np.asarray(
        ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm)[1:-1, 1:-1], dtype=np.float32
    )


def _rounded(mask: Bool, spacing_mm: tuple[float, float], reach_mm: float = 35.0) -> Bool:
    """The mask with bays up to 70 mm wide filled."""
    from scipy import ndimage

    room = [int(reach_mm / d) + 2 for d in spacing_mm]
    wide = np.pad(mask, [(n, n) for n in room])
    if not mask.any():
        return mask
    near = ndimage.distance_transform_edt(~wide, sampling=spacing_mm) <= reach_mm
    filled = ndimage.distance_transform_edt(np.pad(near, 1), sampling=spacing_mm)[1:-1, 1:-1] > reach_mm
    return np.asarray(filled[tuple(slice(n, -n) for n in room)] | mask)


def _background(mr: Array, outline: Bool, spacing_mm: tuple[float, float]) -> dict[str, float]:
    """What is seen outside the body, where there should be nothing but noise."""
    from scipy import ndimage

    outside = ndimage.distance_transform_edt(~outline, sampling=spacing_mm) > 6
    found = {
        f"border_{name}_{end}": _log(float(np.take(mr, lines, axis=axis).mean()), _FAINT)
        for axis, name in enumerate(("rows", "columns"))
        for end, lines in (("low", (0, 1)), ("high", (-2, -1)))
    }
    beside = {
        f"beside_{name}": _beside(mr, outside, np.asarray(outline.any(axis=axis, keepdims=True)))
        for axis, name in enumerate(("rows", "columns"))
    }
    if outside.sum() < 200:
        few = {"log_mean": 0.02, "log_bright": 0.02, "log_grain": 0.008, "log_shapes": 0.003, "log_patches": 0.005}
        return found | beside | {"share": 0.0} | {name: _log(value, 0.0) for name, value in few.items()}
    values = mr[outside]
    smooth = ndimage.gaussian_filter(mr, [2 / d for d in spacing_mm])
    return (
        found
        | beside
        | {
            "share": float(outside.mean()),
            "log_mean": _log(float(values.mean()), 0.4 * _FAINT),
            "log_bright": _log(float(np.quantile(values, 0.99)), 0.4 * _FAINT),
            "log_grain": _log(float((mr - smooth)[outside].std()), 0.15 * _FAINT),
            # smoothing takes white noise out, so what is left is structure, and small amounts of it count
            "log_shapes": _log(float(smooth[outside].std()), 0.04 * _FAINT),
            "log_patches": _log(float(np.quantile(smooth[outside], 0.99) - np.median(smooth[outside])), 0.08 * _FAINT),
        }
    )


def _beside(mr: Array, outside: Bool, level_with_head: Bool) -> float:
    """How much brighter it is beside the head than at the same side away from it: ghosts run along the phase axis."""
    beside, away = outside & level_with_head, outside & ~level_with_head
    if beside.sum() < 50 or away.sum() < 50:
        return 0.0
    return _log(float(mr[beside].mean()), 0.004) - _log(float(mr[away].mean()), 0.004)
