"""`mr2ct convert`: files, DICOM folders and trees of MR become sCTs; done ones are skipped, failed ones are named."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mr2ct.cli.shared import millimetres, require_fit
from mr2ct.errors import InputError, Mr2ctError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mr2ct.bundles import Bundle, EnsembleBundle
    from mr2ct.inference import Ensemble, Translation, Translator
    from mr2ct.inference.translator import StageProgress
    from mr2ct.inference.worklist import WorkItem
    from mr2ct.preprocessing.pipeline import Prepared
    from mr2ct.trust.uncertainty import Uncertain
    from mr2ct.trust.verdict import InputVerdict
    from mr2ct.volume import Volume

DEFAULT = "brain-multiscale-attention"  # as mr2ct.bundles.DEFAULT_MODEL, which --help must not wait for

Flips = Annotated[
    bool | None,
    typer.Option(
        "--flips/--no-flips",
        help="Take the mean of the head and its mirror image, or not; default: where one plane alone is converted.",
        show_default=False,
    ),
]


def convert(  # noqa: PLR0913, PLR0917 - the command's options
    inputs: Annotated[
        list[Path],
        typer.Argument(help="MR files, DICOM folders, picture slices, or folders of them.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for the sCTs: <input's name>_sct.nii.gz.")],
    model: Annotated[str | None, typer.Option(help="A shipped model or a bundle folder.", show_default=DEFAULT)] = None,
    best: Annotated[bool, typer.Option("--best", help="The mean of the best models: slower.")] = False,
    flips: Flips = None,
    planes: Annotated[str, typer.Option(help="all, axial, coronal or sagittal.")] = "all",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    preview: Annotated[bool, typer.Option("--preview", help="Also write <input's name>_preview.png.")] = False,
    mask: Annotated[Path | None, typer.Option(help="The body mask, on the grid of the one input.")] = None,
    series: Annotated[str | None, typer.Option(help="Which series of a DICOM folder: number or UID.")] = None,
    spacing_mm: Annotated[
        str | None, typer.Option(help="Voxel size of PNG/JPG slices: 1, or 0.5,0.5,3 (columns, rows, slices).")
    ] = None,
    output_format: Annotated[str, typer.Option("--format", help="nii.gz, mha, nrrd or png.")] = "nii.gz",
    force: Annotated[bool, typer.Option("--force", help="Convert also what the input check refuses.")] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Also write <input's name>_uncertainty: +/- HU around each voxel.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Convert again what is done already.")] = False,
) -> None:
    """Turn MR files or DICOM folders into synthetic CTs in Hounsfield units.

    The sCT has the grid of the MR, and a JSON record beside it. An input that is not what the model was trained on is
    refused (see `mr2ct check`). A folder tree is mirrored under OUT; finished sCTs are skipped, unless they are of
    another input or were asked for otherwise, which is an error; a case that fails is reported and the others go on
    (exit code 1 at the end).
    """
    from mr2ct.inference.planes import require_plane
    from mr2ct.inference.worklist import worklist
    from mr2ct.io.atomic import require_writable

    pictures = output_format == "png"
    sizes = millimetres(spacing_mm)
    chosen = _chosen_model(model, best=best, flips=flips, uncertainty=uncertainty)
    options = _Options(planes, device, mask, series, sizes, force, preview, pictures, uncertainty, flips)
    items = worklist(inputs, out, output_format=output_format, pictures=spacing_mm is not None)
    if mask is not None and len(items) > 1:
        raise InputError("one mask for several inputs", got=f"{len(items)} inputs", expected="one input with --mask")
    require_plane(planes)
    require_writable(out)
    _convert_unless_done(items, chosen, options, overwrite=overwrite)


def _chosen_model(model: str | None, *, best: bool, flips: bool | None, uncertainty: bool) -> str:
    from mr2ct.bundles import BEST, DEFAULT_MODEL

    if best and model is not None:
        raise InputError(
            "two models at once",
            got=f"--best and --model {model}",
            expected="one of them",
            remedy="leave one of them away",
        )
    chosen = BEST if best else model or DEFAULT_MODEL
    if flips is False and (uncertainty or chosen == BEST):
        raise InputError(
            "the models' uncertainty is calibrated with flips" if uncertainty else "the best sCT always has flips",
            got=f"--no-flips and {'--uncertainty' if uncertainty else '--best'}",
            expected="one of them",
            remedy="leave --no-flips away",
        )
    return chosen


def _convert_unless_done(items: Sequence[WorkItem], model: str, options: _Options, *, overwrite: bool) -> None:
    from mr2ct.bundles import find_model
    from mr2ct.inference.earlier import require_as_asked
    from mr2ct.inference.engine import resolve_device
    from mr2ct.inference.ensemble import require_flips_known

    found = find_model(model)
    require_flips_known(found, flips=options.flips)
    todo, asked = [], options.asked_of(model, found)
    for item in items:
        if overwrite or not item.is_done:
            todo.append(item)
        else:
            require_as_asked(item, asked, preview=options.preview, uncertainty=options.uncertainty)
    n_done = len(items) - len(todo)
    if n_done:
        typer.echo(f"{n_done} of {len(items)} done already, skipped; --overwrite converts again")
    if todo:
        resolve_device(options.device)
        if options.uncertainty:
            _require_calibrated(found)
        failures = _convert_all(todo, _Converter(found, options, asked))
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
    uncertainty: bool
    flips: bool | None

    def asked_of(self, model: str, found: Bundle | EnsembleBundle) -> dict[str, Any]:
        """What shapes an sCT, as its record keeps it."""
        from mr2ct.inference.earlier import input_sha256, weights_of

        return {
            "model": model,
            "model_checksum": weights_of(found),
            "planes": self.planes,
            "flips": self.flips,
            "series": self.series,
            "spacing_mm": None if self.spacing_mm is None else list(self.spacing_mm),
            # a whole head in one plane is shown tilted without it alone
            "uncertainty": self.uncertainty and self.planes != "all",
            "mask": None if self.mask is None else f"{self.mask.name}, SHA-256 {input_sha256(self.mask)}",
        }


@dataclass(frozen=True)
class _Converted:
    translation: Translation
    verdict: InputVerdict
    uncertain: Uncertain | None = None


@dataclass(frozen=True)
class _Converter:
    """Converts one item; the network is loaded when the first input has turned out to be fit for it."""

    model: Bundle | EnsembleBundle
    options: _Options
    asked_for: dict[str, Any]

    @cached_property
    def lead(self) -> Bundle:
        """The model whose training images the input is compared with."""
        from mr2ct.bundles import EnsembleBundle

        return self.model.members[0] if isinstance(self.model, EnsembleBundle) else self.model

    @cached_property
    def translator(self) -> Translator | Ensemble:
        from mr2ct.inference import load_model

        return load_model(self.model, device=self.options.device, flips=self.options.flips)

    @cached_property
    def asked(self) -> tuple[Translator, ...]:
        """For an interval: an ensemble's members; or the chosen model, then those that its calibration was made with,
        as far as they are there.
        """
        from mr2ct.bundles import find_bundle
        from mr2ct.errors import BundleError
        from mr2ct.inference import Ensemble, Translator

        if isinstance(self.translator, Ensemble):
            return self.translator.members
        members = [self.translator]
        for name in (_calibration_of(self.model) or {}).get("models", []):
            # one model is enough for an interval, a wider one
            with suppress(BundleError):
                if name != self.lead.description.name:
                    members.append(Translator.from_bundle(find_bundle(name), device=self.options.device))
        return tuple(members)

    def __call__(self, item: WorkItem, progress: StageProgress) -> _Converted:
        from mr2ct.inference.earlier import input_sha256
        from mr2ct.io import read_volume
        from mr2ct.trust.input_check import check_and_prepare
        from mr2ct.volume import Quantity

        chosen = self.options
        progress("reading", 0.0)
        mr = read_volume(item.source, series=chosen.series, spacing_mm=chosen.spacing_mm, force=chosen.force)
        checksum = input_sha256(item.source)
        mask = None
        if chosen.mask is not None:
            mask = read_volume(chosen.mask, quantity=Quantity.MASK, spacing_mm=chosen.spacing_mm)
        progress("checking", 0.0)
        verdict, prepared = check_and_prepare(mr, self.lead.description, mask=mask)
        if not chosen.force:
            require_fit(verdict, self.lead.description.name)
        if chosen.uncertainty:
            uncertain = self._uncertain(mr, mask, prepared, progress)
            done = _Converted(uncertain.translation, verdict, uncertain)
        else:
            translation = self.translator.translate(
                mr, planes=chosen.planes, mask=mask, force=chosen.force, progress=progress, prepared=prepared
            )
            done = _Converted(translation, verdict)
        return self._written(item, mr, checksum, done, progress)

    def _uncertain(
        self, mr: Volume, mask: Volume | None, prepared: Prepared | None, progress: StageProgress
    ) -> Uncertain:
        from mr2ct.inference import Ensemble
        from mr2ct.trust.calibration import Calibration
        from mr2ct.trust.uncertainty import body_uncertainty

        known = Calibration.from_record(_calibration_of(self.model) or {})
        body = self.asked[0].prepare(mr, mask=mask, force=self.options.force, prepared=prepared)
        uncertain = body_uncertainty(body, self.asked, known, planes=self.options.planes, progress=progress)
        if isinstance(self.translator, Ensemble):
            return replace(uncertain, translation=self.translator.recorded(uncertain.translation))
        return uncertain

    def _written(
        self, item: WorkItem, mr: Volume, checksum: str, done: _Converted, progress: StageProgress
    ) -> _Converted:
        import json

        from mr2ct.io import write_volume
        from mr2ct.io.images import write_pictures
        from mr2ct.io.preview import write_preview

        progress("writing", 0.0)
        write = write_pictures if self.options.pictures else write_volume
        # all are written before the first is put in place, so that a full disk leaves an earlier conversion as it was;
        # put in place in the reverse order: the sCT last, because it marks a case as done
        with ExitStack() as together:
            write(done.translation.sct, together.enter_context(_in_place(item.output)))
            if done.uncertain is not None:
                write(done.uncertain.half_width_hu, together.enter_context(_in_place(item.uncertainty)))
            if self.options.preview:
                partial = together.enter_context(_in_place(item.preview))
                write_preview(partial, {"MR": mr, "sCT": done.translation.sct})
            record = _record(item, done, checksum, asked=self.asked_for, forced=self.options.force)
            text = json.dumps(record, indent=1) + "\n"
            together.enter_context(_in_place(item.record)).write_text(text, encoding="utf-8")
        return done


def _calibration_of(model: Bundle | EnsembleBundle) -> dict[str, Any] | None:
    from mr2ct.bundles import EnsembleBundle

    return model.calibration if isinstance(model, EnsembleBundle) else model.description.calibration


def _require_calibrated(model: Bundle | EnsembleBundle) -> None:
    from mr2ct.bundles import EnsembleBundle

    if _calibration_of(model) is None:
        words, got = "the model holds no calibration", model.folder.name
        if isinstance(model, EnsembleBundle):
            words = f"{model.name} was not calibrated with these members"
            got = ", ".join(member.description.name for member in model.members)
        raise InputError(
            f"{words}, so its uncertainty is not known",
            got=got,
            expected="a model that was calibrated on held-out patients",
            remedy="choose a shipped model, or leave --uncertainty away",
        )


def _in_place(path: Path) -> AbstractContextManager[Path]:
    """A partial file, or folder of pictures, that becomes `path` in the end."""
    from mr2ct.io.atomic import atomic_file, atomic_folder
    from mr2ct.io.images import FOLDER_SIDECAR

    return atomic_file(path) if path.suffix else atomic_folder(path, replace=(path / FOLDER_SIDECAR).is_file())


def _record(item: WorkItem, done: _Converted, checksum: str, *, asked: dict[str, Any], forced: bool) -> dict[str, Any]:
    """What was converted, by what, and what the check had said."""
    from mr2ct.inference.earlier import ASKED, INPUT_CHECKSUM
    from mr2ct.trust.verdict import Verdict

    record = {
        "input": str(item.source),
        INPUT_CHECKSUM: checksum,
        "output": item.output.name,
        ASKED: asked,
        "input_check": {**done.verdict.to_json(), "forced": forced and done.verdict.verdict is Verdict.REFUSE},
        "warnings": list(done.translation.warnings),
        "seconds": {stage: round(seconds, 2) for stage, seconds in done.translation.seconds.items()},
        **done.translation.record,
    }
    if done.uncertain is not None:
        record["uncertainty"] = {
            "interval": done.uncertain.interval,
            "predicted_mae_hu": round(done.uncertain.predicted_mae_hu, 1),
            "models": list(done.uncertain.members),
        }
    return record


def _convert_all(items: Sequence[WorkItem], converter: Callable[[WorkItem, StageProgress], _Converted]) -> int:
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


def _report(item: WorkItem, done: _Converted) -> None:
    seconds = sum(done.translation.seconds.values())
    planes = f" ({', '.join(done.translation.planes)})" if done.translation.planes else ""
    expected = "" if done.uncertain is None else f", expected MAE {done.uncertain.predicted_mae_hu:.0f} HU"
    checked = "; ".join([done.verdict.verdict.value, *done.verdict.notes])
    typer.echo(f"{item.output}: {seconds:.1f} s{planes}, input check: {checked}{expected}")
    sentences = [finding.sentence for finding in done.verdict.findings]
    for warning in (*sentences, *done.translation.warnings):
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
