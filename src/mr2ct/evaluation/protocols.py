"""Named ways to score an sCT, so that two people's figures mean the same: a HU range and the metrics that use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError, GeometryError, InputError
from mr2ct.evaluation.image_metrics import masked_mae_hu, psnr_db, voxels_to_compare
from mr2ct.evaluation.ms_ssim import SMALLEST_SIZE, ms_ssim
from mr2ct.evaluation.ssim import WINDOW, ssim, thin_axes

Metric = Callable[..., float]


def _mae_hu(sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], **_: float) -> float:
    """No protocol clips for the MAE."""
    return masked_mae_hu(sct_hu, ct_hu, mask)


METRICS: dict[str, Metric] = {"mae_hu": _mae_hu, "psnr_db": psnr_db, "ssim": ssim, "ms_ssim": ms_ssim}
"""Name (with the unit, where there is one) to a function of (sct_hu, ct_hu, mask, *, lowest_hu, highest_hu)."""


@dataclass(frozen=True)
class Protocol:
    """A published way to score: its name, the HU range images are clipped to and measured by, and its metrics.

    Example
    -------
    >>> PROTOCOLS["synthrad2025"].metrics
    ('mae_hu', 'psnr_db', 'ms_ssim')
    """

    name: str
    lowest_hu: float
    highest_hu: float
    metrics: tuple[str, ...]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("synthrad2023", -1024, 3000, ("mae_hu", "psnr_db", "ssim")),
        Protocol("synthrad2025", -1024, 3000, ("mae_hu", "psnr_db", "ms_ssim")),
        Protocol("synthrad2025-evaluation", -1024, 3071, ("mae_hu", "psnr_db", "ms_ssim")),
    )
}
"""The metrics the SynthRAD challenges published (github.com/SynthRAD2023/metrics, github.com/SynthRAD2025/metrics), and
those their 2025 evaluation ran (github.com/SynthRAD2025/evaluation): the same but for the highest HU."""


def find_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises
    ------
    InputError : no such protocol; names those there are.

    Example
    -------
    >>> find_protocol("synthrad2025-evaluation").highest_hu
    3071
    """
    if name not in PROTOCOLS:
        raise InputError("unknown protocol", got=repr(name), expected=f"one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


@dataclass(frozen=True)
class ImageScore:
    """The metrics of a protocol, and in words what is to be known of them (a rule for thin images, why one is NaN)."""

    values: dict[str, float]
    notes: tuple[str, ...]


def image_metrics(
    sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], *, protocol: Protocol | str
) -> dict[str, float]:
    """The metrics of `protocol` by name: "mae_hu", "psnr_db", and "ssim" or "ms_ssim". See `score_image`.

    Example
    -------
    >>> image_metrics(np.full((9, 9, 9), 10.0), np.zeros((9, 9, 9)), np.ones((9, 9, 9)), protocol="synthrad2023")
    {'mae_hu': 10.0, 'psnr_db': 52.0931..., 'ssim': 0.9999...}
    """
    return score_image(sct_hu, ct_hu, mask, protocol=protocol).values


def score_image(
    sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any], *, protocol: Protocol | str
) -> ImageScore:
    """The metrics of `protocol` where `mask` is not zero, and notes on them.

    Parameters
    ----------
    sct_hu, ct_hu, mask : (i, j, k), one shape; HU, HU, non-zero inside. One axis may be a single voxel.
    protocol : one of `PROTOCOLS`, or its name.

    Raises
    ------
    InputError : no such protocol. GeometryError : different shapes, or not three axes.
    DataSetError : an empty mask, or voxels inside it that are not finite.

    Example
    -------
    >>> score_image(np.zeros((9, 9, 9)), np.zeros((9, 9, 9)), np.ones((9, 9, 9)), protocol="synthrad2023").notes
    ('PSNR is infinite: sCT and CT agree in every voxel of the mask',)
    """
    chosen = find_protocol(protocol) if isinstance(protocol, str) else protocol
    inside = voxels_to_compare(sct_hu, ct_hu, mask)
    _require_three_axes(inside)
    for name, hu in (("sCT", sct_hu), ("CT", ct_hu)):
        _require_finite(name, hu, inside)
    limits = {"lowest_hu": chosen.lowest_hu, "highest_hu": chosen.highest_hu}
    values = {name: METRICS[name](sct_hu, ct_hu, inside, **limits) for name in chosen.metrics}
    return ImageScore(values, tuple(_notes(values, inside.shape)))


def _require_three_axes(inside: NDArray[np.bool_]) -> None:
    if inside.ndim != 3:
        raise GeometryError("not an image volume", got=f"shape {inside.shape}", expected="three axes, (i, j, k)")


def _require_finite(name: str, hu: NDArray[Any], inside: NDArray[np.bool_]) -> None:
    if hu.dtype.kind != "f":
        return
    bad = int(np.count_nonzero(~np.isfinite(hu) & inside))
    if bad:
        raise DataSetError(
            f"the {name} has voxels that are not numbers",
            got=f"{bad} NaN or infinite voxels inside the mask",
            expected="finite HU",
            remedy="mend the image, or leave these voxels out of the mask",
        )


def _notes(values: dict[str, float], shape: tuple[int, ...]) -> list[str]:
    notes = []
    thin = thin_axes(shape)
    if values.get("psnr_db") == float("inf"):
        notes.append("PSNR is infinite: sCT and CT agree in every voxel of the mask")
    if "ssim" in values and np.isnan(values["ssim"]):
        notes.append(f"SSIM: no {WINDOW}-voxel window fits around a voxel of the mask, so there is no value")
    elif "ssim" in values and thin:
        notes.append(
            f"SSIM: the axis of {_voxels(shape[thin[0]])} is too thin for the published 7 x 7 x 7 window; "
            "its slices were compared in 7 x 7 windows"
        )
    if "ms_ssim" in values and np.isnan(values["ms_ssim"]):
        notes.append("MS-SSIM: a level has no voxel of the mask away from the border, so there is no value")
    elif "ms_ssim" in values and min(shape) < SMALLEST_SIZE:
        padded = ", ".join(str(n) for n in shape)
        notes.append(f"MS-SSIM: the image ({padded} voxels) was edge-padded to {SMALLEST_SIZE}, as published")
    return notes


def _voxels(count: int) -> str:
    return f"{count} voxel" if count == 1 else f"{count} voxels"
