"""What a model card says about a model's stated uncertainty: coverage by tissue and centre on held-out patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CARD_TITLE = "How sure it is"
RELIABILITY_FILE = "reliability.png"
"""The picture beside the card."""

_COLUMNS = ("all", "air", "soft tissue", "bone")


def uncertainty_section(calibration: Mapping[str, Any]) -> str:
    """Markdown for the key `calibration` of bundle.json as `scripts/calibrate.py` fills it in.

    Example
    -------
    >>> uncertainty_section({"interval": 0.9, "models": ["a"], "measured": {}})
    'Not measured.'
    """
    measured = calibration.get("measured", {})
    if not measured:
        return "Not measured."
    with_companions = measured["with_companions"]
    models = " and ".join(calibration["models"])
    lines = [
        f"`convert --uncertainty` states a {calibration['interval']:.0%} interval, sCT +/- half-width, from answers of "
        f"{models}. Share of the CT's voxels inside it, {with_companions['cases']} slices of "
        f"{with_companions['patients']} held-out patients, by true tissue:",
        "",
        f"| | {' | '.join(_COLUMNS)} |",
        f"|---|{'---|' * len(_COLUMNS)}",
        _row("all centres", with_companions["coverage"]),
        *(_row(f"centre {centre}", found) for centre, found in with_companions["coverage_by_centre"].items()),
    ]
    if "alone" in measured:
        lines.append(_row("this model alone, all centres", measured["alone"]["coverage"]))
    widths = ", ".join(f"{tissue} {hu:.0f}" for tissue, hu in with_companions["mean_half_width_hu"].items())
    agreement = with_companions["predicted_mae"]
    lines += [
        "",
        f"Mean half-width in HU: {widths}. Predicted and true MAE of a case correlate with "
        f"{_number(agreement['pearson_cases'])} (cases) and {_number(agreement['pearson_patients'])} (patients); they "
        f"differ by {agreement['mean_absolute_difference_hu']:.1f} HU on average.",
        "",
        f"![Stated and needed half-widths, coverage, predicted and true MAE]({RELIABILITY_FILE})",
    ]
    return "\n".join(lines)


def _row(name: str, shares: Mapping[str, float]) -> str:
    return f"| {name} | {' | '.join(_share(shares.get(column)) for column in _COLUMNS)} |"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.2f}"
