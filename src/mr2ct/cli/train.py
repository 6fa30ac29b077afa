"""`mr2ct train`: run a recipe, resume a run, or fine-tune from a bundle; the result is a bundle in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mr2ct.training.recipe import Recipe


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML); see recipes/.", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes, such as data.batch_size=4.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The run folder; by default the recipe's to --resume, or runs/<its name>."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")] = False,
    init_from: Annotated[
        str | None,
        typer.Option(help="Start from a shipped model's name or a bundle folder (fine-tuning)."),
    ] = None,
) -> None:
    """Train a model from a recipe; resume or fine-tune one.

    The run folder gets recipe.yaml (resolved), split.json, metrics.csv, tensorboard/, last.pt, best.pt, and at the end
    bundle/, which `mr2ct convert --model` takes. Ctrl-C (or SIGTERM) ends the run after its current step with a
    checkpoint to go on from with --resume, and exit code 130; a second one at once.
    """
    from mr2ct.cli.main import EXIT_INTERRUPTED
    from mr2ct.training.loop import STOPPED
    from mr2ct.training.recipe import read_recipe
    from mr2ct.training.run import run

    settings = read_recipe(recipe, overrides or [])
    if init_from is not None:
        settings = settings.model_copy(update={"init_from": init_from})
    folder = output or _run_folder(recipe, settings.name, resume=resume)
    _require_fresh_or_resumed(folder, resume=resume)
    window = _sliding_window(settings) if settings.data.context_slices is None else None
    summary = run(settings, folder, window=window, say=typer.echo)
    if summary.outcome.reason == STOPPED:
        raise typer.Exit(EXIT_INTERRUPTED)


def _run_folder(recipe: Path, name: str, *, resume: bool) -> Path:
    """runs/`name`; of a recipe that lies in the folder of the run to resume, that folder."""
    return recipe.parent if resume and (recipe.parent / "last.pt").exists() else Path("runs") / name


def _require_fresh_or_resumed(folder: Path, *, resume: bool) -> None:
    from mr2ct.errors import RecipeError

    started = (folder / "last.pt").exists()
    if started and not resume:
        raise RecipeError(
            f"{folder} holds a run already", remedy="go on with --resume, or name another folder with --output"
        )
    if resume and not started:
        raise RecipeError(
            f"nothing to resume in {folder}",
            expected=f"{folder / 'last.pt'}",
            remedy="name the run's folder with --output, or drop --resume to train from the beginning",
        )


def _sliding_window(recipe: Recipe) -> Any:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer(tuple(recipe.data.size), sw_batch_size=2, overlap=0.25, mode="gaussian")

    def window(network: nn.Module, mr: Tensor) -> Any:
        return inferer(mr, network)

    return window
