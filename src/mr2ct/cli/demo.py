"""`mr2ct demo`: a first result on any machine. A digital head, or the user's own MR, becomes a CT, with figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.cli.shared import require_fit

if TYPE_CHECKING:
    from rich.table import Table

    from mr2ct.bundles import BundleDescription
    from mr2ct.inference import Translation
    from mr2ct.preprocessing.pipeline import Prepared
    from mr2ct.volume import Volume


def demo(
    mri: Annotated[
        Path | None,
        typer.Argument(help="Your MR file or DICOM folder; the head phantom without one.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="A shipped model (see `mr2ct models`) or a bundle folder.")] = (
        "brain-multiscale-attention"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Which head: each seed is another anatomy.")] = 1,
    contrast: Annotated[str, typer.Option(help="MR contrast of the phantom, such as t1_mprage or t2.")] = "t1_mprage",
    spacing_mm: Annotated[float, typer.Option(help="Voxel size of the phantom.")] = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Show a first result: the head phantom, or your own MR, becomes a CT.

    OUT gets mr.nii.gz, sct.nii.gz, preview.png and, for the phantom, its true ct.nii.gz.
    """
    from mr2ct.bundles import find_bundle
    from mr2ct.inference import Translator
    from mr2ct.io import read_volume
    from mr2ct.io.atomic import require_writable

    bundle = find_bundle(model)
    require_writable(out)
    start = time.perf_counter()
    prepared = None
    if mri is None:
        typer.echo(f"making a head phantom (seed {seed}, {contrast}) ...")
        mr, ct = phantom_pair(seed, contrast, spacing_mm=spacing_mm)
    else:
        typer.echo(f"reading {mri} ...")
        with _pointing_to_convert(mri):
            mr, ct = read_volume(mri), None
            prepared = _checked(mr, bundle.description)
    seconds = {"phantom" if mri is None else "reading": time.perf_counter() - start}
    typer.echo(f"converting with {bundle.description.name} ...")
    translation = Translator.from_bundle(bundle, device=device).translate(mr, prepared=prepared)
    _write(out, mr, translation.sct, ct)
    _print(translation, ct, seconds | dict(translation.seconds))
    typer.echo(f"written to {out}/: " + ", ".join(sorted(file.name for file in _files(out, ct is not None))))


@contextmanager
def _pointing_to_convert(mri: Path) -> Iterator[None]:
    """What needs to be told more than a path is for `mr2ct convert`, and errors say so."""
    from mr2ct.errors import Mr2ctError

    try:
        yield
    except Mr2ctError as error:
        if error.remedy is None or "--" not in error.remedy:
            raise
        remedy = f"use `mr2ct convert {mri} -o OUT`: {error.remedy}"
        raise type(error)(error.what, got=error.got, expected=error.expected, remedy=remedy) from error


def _checked(mr: Volume, description: BundleDescription) -> Prepared | None:
    """The user's MR, prepared, once the input check's warnings are said; InputError where it refuses."""
    from mr2ct.trust.input_check import check_and_prepare

    verdict, prepared = check_and_prepare(mr, description)
    require_fit(verdict, description.name)
    for finding in verdict.findings:
        typer.echo(f"warning: {finding.sentence}", err=True)
    return prepared


def phantom_pair(seed: int, contrast: str, *, spacing_mm: float) -> tuple[Volume, Volume]:
    """The MR and the true CT of one phantom head.

    Raises
    ------
    InputError : an unknown contrast.

    Example
    -------
    >>> mr, ct = phantom_pair(1, "t2", spacing_mm=8.0)
    >>> mr.geometry == ct.geometry
    True
    """
    from mr2ct.errors import InputError
    from mr2ct.phantom import CONTRASTS, head_phantom, simulate_ct, simulate_mr

    if contrast not in CONTRASTS:
        raise InputError("unknown contrast", got=repr(contrast), expected=f"one of {', '.join(CONTRASTS)}")
    head = head_phantom(seed, spacing_mm=spacing_mm)
    return simulate_mr(head, CONTRASTS[contrast], seed=seed), simulate_ct(head, seed)


def _files(out: Path, with_truth: bool) -> list[Path]:
    names = ["mr.nii.gz", "sct.nii.gz", "preview.png", *(["ct.nii.gz"] if with_truth else [])]
    return [out / name for name in names]


def _write(out: Path, mr: Volume, sct: Volume, ct: Volume | None) -> None:
    from mr2ct.io import write_volume
    from mr2ct.io.preview import write_preview

    write_volume(mr, out / "mr.nii.gz")
    write_volume(sct, out / "sct.nii.gz")
    panels = {"MR": mr, "sCT": sct}
    if ct is not None:
        write_volume(ct, out / "ct.nii.gz")
        panels["CT"] = ct
    elif (out / "ct.nii.gz").exists():
        typer.echo(f"note: {out / 'ct.nii.gz'} is of an earlier demo, not of this MR", err=True)
    write_preview(out / "preview.png", panels)


def _print(translation: Translation, ct: Volume | None, seconds: dict[str, float]) -> None:
    from rich.console import Console

    console = Console()
    for warning in translation.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if ct is not None:
        console.print(_errors_table(translation.sct, ct))
    console.print(_cost_table(seconds))


def _errors_table(sct: Volume, ct: Volume) -> Table:
    from rich.table import Table

    from mr2ct.evaluation import hu_error_by_tissue
    from mr2ct.preprocessing.body_mask import body_mask

    table = Table("tissue", title="sCT against the phantom's true CT, inside the head")
    for heading in ("MAE (HU)", "mean error (HU)", "RMSE (HU)", "voxels"):
        table.add_column(heading, justify="right")
    for tissue, error in hu_error_by_tissue(sct.voxels, ct.voxels, body_mask(ct).voxels).items():
        figures = (f"{error.mae_hu:.0f}", f"{error.mean_error_hu:+.0f}", f"{error.rmse_hu:.0f}", f"{error.n_voxels:,}")
        table.add_row(tissue, *figures)
    return table


def _cost_table(seconds: dict[str, float]) -> Table:
    from rich.table import Table

    table = Table("stage", title="time and memory")
    table.add_column("seconds", justify="right")
    for stage, taken in seconds.items():
        table.add_row(stage, f"{taken:.1f}")
    table.add_row("peak memory", f"{peak_memory_mb():,.0f} MB")
    return table


def peak_memory_mb() -> float:
    """The most memory this process has held, in MB (10^6 bytes).

    Example
    -------
    >>> peak_memory_mb() > 1
    True
    """
    import resource

    # Linux counts kibibytes, macOS bytes
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
