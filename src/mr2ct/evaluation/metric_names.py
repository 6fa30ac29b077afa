"""What a figure's key means: its name for people, its unit, and which way is better.

Keys are made by the metric rooms (`mae_hu`, `bone_hd95_mm`); a key that stands in no table still gets a name and a unit
from its own words, so a new metric shows up in the report by itself.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

LOWER, HIGHER, NEITHER = "lower", "higher", ""


@dataclass(frozen=True)
class MetricName:
    """How a figure is shown: `better` is "lower", "higher", or "" where neither is (a signed difference)."""

    label: str
    unit: str
    better: str
    decimals: int

    @property
    def heading(self) -> str:
        """The label with the unit in brackets, for the head of a table.

        Example
        -------
        >>> metric_name("mae_hu").heading
        'MAE (HU)'
        """
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def show(self, value: float | None) -> str:
        """A value with this metric's decimals, a real minus sign, and an en dash where there is none.

        Example
        -------
        >>> metric_name("mae_hu").show(61.26), metric_name("ssim").show(float("nan"))
        ('61.3', '–')
        """
        if value is None or not math.isfinite(value):
            return "–"
        shown = f"{value:.{self.decimals}f}"
        return f"−{shown[1:]}" if shown.startswith("-") and float(shown) else shown.lstrip("-")


IMAGE_METRICS: dict[str, MetricName] = {
    "mae_hu": MetricName("MAE", "HU", LOWER, 1),
    "psnr_db": MetricName("PSNR", "dB", HIGHER, 2),
    "ssim": MetricName("SSIM", "", HIGHER, 4),
    "ms_ssim": MetricName("MS-SSIM", "", HIGHER, 4),
}
"""The challenge's metrics, in the order of the first columns of `cases.csv`."""

NAMED: dict[str, MetricName] = {
    **IMAGE_METRICS,
    "mean_error_hu": MetricName("mean error", "HU", NEITHER, 1),
    "rmse_hu": MetricName("RMSE", "HU", LOWER, 1),
    "histogram_overlap": MetricName("HU histogram overlap", "", HIGHER, 3),
    "bone_gradient_energy_percent": MetricName("gradient energy in bone", "% of the CT's", NEITHER, 1),
    "brain_outline_moved_mm": MetricName("brain outline moved", "mm", LOWER, 2),
}
"""Figures with a name of their own."""

_UNITS = {"hu": ("HU", 1), "db": ("dB", 2), "mm": ("mm", 2), "gy": ("Gy", 2), "percent": ("%", 2), "kev": ("keV", 1)}
_WORDS = {
    "hd95": "HD95",
    "dice": "Dice",
    "mae": "MAE",
    "rmse": "RMSE",
    "ct": "CT",
    "sct": "sCT",
    "drr": "DRR",
    "wepl": "WEPL",
    "dvh": "DVH",
    "d98": "D98",
    "d95": "D95",
    "d50": "D50",
    "d2": "D2",
    "v95": "V95",
    "p95": "95th percentile",
}
_HIGHER_WORDS, _LOWER_WORDS = {"dice", "overlap", "correlation"}, {"hd95", "mae", "rmse", "p95"}
_GAMMA = re.compile(r"((?:[a-z]+_)?)gamma_pass_(\d+)_(\d+)_percent")


def metric_name(key: str) -> MetricName:
    """The name of a figure by its key; made from the key's words where it stands in no table.

    Example
    -------
    >>> metric_name("bone_hd95_mm")
    MetricName(label='bone HD95', unit='mm', better='lower', decimals=2)
    """
    if key in NAMED:
        return NAMED[key]
    criterion = _GAMMA.fullmatch(key)
    if criterion:
        beam, percent, distance_mm = criterion.groups()
        return MetricName(f"{beam.replace('_', ' ')}γ pass rate {percent} %/{distance_mm} mm", "%", HIGHER, 1)
    words = key.split("_")
    units = [word for word in words[1:] if word in _UNITS]
    unit, decimals = _UNITS[units[-1]] if units else ("", 3)
    if units:
        words.remove(units[-1])
    better = HIGHER if _HIGHER_WORDS & set(words) else LOWER if _LOWER_WORDS & set(words) else NEITHER
    return MetricName(" ".join(_WORDS.get(word, word) for word in words), unit, better, decimals)
