"""The tables of a report, from summaries and cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from mr2ct.evaluation.comparison import PairedTest, Ranked
from mr2ct.evaluation.metric_names import MetricName, metric_name
from mr2ct.evaluation.report_html import Html, Table, render_table
from mr2ct.evaluation.scoring import Evaluation, centre_of
from mr2ct.evaluation.statistics import Summary
from mr2ct.evaluation.summary import figures_of, keys_in_order, tissue_figures_of

Summaries = Mapping[str, Summary]


def overall_table(caption: str, by_model: Mapping[str, Summaries], keys: Iterable[str]) -> Html:
    """A row a metric and model: mean with its interval, median, SD, quartiles, range, number of cases."""
    rows = []
    for key in keys:
        name = metric_name(key)
        for n, (model, summaries) in enumerate((m, s) for m, s in by_model.items() if key in s):
            first = name.heading if n == 0 else ""
            rows.append([first, *([model] if len(by_model) > 1 else []), *_spread(name, summaries[key])])
    if not rows:
        return Html("")
    models = ("model",) if len(by_model) > 1 else ()
    heads = ("metric", *models, "mean", "95 % CI", "median", "SD", "quartiles", "range", "cases")
    return render_table(Table(caption, heads, rows, numeric=7, grouped=len(by_model) > 1))


def _spread(name: MetricName, own: Summary) -> list[str]:
    return [
        name.show(own.mean),
        interval(name, own),
        name.show(own.median),
        name.show(own.sd),
        f"{name.show(own.q25)} to {name.show(own.q75)}",
        f"{name.show(own.lowest)} to {name.show(own.highest)}",
        str(own.n_cases),
    ]


def interval(name: MetricName, own: Summary) -> str:
    """The interval of a mean as text, or an en dash.

    Example
    -------
    >>> from mr2ct.evaluation.statistics import summarise
    >>> interval(metric_name("mae_hu"), summarise([1.0], ["a"]))
    '–'
    """
    low, high = own.ci95
    return f"{name.show(low)} to {name.show(high)}" if math.isfinite(low) else "–"


def group_table(caption: str, heading: str, groups: Mapping[str, Mapping[str, Summaries]], keys: Sequence[str]) -> Html:
    """A row a group (centre, tissue) and model, a column a metric: mean with its interval below.

    Parameters
    ----------
    groups : group -> model -> key -> summary. keys : the metrics of the columns.
    """
    models = keys_in_order(list(groups.values()))
    rows = []
    for group, by_model in groups.items():
        for n, (model, summaries) in enumerate(by_model.items()):
            first = group if n == 0 else ""
            cells = [_mean_and_interval(metric_name(key), summaries.get(key)) for key in keys]
            counts = next((summaries[key] for key in keys if key in summaries), None)
            shown = ["–", "–"] if counts is None else [str(counts.n_cases), str(counts.n_patients)]
            rows.append([first, *([model] if len(models) > 1 else []), *shown, *cells])
    headings = (heading, *(("model",) if len(models) > 1 else ()), "cases", "patients")
    names = tuple(metric_name(key).heading for key in keys)
    return render_table(Table(caption, headings + names, rows, numeric=2 + len(keys), grouped=len(models) > 1))


def _mean_and_interval(name: MetricName, own: Summary | None) -> str:
    if own is None or not own.n_cases:
        return "–"
    shown = interval(name, own)
    below = "" if shown == "–" else f'<br><span class="ci">{escape(shown)}</span>'
    return Html(f"{escape(name.show(own.mean))}{below}")


def paired_test_table(caption: str, tests: Sequence[PairedTest]) -> Html:
    """A row a metric and pair of models."""
    rows = []
    for n, test in enumerate(tests):
        name = metric_name(test.metric)
        first = name.heading if n == 0 or tests[n - 1].metric != test.metric else ""
        effect = f"{test.rank_biserial:+.2f}".replace("-", "−")
        rows.append(
            [
                first,
                f"{test.one} − {test.other}",
                str(test.n_patients),
                name.show(test.hodges_lehmann),
                effect,
                p_value(test.p),
                p_value(test.p_holm),
            ]
        )
    heads = ("metric", "models", "patients", "typical difference", "rank-biserial r", "p", "p (Holm)")
    return render_table(Table(caption, heads, rows, numeric=5, grouped=True))


def p_value(p: float) -> str:
    """A p value with two digits, "< 0.001" below that, an en dash where there is none.

    Example
    -------
    >>> p_value(0.0421), p_value(1e-7)
    ('0.042', '< 0.001')
    """
    if not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def ranking_table(caption: str, ranks: Sequence[Ranked]) -> Html:
    """A row a model, best first: its place, its mean score, its score on each metric."""
    metrics = keys_in_order([rank.scores for rank in ranks])
    rows = [
        [r.model, str(r.rank), f"{r.mean_score:.3f}", *(f"{r.scores[metric]:.3f}" for metric in metrics)] for r in ranks
    ]
    heads = ("model", "place", "mean score", *(metric_name(metric).label for metric in metrics))
    return render_table(Table(caption, heads, rows, numeric=2 + len(metrics)))


def case_table(caption: str, evaluation: Evaluation) -> Html:
    """A row a case: image metrics, MAE by tissue, geometry."""
    by_tissue = [tissue_figures_of(case) for case in evaluation.cases]
    tissues = keys_in_order(by_tissue)
    figures = [figures_of(case) for case in evaluation.cases]
    keys = [
        *keys_in_order([case.score.image for case in evaluation.cases]),
        *(
            key
            for key in ("bone_dice", "bone_hd95_mm", "body_dice", "body_hd95_mm")
            if any(key in own for own in figures)
        ),
    ]
    mae = metric_name("mae_hu")
    rows = [
        [
            case.pair.case,
            case.pair.patient,
            centre_of(case),
            *(metric_name(key).show(own.get(key)) for key in keys),
            *(mae.show(tissue.get(t, {}).get("mae_hu")) for t in tissues),
        ]
        for case, own, tissue in zip(evaluation.cases, figures, by_tissue, strict=True)
    ]
    heads = (
        "case",
        "patient",
        "centre",
        *(metric_name(key).heading for key in keys),
        *(f"{t} MAE (HU)" for t in tissues),
    )
    return render_table(Table(caption, heads, rows, numeric=len(keys) + len(tissues), small=True))


def checksum_table(caption: str, evaluation: Evaluation) -> Html:
    """A row a file: case, part, path, SHA-256."""
    rows = [
        [
            case.pair.case if n == 0 else "",
            part,
            str(getattr(case.pair, part)),
            Html(f'<span class="hash">{digest}</span>'),
        ]
        for case in evaluation.cases
        for n, (part, digest) in enumerate(case.checksums.items())
    ]
    return render_table(Table(caption, ("case", "part", "file", "SHA-256"), rows, small=True, grouped=True))


Grouping = Callable[[Evaluation], Mapping[str, Summaries]]


def regrouped(evaluations: Sequence[Evaluation], grouping: Grouping) -> dict[str, dict[str, Summaries]]:
    """Group -> model -> summaries, from what `grouping` says of each model."""
    found: dict[str, dict[str, Summaries]] = {}
    for evaluation in evaluations:
        for group, summaries in grouping(evaluation).items():
            found.setdefault(group, {})[evaluation.model] = summaries
    return found
