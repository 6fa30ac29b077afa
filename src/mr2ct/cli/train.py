"""`mr2ct train`: run a recipe, resume a run, or fine-tune from a bundle; the result is a bundle in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from mr2ct.training.assembly import Cases
    from mr2ct.training.recipe import Recipe
    from mr2ct.training.validation import Validation


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML); see recipes/.", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes, such as data.batch_size=4.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; runs/<recipe's name> by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")] = False,
    init_from: Annotated[
        str | None, typer.Option(help="Start from a shipped model's name or a bundle folder (fine-tuning).")
    ] = None,
) -> None:
    """Train a model from a recipe; resume or fine-tune one.

    The run folder gets recipe.yaml (resolved), split.json, metrics.csv, tensorboard/, last.pt, best.pt, and at the end
    bundle/, which `mr2ct convert --model` takes.
    """
    from mr2ct.training.recipe import read_recipe, write_recipe

    settings = read_recipe(recipe, overrides or [])
    folder = output or Path("runs") / settings.name
    _require_fresh_or_resumed(folder, resume=resume)
    folder.mkdir(parents=True, exist_ok=True)
    write_recipe(settings, folder / "recipe.yaml")
    run(settings, folder, init_from=None if resume else init_from)


def run(recipe: Recipe, folder: Path, *, init_from: str | None = None) -> None:
    """Train until the recipe's limits, or go on where `folder` holds a checkpoint, and write `folder`/bundle."""
    import torch
    from lightning_fabric import Fabric

    from mr2ct.training.assembly import batch_source, build_generator, build_method, open_cases
    from mr2ct.training.loop import Limits, fit
    from mr2ct.training.witness import RunWitness

    fabric = Fabric(accelerator=recipe.run.accelerator, devices=recipe.run.devices, precision=recipe.run.precision)
    fabric.launch()
    fabric.seed_everything(recipe.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    cases = open_cases(recipe.data, seed=recipe.seed, folder=folder)
    generator = build_generator(recipe)
    if init_from is not None:
        generator.load_state_dict(_weights_of(init_from, recipe))
    method = build_method(recipe, generator, fabric)
    validate = _validation(recipe, cases, fabric)
    limits = recipe.run
    with RunWitness(folder, total_steps=limits.max_steps, slices=lambda: validate.slices) as witness:
        outcome = fit(
            fabric,
            method,
            batches=batch_source(recipe, cases, fabric, folder=folder),
            validate=validate,
            folder=folder,
            limits=Limits(
                max_steps=limits.max_steps,
                max_minutes=limits.max_minutes,
                validate_every=limits.validate_every,
                checkpoint_minutes=limits.checkpoint_minutes,
                patience=limits.patience,
            ),
            witness=witness,
        )
    typer.echo(f"{outcome.reason} after {outcome.steps} steps, best MAE {outcome.best_mae_hu:.1f} HU on validation")
    if fabric.is_global_zero and (folder / "best.pt").exists():
        typer.echo(f"model: {_write_bundle(recipe, folder, cases)}")


def _require_fresh_or_resumed(folder: Path, *, resume: bool) -> None:
    from mr2ct.errors import RecipeError

    started = (folder / "last.pt").exists() or (folder / "metrics.csv").exists()
    if started and not resume:
        raise RecipeError(
            f"{folder} holds a run already", remedy="go on with --resume, or name another folder with --output"
        )
    if resume and not (folder / "last.pt").exists():
        raise RecipeError(f"nothing to resume in {folder}", expected=f"{folder / 'last.pt'}", remedy="drop --resume")


def _validation(recipe: Recipe, cases: Cases, fabric: Fabric) -> Validation:
    from mr2ct.datasets.sampling import BoxPlan
    from mr2ct.hounsfield import HuScaling
    from mr2ct.training.validation import Validation

    data = recipe.data
    plan = BoxPlan(tuple(data.size), tuple(data.planes), data.context_slices)
    return Validation(
        cases.validation,
        plan,
        HuScaling(*recipe.hu_range),
        device=fabric.device,
        limit=recipe.run.validation_cases,
        window=_sliding_window(recipe) if data.context_slices is None else None,
    )


def _sliding_window(recipe: Recipe) -> Any:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer(tuple(recipe.data.size), sw_batch_size=2, overlap=0.25, mode="gaussian")

    def window(network: nn.Module, mr: Tensor) -> Any:
        return inferer(mr, network)

    return window


def _weights_of(model: str, recipe: Recipe) -> Mapping[str, Any]:
    from mr2ct.bundles import find_bundle, load_network
    from mr2ct.errors import RecipeError
    from mr2ct.training.assembly import network_arguments

    bundle = find_bundle(model)
    described = bundle.description.network
    if (described.name, described.arguments) != (recipe.network.name, network_arguments(recipe)):
        raise RecipeError(
            "the model to start from has another network",
            got=f"{described.name} {described.arguments}",
            expected=f"{recipe.network.name} {network_arguments(recipe)}",
            remedy="copy the network section from the bundle's bundle.json into the recipe",
        )
    return load_network(bundle).state_dict()


def _write_bundle(recipe: Recipe, folder: Path, cases: Cases) -> Path:
    import shutil

    from mr2ct.bundles import BundleDescription, write_bundle
    from mr2ct.bundles.card import fill_card
    from mr2ct.datasets.store import CaseStore
    from mr2ct.training.assembly import network_arguments
    from mr2ct.training.checkpoint import read_checkpoint

    best = read_checkpoint(folder / "best.pt")
    three_d = recipe.data.context_slices is None
    description = BundleDescription.model_validate(
        {
            "format_version": 1,
            "name": recipe.name,
            "method": recipe.method.name,
            "network": {"name": recipe.network.name, "arguments": network_arguments(recipe)},
            "preprocessing": CaseStore.open(recipe.data.stores[0].path).settings["pipeline"],
            "hu_range": recipe.hu_range,
            "spacing_mm": (1.0, 1.0, 1.0),
            "planes": () if three_d else tuple(recipe.data.planes),
            "context_slices": recipe.data.context_slices,
            "patch_size": tuple(recipe.data.size) if three_d else None,
            "training_data": recipe.bundle.training_data,
            "licence": recipe.bundle.licence,
            "metrics": {f"validation_{k}": v for k, v in best.items() if k.startswith("mae_hu")},
        }
    )
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    state = {name: tensor.contiguous() for name, tensor in best["network"].items()}
    return write_bundle(folder / "bundle", state=state, description=description, card=fill_card(description)).folder
