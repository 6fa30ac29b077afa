"""Training in time slices, on machines that are there for minutes: what one slice leaves, the next one goes on from.

A slice of a recipe leaves three things, and nothing else: in its folder `bundle/`, the best weights in half precision,
and `state.1ofN` ..., the run as a parcel (`training.parcel`); and a record for the table. While it runs, the run itself
is in `run/`; where that is left over, the slice before was killed, and its last checkpoint is gone on from.
"""

from __future__ import annotations

import csv
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning_fabric import Fabric

from mr2ct.bundles import load_bundle, load_network, write_bundle
from mr2ct.bundles.card import fill_card
from mr2ct.datasets.sampling import BoxPlan
from mr2ct.errors import RecipeError
from mr2ct.hounsfield import HuScaling
from mr2ct.training.assembly import batch_source, build_generator, build_method, open_cases
from mr2ct.training.checkpoint import read_checkpoint, write_checkpoint
from mr2ct.training.handover import BUNDLE, RUN, STATE
from mr2ct.training.loop import BEST, LAST
from mr2ct.training.parcel import parts_of, read_parcel, write_parcel
from mr2ct.training.recipe import Recipe
from mr2ct.training.result import describe, model_to_start_from
from mr2ct.training.run import Summary, run
from mr2ct.training.validation import Validation

_NOT_STATE = (BUNDLE, "tensorboard")
# squares of gradients are too small for float16
_FEWER_BITS = {
    "optimiser": torch.bfloat16,
    "average": torch.float16,
    "ct_pool": torch.float16,
    "mr_pool": torch.float16,
}
_ALL_CASES = 1_000_000
_CURVE_POINTS = 200


def require_trainable(recipe: Recipe, *, begins: bool = True) -> None:
    """Raise now what training would raise before its first step: all is put together once, on the CPU.

    Parameters
    ----------
    begins : whether the run is a new one, so that the weights it begins with have to be there.

    Raises
    ------
    Mr2ctError : a recipe of 3-D patches; a store, split file, network or weights that are missing or do not fit.
    """
    if recipe.data.context_slices is None:
        raise RecipeError(
            f"3-D patches are not trained in slices: {recipe.name}", remedy="use `mr2ct train`, with run.max_minutes"
        )
    on_cpu = {"accelerator": "cpu", "devices": 1, "precision": "32-true", "compile": False, "resident": False}
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update=on_cpu)})
    fabric = Fabric(accelerator="cpu", devices=1)
    if begins and recipe.init_from is not None:
        model_to_start_from(recipe)
    describe(recipe)
    with TemporaryDirectory() as folder:
        cases = open_cases(recipe.data, seed=recipe.seed, folder=Path(folder))
        batch_source(recipe, cases, fabric, folder=Path(folder))
    build_method(recipe, build_generator(recipe), fabric)


