"""A whole run: from a recipe to a bundle. What `mr2ct train` calls, and what a bare GPU machine can call without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from mr2ct.bundles import load_network
from mr2ct.bundles.provenance import COMMANDS_FILE, record_step, this_step
from mr2ct.datasets.sampling import BoxPlan
from mr2ct.datasets.splits import write_split
from mr2ct.errors import RecipeError
from mr2ct.hounsfield import HuScaling
from mr2ct.training.acceleration import precision_of, prepare_device
from mr2ct.training.assembly import Cases, batch_source, build_generator, build_method, open_cases
from mr2ct.training.loop import LAST, Limits, Method, Outcome, fit
from mr2ct.training.recipe import Recipe, RunSettings, write_recipe
from mr2ct.training.result import describe, model_to_start_from, prepared_otherwise, write_result
from mr2ct.training.speed import CountedMethod, Speed, peak_of
from mr2ct.training.stop_signal import stop_on_signals
from mr2ct.training.validation import Validation, Window
from mr2ct.training.witness import RunWitness, SilentWitness


@dataclass(frozen=True)
class Summary:
    """How a run ended, and how fast it was; no speed where it took too few steps to tell."""

    outcome: Outcome
    speed: Speed | None


@contextmanager
def _gpu_memory_in_words() -> Iterator[None]:
    """Running out of a GPU's memory becomes a RecipeError that says which keys to lower."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RecipeError(
            "the GPU's memory is too small for this recipe",
            got=str(error).splitlines()[0],
            remedy="lower data.batch_size or data.size, or set run.resident=false",
        ) from error


@_gpu_memory_in_words()
def run(
    recipe: Recipe,
    folder: Path,
    *,
    window: Window | None = None,
    say: Callable[[str], None] = print,
) -> Summary:
    """Train until the recipe's limits, or go on where `folder` holds a checkpoint, and write `folder`/bundle.

    With `run.devices` above 1 the command that runs is started anew for every process but the first.

    Parameters
    ----------
    window : how a 3-D network sees a whole volume in validation, needed for those only.
    say : gets the lines for a person.

    Returns
    -------
    How the run ended and how fast it was.

    Raises
    ------
    Mr2ctError : a recipe or data that cannot be trained on, or not on this device, a GPU's full memory among them.
    """
    fabric = _launched(recipe)
    fabric.seed_everything(recipe.seed, verbose=False)
    prepare_device(fabric)
    start = None if recipe.init_from is None or (folder / LAST).exists() else model_to_start_from(recipe)
    cases = open_cases(recipe.data, seed=recipe.seed, folder=folder)
    # a store that no bundle can describe is found out now rather than after the training
    description = describe(recipe)
    if start is not None and fabric.is_global_zero:
        for line in prepared_otherwise(start.description, description):
            say(line)
    generator = build_generator(recipe)
    if start is not None:
        generator.load_state_dict(load_network(start).state_dict())
    method = CountedMethod(build_method(recipe, generator, fabric))
    if fabric.global_rank:
        # the weights begin alike in all processes, dropout does not
        torch.manual_seed(recipe.seed + fabric.global_rank)

    def record() -> None:
        write_recipe(recipe, folder / "recipe.yaml")
        write_split(cases.split, folder / "split.json")
        _record_command(folder, fabric, began_with="" if start is None else start.description.weights_sha256)

    validate = _validation(recipe, cases, fabric, window)
    outcome = _fit(recipe, folder, fabric, method, validate=validate, cases=cases, record=record)
    if fabric.is_global_zero:
        say(_outcome_in_words(outcome, "validation" if cases.split.validation else "cases that trained"))
        say(f"model: {write_result(description, folder)}")
    speed = _speed(recipe, fabric, method, outcome)
    if speed is not None and fabric.is_global_zero:
        say(f"speed: {speed.words}")
    return Summary(outcome, speed)


def _outcome_in_words(outcome: Outcome, scored_on: str) -> str:
    score = "" if math.isinf(outcome.best_mae_hu) else f", best MAE {outcome.best_mae_hu:.1f} HU on {scored_on}"
    return f"{outcome.reason} after {outcome.steps} steps{score}"


def _record_command(folder: Path, fabric: Fabric, *, began_with: str) -> None:
    if not (folder / LAST).exists():
        # a start that left no checkpoint has no part in the weights
        (folder / COMMANDS_FILE).unlink(missing_ok=True)
    record_step(folder, this_step(_device_in_words(fabric), began_with=began_with))


def _speed(recipe: Recipe, fabric: Fabric, method: CountedMethod, outcome: Outcome) -> Speed | None:
    if not outcome.timed_seconds or not method.gflop_per_step:
        return None
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision_of(recipe.run), torch.float32)
    peak = peak_of(fabric.device, dtype=dtype)
    return Speed(outcome.timed_steps / outcome.timed_seconds, method.gflop_per_step, peak)


def _launched(recipe: Recipe) -> Fabric:
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    # networks run several times before one backward pass; buffers that were synchronised between would spoil it
    strategy = DDPStrategy(broadcast_buffers=False) if recipe.run.devices > 1 else "auto"
    settings = recipe.run
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            precision=precision_of(settings),
            strategy=strategy,
        )
        fabric.launch()
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise _not_launched(settings, error) from error
    return fabric


def _not_launched(settings: RunSettings, error: Exception) -> RecipeError:
    gpus, cause = torch.cuda.device_count(), " ".join(str(error).split())
    expected, remedy = f"run.devices of at most {gpus}", f"set run.devices={gpus}, or run.accelerator=cpu"
    if settings.accelerator == "cpu" or (settings.accelerator == "auto" and not gpus):
        expected, remedy = "processes that can be started together", "set run.devices=1"
    elif not gpus:
        expected, remedy = "a GPU, and this machine has none", "set run.accelerator=cpu"
    return RecipeError(
        "the run cannot start on the devices that the recipe asks for",
        got=f"run.accelerator={settings.accelerator}, run.devices={settings.devices} ({cause})",
        expected=expected,
        remedy=remedy,
    )


def _device_in_words(fabric: Fabric) -> str:
    name = torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else str(fabric.device).upper()
    return name if fabric.world_size == 1 else f"{fabric.world_size} x {name}"


def _fit(
    recipe: Recipe,
    folder: Path,
    fabric: Fabric,
    method: Method,
    *,
    validate: Validation,
    cases: Cases,
    record: Callable[[], None],
) -> Outcome:
    limits = recipe.run
    batches = batch_source(recipe, cases, fabric, folder=folder)
    seen = RunWitness(folder, total_steps=limits.max_steps, slices=lambda: validate.slices, record=record)
    with (
        stop_on_signals() as stop_asked,
        seen if fabric.is_global_zero else nullcontext(SilentWitness()) as witness,
    ):
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
                keep_last=limits.keep == "last",
            ),
            witness=witness,
        )


def _validation(recipe: Recipe, cases: Cases, fabric: Fabric, window: Window | None) -> Validation:
    data = recipe.data
    plan = BoxPlan(tuple(data.size), tuple(data.planes), data.context_slices)
    return Validation(
        cases.validation,
        plan,
        HuScaling(*recipe.hu_range),
        device=fabric.device,
        limit=recipe.run.validation_cases,
        window=window,
    )
