"""The results of a report: which tables and charts stand in which section."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mr2ct.evaluation.metric_names import metric_name
from mr2ct.evaluation.report_charts import bins_chart, distribution_chart, profile_chart
from mr2ct.evaluation.report_html import Html, figure
from mr2ct.evaluation.report_tables import (
    group_table,
    overall_table,
    paired_test_table,
    ranking_table,
    regrouped,
)
from mr2ct.evaluation.scoring import SKULL_FIGURES, Evaluation, centre_of
from mr2ct.evaluation.slice_profile import profile_band
from mr2ct.evaluation.summary import (
    by_centre,
    by_tissue,
    common_cases,
    compare,
    keys_in_order,
    summarise_figures,
    tissue_figures_of,
)

_FEWEST_TO_PLOT = 3


def image_results(evaluations: Sequence[Evaluation], *, seed: int) -> list[Html]:
    """The protocol's metrics overall and by centre, and how they are distributed."""
    keys = _image_keys(evaluations)
    overall = {e.model: summarise_figures(e.cases, seed=seed) for e in evaluations}
    shown = [
        key for key in (*keys, "mean_error_hu", "rmse_hu", "histogram_overlap") if key in overall[evaluations[0].model]
    ]
    parts = [overall_table("Image metrics inside the mask, over all cases.", overall, shown)]
    charts = [_distribution(evaluations, key) for key in keys]
    drawn = [chart for chart in charts if chart is not None]
    rows = "a row a model" if len(evaluations) > 1 else "a row a centre"
    if drawn and len(evaluations[0].cases) >= _FEWEST_TO_PLOT:
        parts.append(
            figure(
                drawn,
                f"Image metrics, a dot a case, {rows}. Boxes, from five cases on: quartiles and median.",
            )
        )
    centres = regrouped(evaluations, lambda e: by_centre(e, seed=seed))
    if len(centres) > 1:
        parts.append(group_table("Image metrics by centre: mean and its 95 % CI.", "centre", centres, keys))
    return parts


def _distribution(evaluations: Sequence[Evaluation], key: str) -> Html | None:
    if len(evaluations) > 1:
        rows = [(e.model, [case.score.image.get(key, math.nan) for case in e.cases]) for e in evaluations]
    else:
        cases = evaluations[0].cases
        rows = [
            (centre, [case.score.image.get(key, math.nan) for case in cases if centre_of(case) == centre])
            for centre in evaluations[0].centres
        ]
    return distribution_chart(rows, metric_name(key))


def tissue_results(evaluations: Sequence[Evaluation], *, seed: int) -> list[Html]:
    """Errors by tissue class of the true CT."""
    groups = regrouped(evaluations, lambda e: by_tissue(e, seed=seed))
    if not groups:
        return []
    caption = (
        "Errors by tissue of the true CT: mean over cases and its 95 % CI. A positive mean error is an sCT too dense."
    )
    parts = [group_table(caption, "tissue", groups, ("mae_hu", "mean_error_hu", "rmse_hu"))]
    first = evaluations[0]
    if len(first.cases) >= _FEWEST_TO_PLOT:
        charts = [
            distribution_chart(
                [(t, [tissue_figures_of(c).get(t, {}).get(key, math.nan) for c in first.cases]) for t in groups],
                metric_name(key),
            )
            for key in ("mae_hu", "mean_error_hu")
        ]
        drawn = [chart for chart in charts if chart is not None]
        parts.append(figure(drawn, f"Errors by tissue of {first.model}, a dot a case."))
    return parts


def error_places(evaluations: Sequence[Evaluation]) -> list[Html]:
    """Error from slice to slice, and by distance from bone."""
    parts = []
    bands = [(e.model, profile_band([case.profile for case in e.cases])) for e in evaluations]
    drawn = [(model, band) for model, band in bands if band is not None and band.depth_mm.size > 1]
    if drawn:
        first = [case.profile for case in evaluations[0].cases if len(case.profile.depth_mm) > 1]
        one = len(evaluations[0].cases) == 1
        caption = "Error by slice: MAE of each axial level inside the mask" + (
            "."
            if one
            else f"; median and quartiles over the cases that reach there, thin lines the {len(first)} cases"
            f"{f' of {evaluations[0].model}' if len(evaluations) > 1 else ''} with more than one level."
        )
        parts.append(figure([profile_chart(drawn, [] if one else first)], caption))
    chart = _bone_chart(evaluations)
    if chart is not None:
        caption = (
            "MAE by distance from the bone surface of the true CT, negative inside bone: "
            "median and quartiles over cases."
        )
        parts.append(figure([chart], caption))
    return parts


def _bone_chart(evaluations: Sequence[Evaluation]) -> Html | None:
    bins = sorted(
        {(b.above_mm, b.up_to_mm) for e in evaluations for case in e.cases for b in case.score.by_bone_distance}
    )
    if not bins:
        return None
    series = []
    for evaluation in evaluations:
        found: dict[tuple[float, float], list[float]] = {edges: [] for edges in bins}
        for case in evaluation.cases:
            for own in case.score.by_bone_distance:
                found[own.above_mm, own.up_to_mm].append(own.error.mae_hu)
        series.append((evaluation.model, list(found.values())))
    return bins_chart([_edges(*edges) for edges in bins], series, ("distance from bone surface (mm)", "MAE (HU)"))


def _edges(above: float, up_to: float) -> str:
    low, high = (f"{edge:g}".replace("-", "−") for edge in (above, up_to))
    if math.isinf(above):
        return f"≤ {high}"
    return f"> {low}" if math.isinf(up_to) else f"{low} to {high}"


def other_heading(evaluations: Sequence[Evaluation]) -> str:
    """What `other_results` are about."""
    extras = keys_in_order([case.extras for e in evaluations for case in e.cases])
    dose = any(key.startswith(("photon_", "proton_")) for key in extras)
    paths = any(key.startswith("path_length_") for key in extras)
    return (
        "Geometry"
        + (", path lengths" if paths and dose else " and path lengths" if paths else "")
        + (" and dose" if dose else "")
    )


def other_results(evaluations: Sequence[Evaluation], *, seed: int) -> list[Html]:
    """Bone, body and label geometry, path lengths and dose: whatever figures the cases have besides the image's."""
    overall = {e.model: summarise_figures(e.cases, seed=seed) for e in evaluations}
    geometry = keys_in_order([case.score.geometry for e in evaluations for case in e.cases])
    extras = keys_in_order([case.extras for e in evaluations for case in e.cases])
    geometry += [key for key in extras if key in SKULL_FIGURES]
    extras = [key for key in extras if key not in SKULL_FIGURES]
    return [
        overall_table("Geometry: bone, body outline and labels of the sCT against those of the CT.", overall, geometry),
        overall_table("Path lengths and dose: plan and beams on the CT, recalculated on the sCT.", overall, extras),
    ]


def comparison(evaluations: Sequence[Evaluation]) -> list[Html]:
    """Ranks and paired tests; nothing for a single model."""
    if len(evaluations) < 2:
        return []
    tests, ranks = compare(evaluations)
    n_cases = len(common_cases(evaluations))
    return [
        ranking_table(
            f"Ranks on the {n_cases} cases that every model has: 1 is the best of them on a metric, 0 the worst.",
            ranks,
        ),
        paired_test_table(
            "Paired tests, patient by patient. Typical differences below 0: the first model has the lower figure.",
            tests,
        ),
    ]


def _image_keys(evaluations: Sequence[Evaluation]) -> list[str]:
    return keys_in_order([case.score.image for e in evaluations for case in e.cases])
