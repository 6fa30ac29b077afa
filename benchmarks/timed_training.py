"""Our families trained by their recipes in a given time: schedules fitted to it, finished runs skipped, others resumed.

A recipe says how many steps it takes; a comparison says how many minutes. A few steps are timed first, then every
number of steps in the recipe is scaled to what fits into the minutes, so that its schedule ends when they do. On a
machine that is busy with other work, `--training-steps` gives each training the same number instead.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mr2ct.errors import DataSetError
from mr2ct.io.atomic import atomic_file
from mr2ct.training.loop import STOPPED
from mr2ct.training.recipe import Recipe, read_recipe
from mr2ct.training.run import run

RECIPES = Path(__file__).parents[1] / "recipes"
FAMILIES = {
    "attention-unet": RECIPES / "attention_unet.yaml",
    "multiscale-attention": RECIPES / "multiscale_attention.yaml",
    "pix2pix": RECIPES / "pix2pix.yaml",
    "cyclegan": RECIPES / "cyclegan.yaml",
}
THREE_FAMILIES = ("attention-unet", "pix2pix", "cyclegan")
STEPS_OF_METHODS = ("adversarial_from", "pairs_alone_steps")
VALIDATIONS = 5
# what validation, saving and a busy machine may take; the clock ends a run that is late
SHARE_FOR_STEPS = 0.9


@dataclass(frozen=True)
class Setting:
    """What all trainings of a comparison share.

    `shrink` divides the networks' widths, to try a script out; `steps` is a number for each training in the place of
    what fits into the minutes, which end it all the same.
    """

    store: Path
    phantoms: Path | None
    minutes: float
    device: str = "cpu"
    shrink: int = 1
    steps: int | None = None
    overrides: tuple[str, ...] = ()

    @property
    def length(self) -> str:
        """How long each training is, in words."""
        return f"{self.minutes:g} minutes" if self.steps is None else f"{self.steps} steps"


def add_setting(parser: argparse.ArgumentParser) -> None:
    """The options that `setting_of` reads."""
    parser.add_argument("--data", type=Path, required=True, help="the data set that the store was prepared from")
    parser.add_argument("--store", type=Path, required=True, help="of `mr2ct preprocess`")
    parser.add_argument("--split", type=Path, required=True, help="the split file of the store")
    parser.add_argument("--phantoms", type=Path, help="a store of phantoms, for the recipes that mix them in")
    parser.add_argument("--minutes", type=float, required=True, help="of each training")
    parser.add_argument("--side", choices=["validation", "test"], default="validation", help="who is converted")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--shrink", type=int, default=1, help="divide all networks' widths, to try the script out")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the recipes' key")
    parser.add_argument("--patients", type=int, help="convert only so many of each centre's, to try the script out")
    parser.add_argument("--out", type=Path, required=True)


def add_training_steps(parser: argparse.ArgumentParser) -> None:
    """The option of comparisons in which all trainings are of our recipes."""
    parser.add_argument("--training-steps", type=int, help="take so many each, not what fits into the minutes")


def setting_of(given: argparse.Namespace) -> Setting:
    """The setting that the options ask for; "auto" is a GPU where there is one."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if given.device == "auto" else given.device
    steps = getattr(given, "training_steps", None)
    return Setting(given.store, given.phantoms, given.minutes, device, given.shrink, steps, tuple(given.set))


def train_family(
    family: str,
    folder: Path,
    *,
    setting: Setting,
    split: Path,
    init_from: Path | None = None,
    overrides: Sequence[str] = (),
    fitted: bool = True,
) -> dict[str, Any]:
    """Train a family into `folder`/bundle unless that is done, and tell how it went.

    Parameters
    ----------
    fitted : scale the recipe's steps to what fits into the minutes; else its own are taken, and the minutes end it.
    """
    finished = folder / "training.json"
    steps = setting.steps if fitted else None
    if finished.exists():
        return _same_length(json.loads(finished.read_text(encoding="utf-8")), setting, finished, steps=steps)
    recipe_file = FAMILIES[family]
    words = [*_data(recipe_file, setting, split), *_shrunk(recipe_file, setting.shrink), *setting.overrides, *overrides]
    words += [f"name={family}", f"run.accelerator={setting.device}"]
    words += [f"init_from={'null' if init_from is None else init_from}"]
    print(f"\n{folder.name}: {setting.length}", flush=True)
    if (folder / "last.pt").exists():
        recipe = read_recipe(folder / "recipe.yaml")
    else:
        if fitted:
            count = steps or _steps_that_fit(recipe_file, words, folder / "pilot", setting.minutes)
            words += _scaled(read_recipe(recipe_file, words), count)
        recipe = read_recipe(recipe_file, words)
    spent = _minutes_spent(folder)
    left = max(setting.minutes - spent, 0.01)
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"max_minutes": left})})
    summary = run(recipe, folder)
    outcome = summary.outcome
    if outcome.reason == STOPPED:
        raise SystemExit("stopped; the same command goes on")
    record = {
        "minutes_given": setting.minutes,
        "steps_given": steps,
        "minutes": round(_minutes_spent(folder), 2),
        "steps": outcome.steps,
        "ended": outcome.reason,
        "validation_mae_hu": None if math.isinf(outcome.best_mae_hu) else round(outcome.best_mae_hu, 2),
        "parameters": _parameters(folder / "bundle"),
        "speed": None if summary.speed is None else summary.speed.words,
    }
    write_json(finished, record)
    return record


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all; what is no finite number becomes null."""
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def write_results(folder: Path, lines: Sequence[str], record: Mapping[str, Any]) -> None:
    """Print a table and write it as `table.md`, and all of it for machines as `results.json`."""
    print("\n" + "\n".join(lines))
    with atomic_file(folder / "table.md") as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(folder / "results.json", record)
    print(f"\nwritten: {folder / 'table.md'}, {folder / 'results.json'}")


def machine() -> str:
    """Processor, device and versions, in a line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{cpu}, {threads}, {gpu}; Python {platform.python_version()}, torch {torch.__version__}"


