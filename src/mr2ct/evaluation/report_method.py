"""How the figures of a report were made, in words that let another person make them again."""

from __future__ import annotations

from collections.abc import Sequence

from mr2ct.evaluation.protocols import Protocol, find_protocol
from mr2ct.evaluation.scoring import SKULL_FIGURES, Evaluation
from mr2ct.evaluation.statistics import N_RESAMPLES
from mr2ct.evaluation.tissue_metrics import DEFAULT_THRESHOLDS, TissueThresholds

_METRICS = {
    "mae_hu": "MAE: mean of |sCT − CT| over the voxels of the mask, without clipping.",
    "psnr_db": (
        "PSNR: both images clipped to {low} to {high} HU; 10 log10(R² / mean squared error) over the mask's voxels, "
        "with R = {span} HU."
    ),
    "ssim": (
        "SSIM: both images clipped to {low} to {high} HU, set to {low} HU outside the mask and shifted by {shift} HU; "
        "uniform window of 7 × 7 × 7 voxels, sample covariance, data range {span} HU; mean of the map over the mask, "
        "3 voxels from each face left out."
    ),
    "ms_ssim": (
        "MS-SSIM: both images clipped to {low} to {high} HU, set to {low} HU outside the mask, shifted by {shift} HU "
        "and edge-padded to 97 voxels an axis; five levels, a 2 × 2 × 2 mean apart, weighted 0.0448, 0.2856, 0.3001, "
        "0.2363 and 0.1333 on luminance, contrast and structure at every level, as published; data range {span} HU; "
        "mean over the mask, 3 voxels from each face left out."
    ),
}
_OTHER = (
    "Dice and HD95 (95th percentile of surface distances, the larger of both directions) compare the bone inside the "
    "mask, the outline of the body, and label maps where both are given.",
    "Histogram overlap: the common area of both HU histograms inside the mask, 1 for equal ones.",
)
_SKULL = (
    "Gradient energy in bone: sum of squared HU gradients of the sCT over the CT's bone, in percent of the CT's own. "
    "Brain outline moved: mean distance between the outlines of what bone encloses in the sCT and in the CT, where "
    "they lie beside bone; cases without such an outline have no value."
)


def method_sentences(
    evaluations: Sequence[Evaluation], *, seed: int, thresholds: TissueThresholds = DEFAULT_THRESHOLDS
) -> list[str]:
    """Protocol, mask, tissues, statistics: a sentence or two each.

    Example
    -------
    >>> method_sentences([Evaluation("m", "synthrad2023", ())], seed=0)[0]
    'Protocol synthrad2023: HU range −1024 to 3000; metrics MAE, PSNR and SSIM as the challenge published them.'
    """
    protocol = find_protocol(evaluations[0].protocol)
    sentences = [
        _protocol(protocol),
        *(_METRICS[key].format(**_range(protocol)) for key in protocol.metrics),
        _tissues(thresholds),
        *_OTHER,
    ]
    if any(SKULL_FIGURES[0] in case.extras for evaluation in evaluations for case in evaluation.cases):
        sentences.append(_SKULL)
    sentences.append(_mask(evaluations))
    sentences.append(
        "Mean, median, standard deviation (SD) and quartiles are over cases. Confidence intervals (CI) are of the "
        f"mean, by percentile bootstrap: {N_RESAMPLES} resamples of patients, each with all their cases, seed {seed}. "
        "No interval is given for a single patient."
    )
    if len(evaluations) > 1:
        sentences.append(
            "Models are compared on the cases that all of them have. Tests are two-sided Wilcoxon signed-rank tests on "
            "means by patient, corrected by Holm's method over all tests of the table; effect sizes are the "
            "Hodges–Lehmann difference and the matched-pairs rank-biserial correlation (−1 to 1). Ranks are by the "
            "mean of (v − worst) / (best − worst) over the metrics."
        )
    return sentences


def _tissues(thresholds: TissueThresholds) -> str:
    air, bone, lung = (
        f"{hu:g}".replace("-", "−") for hu in (thresholds.air_below, thresholds.bone_above, thresholds.lung_above)
    )
    return (
        f"Tissue classes are those of the true CT: air below {air} HU, bone above {bone} HU, soft tissue (fat "
        f"included) between; large connected regions from {lung} to {air} HU are lung, where there are any."
    )


def _protocol(protocol: Protocol) -> str:
    shown = {"mae_hu": "MAE", "psnr_db": "PSNR", "ssim": "SSIM", "ms_ssim": "MS-SSIM"}
    *names, last = (shown.get(key, key) for key in protocol.metrics)
    low, high = _range(protocol)["low"], _range(protocol)["high"]
    metrics = f"{', '.join(names)} and {last}" if names else last
    return f"Protocol {protocol.name}: HU range {low} to {high}; metrics {metrics} as the challenge published them."


def _range(protocol: Protocol) -> dict[str, str]:
    low, high = protocol.lowest_hu, protocol.highest_hu
    return {"low": f"{low:g}".replace("-", "−"), "high": f"{high:g}", "span": f"{high - low:g}", "shift": f"{-low:g}"}


def _mask(evaluations: Sequence[Evaluation]) -> str:
    counts: dict[str, int] = {}
    for case in evaluations[0].cases:
        counts[case.mask_from] = counts.get(case.mask_from, 0) + 1
    if len(counts) == 1:
        return f"All figures are inside a mask: the {next(iter(counts))} of each case."
    return "All figures are inside a mask: " + ", ".join(f"{name} ({n} cases)" for name, n in counts.items()) + "."
