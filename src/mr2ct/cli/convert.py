"""`mr2ct convert`: files, DICOM folders and trees of MR become sCTs; done ones are skipped, failed ones are named."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mr2ct.errors import InputError, Mr2ctError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mr2ct.bundles import Bundle
    from mr2ct.inference import Translation, Translator
    from mr2ct.inference.translator import StageProgress
    from mr2ct.inference.worklist import WorkItem


def convert(  # noqa: PLR0913, PLR0917 - the command's options
    inputs: Annotated[
        list[Path],
        typer.Argument(help="MR files, DICOM folders, picture slices, or folders of them.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for the sCTs: <input's name>_sct.nii.gz.")],
    model: Annotated[str, typer.Option(help="A shipped model (see `mr2ct models`) or a bundle folder.")] = (
        "brain-attention-unet"
    ),
    planes: Annotated[str, typer.Option(help="all, axial, coronal or sagittal.")] = "all",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    preview: Annotated[bool, typer.Option("--preview", help="Also write <input's name>_preview.png.")] = False,
    mask: Annotated[Path | None, typer.Option(help="The body mask, on the grid of the one input.")] = None,
    series: Annotated[str | None, typer.Option(help="Which series of a DICOM folder: number or UID.")] = None,
    spacing_mm: Annotated[
        str | None, typer.Option(help="Voxel size of PNG/JPG slices: 1, or 0.5,0.5,3 (columns, rows, slices).")
    ] = None,
    output_format: Annotated[str, typer.Option("--format", help="nii.gz, mha, nrrd or png.")] = "nii.gz",
    force: Annotated[bool, typer.Option("--force", help="Convert also what looks like a CT.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Convert again what is done already.")] = False,
) -> None:
    """Turn MR files or DICOM folders into synthetic CTs in Hounsfield units.

    The sCT has the grid of the MR. A folder tree is mirrored under OUT; finished sCTs are skipped; a case that fails
    is reported and the others go on (exit code 1 at the end).
    """
    from mr2ct.bundles import find_bundle
    from mr2ct.inference.worklist import worklist

    options = _Options(planes, device, mask, series, _millimetres(spacing_mm), force, preview, output_format == "png")
    items = worklist(inputs, out, output_format=output_format, pictures=spacing_mm is not None)
    if mask is not None and len(items) > 1:
        raise InputError("one mask for several inputs", got=f"{len(items)} inputs", expected="one input with --mask")
    todo = [item for item in items if overwrite or not item.is_done]
    n_done = len(items) - len(todo)
    if n_done:
        typer.echo(f"{n_done} of {len(items)} done already, skipped; --overwrite converts again")
    if todo:
        failures = _convert_all(todo, _Converter(find_bundle(model), options))
        _summarise(len(todo), failures, n_done=n_done)


@dataclass(frozen=True)
class _Options:
    planes: str
    device: str
    mask: Path | None
    series: str | None
    spacing_mm: tuple[float, ...] | None
    force: bool
    preview: bool
    pictures: bool


@dataclass(frozen=True)
class _Converter:
    """Converts one item; the network is loaded when the first input has turned out to be readable."""

    bundle: Bundle
    options: _Options

    @cached_property
    def translator(self) -> Translator:
        from mr2ct.inference import Translator

        return Translator.from_bundle(self.bundle, device=self.options.device)

    def __call__(self, item: WorkItem, progress: StageProgress) -> Translation:
        from mr2ct.io import read_volume, write_volume
        from mr2ct.io.images import write_pictures
        from mr2ct.volume import Quantity

        chosen = self.options
        progress("reading", 0.0)
        mr = read_volume(item.source, series=chosen.series, spacing_mm=chosen.spacing_mm, force=chosen.force)
        mask = None if chosen.mask is None else read_volume(chosen.mask, quantity=Quantity.MASK)
        translation = self.translator.translate(
            mr, planes=chosen.planes, mask=mask, force=chosen.force, progress=progress
        )
        progress("writing", 0.0)
        if chosen.preview:
            from mr2ct.io.preview import write_preview

            write_preview(item.preview, {"MR": mr, "sCT": translation.sct})
        # last, because the sCT is what marks a case as done
        write = write_pictures if chosen.pictures else write_volume
        write(translation.sct, item.output)
        return translation


def _convert_all(items: Sequence[WorkItem], converter: Callable[[WorkItem, StageProgress], Translation]) -> int:
    """Convert item by item and say how each went; the number of failures. A single item's error is raised."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    failures = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        for number, item in enumerate(items, start=1):
            title = f"{number}/{len(items)} {item.source.name}"

            def show(stage: str, share: float, title: str = title) -> None:
                bar.update(task, description=f"{title}: {stage}", completed=share)

            try:
                _report(item, converter(item, show))
            except Exception as error:  # a case that fails, for whatever reason, must not stop the others
                if len(items) == 1:
                    raise
                failures += 1
                typer.echo(f"failed: {item.source}: {_in_words(error)}", err=True)
    return failures


def _report(item: WorkItem, translation: Translation) -> None:
    seconds = sum(translation.seconds.values())
    planes = f" ({', '.join(translation.planes)})" if translation.planes else ""
    typer.echo(f"{item.output}: {seconds:.1f} s{planes}")
    for warning in translation.warnings:
        typer.echo(f"warning: {item.source}: {warning}", err=True)


def _in_words(error: Exception) -> str:
    if isinstance(error, Mr2ctError | OSError):
        return str(error)
    return (
        f"unexpected {type(error).__name__}: {error}; convert it alone with `mr2ct --debug convert` for the traceback"
    )


def _summarise(n_tried: int, failures: int, *, n_done: int) -> None:
    if n_tried > 1:
        skipped = f", {n_done} skipped" if n_done else ""
        typer.echo(f"{n_tried - failures} converted, {failures} failed{skipped}")
    if failures:
        raise typer.Exit(1)


def _millimetres(words: str | None) -> tuple[float, ...] | None:
    if words is None:
        return None
    try:
        sizes = tuple(float(word) for word in words.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) not in (1, 3) or min(sizes) <= 0:
        raise InputError("unusable --spacing-mm", got=repr(words), expected="one size above 0, or three with commas")
    return sizes * 3 if len(sizes) == 1 else sizes