def _data(recipe_file: Path, setting: Setting, split: Path) -> list[str]:
    """The recipe's stores as overrides: patients from the store, phantoms in the place of all others."""
    data = read_recipe(recipe_file).data
    stores = [{"path": str(setting.store), "weight": data.stores[0].weight}]
    phantoms = [] if setting.phantoms is None else [{"path": str(setting.phantoms)}]
    if len(data.stores) > 1:
        stores += [{**pool, "weight": sum(store.weight for store in data.stores[1:])} for pool in phantoms]
    words = [f"data.stores={json.dumps(stores)}", f"data.split={split}"]
    if data.paired_stores:
        words.append(f"data.paired_stores={json.dumps(phantoms)}")
        words += [] if phantoms else ["method.pairs_alone_steps=0"]
    return words


def _shrunk(recipe_file: Path, times: int) -> list[str]:
    """Every width of the recipe's networks divided, as overrides."""
    if times == 1:
        return []
    recipe = read_recipe(recipe_file)
    networks = {"network": recipe.network}
    if hasattr(recipe.method, "discriminator"):
        networks["method.discriminator"] = recipe.method.discriminator
    found = []
    for place, network in networks.items():
        for key in ("width", "widths"):
            if key in network.arguments:
                wide = network.arguments[key]
                narrow = [max(2, w // times) for w in wide] if isinstance(wide, list) else max(2, wide // times)
                found.append(f"{place}.arguments.{key}={json.dumps(narrow)}")
    return found


def _scaled(recipe: Recipe, steps: int) -> list[str]:
    """`steps` instead of the recipe's own number, and all else that is counted in steps in proportion."""
    factor = steps / recipe.run.max_steps
    method = recipe.method.model_dump()
    found = [f"method.{key}={round(method[key] * factor)}" for key in STEPS_OF_METHODS if method.get(key)]
    found.append(f"optimiser.warmup_steps={round(recipe.optimiser.warmup_steps * factor)}")
    return [*found, f"run.max_steps={steps}", f"run.validate_every={math.ceil(steps / VALIDATIONS)}"]


def _steps_that_fit(recipe_file: Path, words: Sequence[str], folder: Path, minutes: float) -> int:
    """How many steps the minutes are enough for, by a few steps of the recipe in small, which are thrown away."""
    count = 8 if minutes < 5 else 32
    recipe = read_recipe(recipe_file, words)
    small = [*words, *_scaled(recipe, count), f"run.validate_every={count}", "run.validation_cases=1"]
    shutil.rmtree(folder, ignore_errors=True)
    outcome = run(read_recipe(recipe_file, small), folder, say=lambda _: None).outcome
    shutil.rmtree(folder, ignore_errors=True)
    seconds = outcome.timed_seconds / max(outcome.timed_steps, 1)
    fit = max(VALIDATIONS, int(60 * minutes * SHARE_FOR_STEPS / seconds))
    print(f"{seconds:.2f} s a step: {fit} steps (the recipe has {recipe.run.max_steps})", flush=True)
    return fit


def _minutes_spent(folder: Path) -> float:
    """By the last row of the run's table; a run that is cut off between two rows loses a little of its time."""
    table = folder / "metrics.csv"
    if not table.exists():
        return 0.0
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return float(rows[-1]["minutes"]) if rows else 0.0


def _parameters(bundle: Path) -> int:
    from mr2ct.bundles import load_bundle, load_network

    return sum(parameter.numel() for parameter in load_network(load_bundle(bundle)).parameters())


def _same_length(record: Mapping[str, Any], setting: Setting, path: Path, *, steps: int | None) -> dict[str, Any]:
    given = {"minutes": record["minutes_given"], "steps": record.get("steps_given")}
    asked = {"minutes": setting.minutes, "steps": steps}
    if given != asked:
        raise DataSetError(
            f"{path} is of a training of other length",
            got=_length_in_words(asked),
            expected=_length_in_words(given),
            remedy="ask for the same, or name another --out",
        )
    return dict(record)


def _length_in_words(length: Mapping[str, float | None]) -> str:
    return ", ".join(f"{value:g} {unit}" for unit, value in length.items() if value is not None)