def train_slice(
    recipe: Recipe,
    folder: Path,
    *,
    minutes: float,
    compact: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train a recipe for a while, from where it stood, and score the weights on every validation case.

    The recipe is one that `require_trainable` lets pass.

    Parameters
    ----------
    folder : of this recipe; gets the results, and may hold those of an earlier slice, to go on from.
    minutes : for all of it: a tenth, but a minute at most, is kept for scoring and packing.
    compact : keep the optimiser's moments in bfloat16 and the averages in float16: two thirds of the size, and the next
        slice goes on from nearly the same place rather than from the same.

    Returns
    -------
    What the table says of the recipe, JSON-able: steps, why it ended, scores in HU by plane, the loss curve, speed.

    Raises
    ------
    RecipeError : a parcel that is damaged, or of another recipe.
    """
    began = time.monotonic()
    at = folder / RUN
    _restore(folder, say)
    limit = max(0.9 * minutes, minutes - 1) - (time.monotonic() - began) / 60
    limited = recipe.model_copy(update={"run": recipe.run.model_copy(update={"max_minutes": max(limit, 1e-3)})})
    summary = run(limited, at, say=say)
    curve = _curve(at / "metrics.csv")
    scores = _write_weights(recipe, folder)
    if compact:
        _shrink(at)
    parts = write_parcel(_state_files(at), at, folder / STATE)
    shutil.rmtree(at)
    return {
        **_in_numbers(recipe, summary),
        "scores": scores,
        "files": [str(path.relative_to(folder)) for path in sorted([*parts, *(folder / BUNDLE).iterdir()])],
        "seconds": round(time.monotonic() - began, 1),
        "curve": curve,
        "recipe": recipe.model_dump(mode="json"),
    }


def _restore(folder: Path, say: Callable[[str], None]) -> None:
    at = folder / RUN
    if (at / LAST).exists():
        say(f"going on from {at}, which a slice that was cut off left")
        return
    shutil.rmtree(at, ignore_errors=True)
    if not parts_of(folder / STATE):
        say("a new run")
        return
    say(f"going on from {folder / STATE}")
    read_parcel(folder / STATE, at)


def _state_files(at: Path) -> list[Path]:
    files = [path for path in at.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return [path for path in files if path.relative_to(at).parts[0] not in _NOT_STATE]


def _shrink(at: Path) -> None:
    write_checkpoint(at / LAST, _in_fewer_bits(read_checkpoint(at / LAST)))
    write_checkpoint(at / BEST, _in_fewer_bits(read_checkpoint(at / BEST), torch.float16))


def _in_fewer_bits(state: Any, dtype: torch.dtype | None = None) -> Any:
    """A checkpoint's state whose averages, pools and moments are rounded; the network and all counters stay."""
    if isinstance(state, dict):
        return {key: _in_fewer_bits(value, _FEWER_BITS.get(key, dtype)) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_in_fewer_bits(value, dtype) for value in state]
    is_array = isinstance(state, torch.Tensor) and state.dtype == torch.float32 and state.dim() > 0
    return state.to(dtype) if is_array and dtype is not None else state


def _write_weights(recipe: Recipe, folder: Path) -> dict[str, float]:
    """Score the best weights in half precision, and write them so; their scores in HU."""
    bundle = load_bundle(folder / RUN / BUNDLE)
    halved = {n: t.half() if t.is_floating_point() else t for n, t in load_network(bundle).state_dict().items()}
    network = load_network(bundle)
    network.load_state_dict(halved)
    scores = {name: round(value, 2) for name, value in _validation(recipe, folder / RUN)(network).items()}
    described = bundle.description.model_copy(update={"metrics": {f"validation_{n}": v for n, v in scores.items()}})
    shutil.rmtree(folder / BUNDLE, ignore_errors=True)
    write_bundle(folder / BUNDLE, state=halved, description=described, card=fill_card(described))
    return scores


def _validation(recipe: Recipe, at: Path) -> Callable[[torch.nn.Module], dict[str, float]]:
    """Every validation case of the recipe, on the device that it trains on."""
    data = recipe.data
    cases = open_cases(data, seed=recipe.seed, folder=at).validation
    on_gpu = recipe.run.accelerator != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    plan = BoxPlan(tuple(data.size), tuple(data.planes), data.context_slices)
    validation = Validation(cases, plan, HuScaling(*recipe.hu_range), device=device, limit=_ALL_CASES)
    return lambda network: validation(network.to(device))


def _in_numbers(recipe: Recipe, summary: Summary) -> dict[str, Any]:
    outcome, speed = summary.outcome, summary.speed
    best = None if math.isinf(outcome.best_mae_hu) else round(outcome.best_mae_hu, 2)
    numbers = {"steps": outcome.steps, "of_steps": recipe.run.max_steps, "ended": outcome.reason, "best_mae_hu": best}
    if speed is None:
        return {**numbers, "speed": None}
    share = None if speed.share_of_peak is None else round(speed.share_of_peak, 4)
    shown = {"steps_per_second": round(speed.steps_per_second, 3), "gflop_per_step": round(speed.gflop_per_step, 2)}
    return {
        **numbers,
        "speed": {**shown, "tflops": round(speed.tflops, 4), "share_of_peak": share, "words": speed.words},
    }


def _curve(metrics: Path) -> dict[str, list[list[float]]]:
    """Of each loss term and score: [step, minutes, value], thinned to some 200 points."""
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, list[list[float]]] = {}
    for row in rows:
        point = [float(row["step"]), float(row["minutes"]), float(row["value"])]
        found.setdefault(f"{row['kind']}/{row['name']}", []).append(point)
    return {name: _thinned(points) for name, points in found.items()}


def _thinned(points: Sequence[list[float]]) -> list[list[float]]:
    step = max(1, math.ceil(len(points) / _CURVE_POINTS))
    return [*points[:-1:step], points[-1]]
