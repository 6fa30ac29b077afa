"""`mr2ct train`: run a recipe, resume a run, or fine-tune from a bundle; the result is a bundle in the run folder."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from mr2ct.bundles import BundleDescription
    from mr2ct.training.assembly import Cases
    from mr2ct.training.loop import Method, Outcome
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
    bundle/, which `mr2ct convert --model` takes. Ctrl-C (or SIGTERM) ends the run after its current step with a
    checkpoint to go on from with --resume; a second one at once.
    """
    from mr2ct.training.recipe import read_recipe

    settings = read_recipe(recipe, overrides or [])
    folder = output or Path("runs") / settings.name
    _require_fresh_or_resumed(folder, resume=resume)
    run(settings, folder, init_from=None if resume else init_from)


def run(recipe: Recipe, folder: Path, *, init_from: str | None = None) -> None:
    """Train until the recipe's limits, or go on where `folder` holds a checkpoint, and write `folder`/bundle.

    With `run.devices` above 1 the command that runs is started anew for every process but the first.
    """
    import torch

    from mr2ct.training.assembly import build_generator, build_method, open_cases

    fabric = _launched(recipe)
    fabric.seed_everything(recipe.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    cases = open_cases(recipe.data, seed=recipe.seed, folder=folder)
    # a store that no bundle can describe is found out now rather than after the training
    description = _describe(recipe)
    if fabric.is_global_zero:
        _write_recipe(recipe, folder)
    generator = build_generator(recipe)
    if init_from is not None:
        generator.load_state_dict(_weights_of(init_from, recipe))
    method = build_method(recipe, generator, fabric)
    if fabric.global_rank:
        # the weights begin alike in all processes, dropout does not
        torch.manual_seed(recipe.seed + fabric.global_rank)
    outcome = _fit(recipe, folder, fabric, method, cases)
    if fabric.is_global_zero:
        score = "" if math.isinf(outcome.best_mae_hu) else f", best MAE {outcome.best_mae_hu:.1f} HU on validation"
        typer.echo(f"{outcome.reason} after {outcome.steps} steps{score}")
        typer.echo(f"model: {_write_bundle(description, folder)}")


def _launched(recipe: Recipe) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    # networks run several times before one backward pass; buffers that were synchronised between would spoil it
    strategy = DDPStrategy(broadcast_buffers=False) if recipe.run.devices > 1 else "auto"
    settings = recipe.run
    fabric = Fabric(
        accelerator=settings.accelerator, devices=settings.devices, precision=settings.precision, strategy=strategy
    )
    fabric.launch()
    return fabric


def _fit(recipe: Recipe, folder: Path, fabric: Fabric, method: Method, cases: Cases) -> Outcome:
    from mr2ct.training.assembly import batch_source
    from mr2ct.training.loop import Limits, fit
    from mr2ct.training.stop_signal import stop_on_signals
    from mr2ct.training.witness import RunWitness, SilentWitness

    validate, limits = _validation(recipe, cases, fabric), recipe.run
    batches = batch_source(recipe, cases, fabric, folder=folder)
    seen = RunWitness(folder, total_steps=limits.max_steps, slices=lambda: validate.slices)
    with stop_on_signals() as stop_asked, seen if fabric.is_global_zero else nullcontext(SilentWitness()) as witness:
        return fit(
            fabric,
            method,
            batches=batches,
            validate=validate,
            folder=folder,
            limits=Limits(
                max_steps=limits.max_steps,
                max_minutes=limits.max_minutes,
                validate_every=limits.validate_every,
                checkpoint_minutes=limits.checkpoint_minutes,
                patience=limits.patience,
                stop_asked=stop_asked,
            ),
            witness=witness,
        )


def _write_recipe(recipe: Recipe, folder: Path) -> None:
    from mr2ct.training.recipe import write_recipe

    write_recipe(recipe, folder / "recipe.yaml")


def _require_fresh_or_resumed(folder: Path, *, resume: bool) -> None:
    from mr2ct.errors import RecipeError

    started = (folder / "last.pt").exists()
    if started and not resume:
        raise RecipeError(
            f"{folder} holds a run already", remedy="go on with --resume, or name another folder with --output"
        )
    if resume and not started:
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
    if (described.name, _in_full(described.name, described.arguments)) != (
        recipe.network.name,
        _in_full(recipe.network.name, network_arguments(recipe)),
    ):
        raise RecipeError(
            "the model to start from has another network",
            got=f"{described.name} {described.arguments}",
            expected=f"{recipe.network.name} {network_arguments(recipe)}",
            remedy="copy the network section from the bundle's bundle.json into the recipe",
        )
    if bundle.description.hu_range != recipe.hu_range:
        raise RecipeError(
            "the model to start from has another HU range",
            got=bundle.description.hu_range,
            expected=recipe.hu_range,
            remedy="set hu_range to the model's",
        )
    return load_network(bundle).state_dict()


def _in_full(network: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the defaults of the network's constructor filled in, lists for tuples."""
    import inspect

    from mr2ct.models import REGISTRY

    parameters = inspect.signature(REGISTRY[network]).parameters.values() if network in REGISTRY else ()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in {**defaults, **arguments}.items()
    }


def _describe(recipe: Recipe) -> BundleDescription:
    from mr2ct.bundles import BundleDescription
    from mr2ct.training.assembly import common_preprocessing, network_arguments

    three_d = recipe.data.context_slices is None
    pipeline = common_preprocessing([*recipe.data.stores, *recipe.data.paired_stores])
    spacing_mm = next(
        (step["arguments"]["spacing_mm"] for step in pipeline["steps"] if step["name"] == "to_spacing"), 1.0
    )
    return BundleDescription.model_validate(
        {
            "format_version": 1,
            "name": recipe.name,
            "method": recipe.method.name,
            "network": {"name": recipe.network.name, "arguments": network_arguments(recipe)},
            "preprocessing": pipeline,
            "hu_range": recipe.hu_range,
            "spacing_mm": (spacing_mm,) * 3,
            "planes": () if three_d else tuple(recipe.data.planes),
            "context_slices": 0 if three_d else recipe.data.context_slices,
            "patch_size": tuple(recipe.data.size) if three_d else None,
            "training_data": recipe.bundle.training_data,
            "licence": recipe.bundle.licence,
            "metrics": {},
        }
    )


def _write_bundle(description: BundleDescription, folder: Path) -> Path:
    import shutil

    from mr2ct.bundles import write_bundle
    from mr2ct.bundles.card import fill_card
    from mr2ct.training.checkpoint import read_checkpoint

    best = read_checkpoint(folder / "best.pt")
    metrics = {f"validation_{key}": value for key, value in best.items() if key.startswith("mae_hu")}
    described = description.model_copy(update={"metrics": metrics})
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    state = {name: tensor.contiguous() for name, tensor in best["network"].items()}
    return write_bundle(folder / "bundle", state=state, description=described, card=fill_card(described)).folder
