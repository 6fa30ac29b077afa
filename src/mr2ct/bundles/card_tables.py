"""The figures of a model as Markdown tables, for its card and for the page of all shipped models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mr2ct.bundles.evaluation_record import EvaluationRecord, Figure, Figures, WorstCase

COLUMNS: dict[str, tuple[str, int]] = {
    "mae_hu": ("MAE (HU)", 1),
    "psnr_db": ("PSNR (dB)", 2),
    "ssim": ("SSIM", 3),
    "ms_ssim": ("MS-SSIM", 3),
    "bone_dice": ("bone Dice", 3),
    "bone_hd95_mm": ("bone HD95 (mm)", 2),
    "body_dice": ("body Dice", 3),
    "mean_error_hu": ("mean error (HU)", 1),
    "rmse_hu": ("RMSE (HU)", 1),
    "bone_gradient_energy_percent": ("gradient energy in bone (% of the CT's)", 0),
    "brain_outline_moved_mm": ("brain outline moved (mm)", 2),
}
"""Key -> how a card calls it and its decimals; other figures stay in bundle.json alone."""

GROUP_COLUMNS = ("mae_hu", "psnr_db", "ms_ssim", "bone_dice")
TISSUE_COLUMNS = ("mae_hu", "mean_error_hu", "rmse_hu")
_TISSUES = ("air", "soft tissue", "bone")


def shown(figure: Figure | None, decimals: int) -> str:
    """A figure with its interval, "" where there is none.

    Example
    -------
    >>> shown(Figure(value=82.05, low=78.92, high=85.31, cases=72, patients=24), 1)
    '82.0 (78.9 to 85.3)'
    """
    if figure is None:
        return ""
    value = f"{figure.value:.{decimals}f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({figure.low:.{decimals}f} to {figure.high:.{decimals}f})"


def figure_table(rows: Mapping[str, Figures], columns: Sequence[str]) -> str:
    """A table of figures: a row for each name, a column for each key that any row has.

    Example
    -------
    >>> mae = Figure(value=80.04, cases=1, patients=1)
    >>> print(figure_table({"axial": {"mae_hu": mae}}, ["mae_hu", "ssim"]))
    | | MAE (HU) |
    |---|---|
    | axial | 80.0 |
    """
    kept = [key for key in columns if any(key in figures for figures in rows.values())]
    heads = [COLUMNS[key][0] for key in kept]
    body = [[name, *(shown(figures.get(key), COLUMNS[key][1]) for key in kept)] for name, figures in rows.items()]
    return markdown_table(["", *heads], body)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Example
    -------
    >>> print(markdown_table(["", "MB"], [["tiny", "5"]]))
    | | MB |
    |---|---|
    | tiny | 5 |
    """
    return "\n".join([_line(heads), "|" + "---|" * len(heads), *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def overall_table(record: EvaluationRecord) -> str:
    """Every figure of `COLUMNS` that the record has, one a row; those that some cases lack say how many had them."""
    rows = []
    for key, (name, decimals) in COLUMNS.items():
        figure = record.overall.get(key)
        if figure is not None:
            lacking = f", {figure.cases} of {record.n_cases} slices" if figure.cases < record.n_cases else ""
            rows.append([f"{name}{lacking}", shown(figure, decimals)])
    return markdown_table(["", "mean (interval)"], rows)


def group_rows(record: EvaluationRecord) -> dict[str, Figures]:
    """The groups of cases by plane, then by centre, as rows of `figure_table`."""
    centres = {f"centre {centre}": figures for centre, figures in record.by_centre.items()}
    return {**record.by_plane, **centres}


def worst_table(worst: Sequence[WorstCase]) -> str:
    """The worst cases: whose each is, its MAE, and its MAE in each tissue, in HU."""
    rows = [
        [
            case.case,
            case.plane,
            case.centre,
            f"{case.mae_hu:.1f}",
            *(f"{case.tissues_mae_hu[t]:.0f}" if t in case.tissues_mae_hu else "" for t in _TISSUES),
        ]
        for case in worst
    ]
    return markdown_table(["case", "plane", "centre", "MAE (HU)", *_TISSUES], rows)
