"""Train the recipes of the model zoo in time slices; `scripts/train_zoo.sh` calls it on any machine.

OUT/<name>/ gets bundle/ (the best weights, in half precision) and state.1ofN ... (the run, to go on from: every file
below 15 MB); OUT/zoo.json the scores, speeds and loss curves. Without RECIPE: all that lie in recipes/ itself.
The minutes are those of the whole call, shared evenly by the recipes that are not finished yet.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mr2ct.datasets.packing import packed_cases, unpack_store
from mr2ct.datasets.store import finished_cases
from mr2ct.errors import Mr2ctError
from mr2ct.io.atomic import atomic_file
from mr2ct.training.loop import STOPPED
from mr2ct.training.recipe import Recipe, read_recipe
from mr2ct.training.slices import is_finished, train_slice

RECIPES = Path(__file__).parents[1] / "recipes"
COLUMNS = ("mae_hu", "mae_hu_axial", "mae_hu_coronal", "mae_hu_sagittal")


def main(words: Sequence[str] | None = None) -> None:
    began = time.monotonic()
    given = _parser().parse_args(words)
    overrides = [*given.set, f"run.accelerator={given.device}"]
    try:
        paths = given.recipes or sorted(RECIPES.glob("*.yaml"))
        recipes = [read_recipe(path, overrides) for path in paths]
        for recipe in recipes:
            _unpack_stores(recipe, given.packed)
        print(_machine(), flush=True)
        table = _train(recipes, given, deadline=began + 60 * given.minutes)
    except Mr2ctError as error:
        sys.exit(f"error: {error}")
    print(f"\n{_in_words(table)}\n{given.out / 'zoo.json'}")


def _train(recipes: Sequence[Recipe], given: argparse.Namespace, *, deadline: float) -> dict[str, Any]:
    """One slice of each; the table is written after each of them."""
    table = {**_records(given.from_ and given.from_ / "zoo.json"), **_records(given.out / "zoo.json")}
    left = [recipe for recipe in recipes if not is_finished(table.get(recipe.name, {}), recipe)]
    for done in (recipe.name for recipe in recipes if recipe not in left):
        print(f"{done} is finished already")
    for number, recipe in enumerate(left):
        minutes = (deadline - time.monotonic()) / 60 / (len(left) - number)
        if minutes <= 0:
            print(f"\n{recipe.name}: no time left")
            continue
        print(f"\n{recipe.name}: {minutes:.1f} minutes", flush=True)
        brought = given.from_ / recipe.name if given.from_ else None
        folder = given.out / recipe.name
        record = train_slice(recipe, folder, brought=brought, minutes=minutes, compact=given.compact)
        table[recipe.name] = {"machine": _machine(), **record}
        _write_records(table, given.out / "zoo.json")
        if record["ended"] == STOPPED:
            break
    _write_records(table, given.out / "zoo.json")
    return {recipe.name: table[recipe.name] for recipe in recipes if recipe.name in table}


def _write_records(table: dict[str, Any], path: Path) -> None:
    with atomic_file(path) as partial:
        partial.write_text(json.dumps({"recipes": table}, separators=(",", ":")) + "\n", encoding="utf-8")


def _records(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["recipes"]
    return found


def _unpack_stores(recipe: Recipe, packed: Path | None) -> None:
    """Make the recipe's stores, or go on where an unpacking was cut off; a store that has cases of its own stays."""
    for store in (*recipe.data.stores, *recipe.data.paired_stores):
        root = Path(store.path)
        if packed is not None and set(finished_cases(root)) < packed_cases(packed / root.name):
            print(f"{root}: {unpack_store(packed / root.name, root)} cases unpacked", flush=True)


def _machine() -> str:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{platform.machine()}, {os.cpu_count()} CPU cores, {gpu}; {versions}"


def _in_words(table: dict[str, Any]) -> str:
    heads = [column.removeprefix("mae_hu_") for column in COLUMNS[1:]]
    lines = [f"| validation MAE in HU | all | {' | '.join(heads)} | steps | ended |", f"|---{'|---' * 6}|"]
    for name, record in table.items():
        scores = [f"{record['scores'][column]:.1f}" if column in record["scores"] else "" for column in COLUMNS]
        lines.append(
            f"| {name} | {' | '.join(scores)} | {record['steps']} of {record['of_steps']} | {record['ended']} |"
        )
    speeds = [f"{name}: {record['speed']['words']}" for name, record in table.items() if record["speed"]]
    return "\n".join([*lines, "", *speeds])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", type=Path, metavar="RECIPE")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    parser.add_argument("--minutes", type=float, default=9.0, help="of the whole call (9)")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="the output folder (runs/zoo)")
    parser.add_argument("--from", dest="from_", type=Path, help="go on from the output folder of an earlier call")
    parser.add_argument(
        "--packed", type=Path, help="unpack stores that are missing, or unfinished, from the parts in this folder"
    )
    parser.add_argument("--compact", action="store_true", help="a smaller state, from which a run goes on nearly alike")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe's key")
    return parser


if __name__ == "__main__":
    main()
