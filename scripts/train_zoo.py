"""Train the recipes of the model zoo in time slices; `scripts/train_zoo.sh` calls it on any machine.

OUT/<name>/ gets bundle/ (the best weights, in half precision) and state.1ofN ... (the run, to go on from: every file
below 15 MB); OUT/zoo.json the scores, speeds and loss curves. Without RECIPE: all that lie in recipes/ itself.
The minutes are those of the whole call, shared evenly by the recipes that are not finished yet. Before the first of
them trains, what FROM holds is copied to OUT, and a recipe that cannot be trained, or other settings than those of the
run that is there, end the call.
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
from mr2ct.errors import InputError, Mr2ctError, RecipeError
from mr2ct.io.atomic import atomic_file, require_writable
from mr2ct.training.handover import BUNDLE, bring, holds_run, is_finished, require_same_settings, standing
from mr2ct.training.loop import STOPPED
from mr2ct.training.recipe import Recipe, read_recipe
from mr2ct.training.slices import require_trainable, train_slice

RECIPES = Path(__file__).parents[1] / "recipes"
RECORDS = "zoo.json"
COLUMNS = ("mae_hu", "mae_hu_axial", "mae_hu_coronal", "mae_hu_sagittal")


def main(words: Sequence[str] | None = None) -> None:
    began = time.monotonic()
    given = _parser().parse_args(words)
    overrides = [*given.set, f"run.accelerator={given.device}"]
    try:
        paths = given.recipes or sorted(RECIPES.glob("*.yaml"))
        recipes = [read_recipe(path, overrides) for path in paths]
        _require_time(given.minutes)
        _require_folders(given)
        _require_own_names(recipes)
        for recipe in recipes:
            _unpack_stores(recipe, given.packed)
        print(_machine(), flush=True)
        table = _train(recipes, given, deadline=began + 60 * given.minutes)
    except Mr2ctError as error:
        sys.exit(f"error: {error}")
    print(f"\n{_in_words(table)}\n{given.out / RECORDS}")


def _require_time(minutes: float) -> None:
    if not minutes > 0:
        raise InputError("no time to train in", got=f"--minutes {minutes:g}", expected="minutes above 0")


def _require_folders(given: argparse.Namespace) -> None:
    for option, folder in (("--from", given.from_), ("--packed", given.packed)):
        if folder is not None and not folder.is_dir():
            raise InputError(f"no folder {folder}", expected=f"the folder that {option} names")
    if given.from_ and not any(_kept_in(given.from_)):
        raise InputError(f"nothing to go on from in {given.from_}", remedy="leave --from away to begin anew")
    require_writable(given.out)


def _require_own_names(recipes: Sequence[Recipe]) -> None:
    names = [recipe.name for recipe in recipes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(f"recipes of the same name: {', '.join(twice)}", remedy="give each a name of its own")


def _train(recipes: Sequence[Recipe], given: argparse.Namespace, *, deadline: float) -> dict[str, Any]:
    """One slice of each; the table is written after each of them."""
    table, folders = _gather(recipes, given), {recipe.name: given.out / recipe.name for recipe in recipes}
    left = [recipe for recipe in recipes if not is_finished(table.get(recipe.name, {}), recipe, folders[recipe.name])]
    for done in (recipe.name for recipe in recipes if recipe not in left):
        print(f"{done} is finished already")
    made_here = {(folders[recipe.name] / BUNDLE).resolve() for recipe in left}
    for recipe in left:
        begins = not holds_run(folders[recipe.name]) and Path(recipe.init_from or "").resolve() not in made_here
        require_trainable(recipe, begins=begins)
    for number, recipe in enumerate(left):
        minutes = (deadline - time.monotonic()) / 60 / (len(left) - number)
        if minutes <= 0:
            print(f"\n{recipe.name}: no time left")
            continue
        print(f"\n{recipe.name}: {minutes:.1f} minutes", flush=True)
        record = train_slice(recipe, folders[recipe.name], minutes=minutes, compact=given.compact)
        table[recipe.name] = {"machine": _machine(), **record}
        _write_records(table, given.out)
        if record["ended"] == STOPPED:
            break
    _write_records(table, given.out)
    return {recipe.name: table[recipe.name] for recipe in recipes if recipe.name in table}


def _gather(recipes: Sequence[Recipe], given: argparse.Namespace) -> dict[str, Any]:
    """Copy to OUT what FROM holds more of, if all are runs of these recipes; the records of what OUT holds then."""
    ours, theirs = _records(given.out), _records(given.from_)
    # of recipes that are not asked for, what is missing in OUT
    ahead = {name for name in _kept_in(given.from_) if not (given.out / name).exists()}
    for recipe in recipes:
        name, at = recipe.name, given.out / recipe.name
        begun = standing(at, ours.get(name, {}))
        other = standing(given.from_ / name, theirs.get(name, {})) if given.from_ else None
        if other and (not begun or other.steps > begun.steps):
            ahead.add(name)
            at, begun, other = given.from_ / name, other, begun
        if begun:
            require_same_settings(recipe, begun.recipe, at)
        if begun and other and other.steps < begun.steps:
            print(f"{name}: {begun.steps} steps in {at}; the other run, of {other.steps}, is passed over")
    for name in sorted(ahead):
        bring(given.from_ / name, given.out / name)
        print(f"{given.out / name}: brought from {given.from_ / name}")
    table = {**theirs, **{name: record for name, record in ours.items() if name not in ahead}}
    for name in (recipe.name for recipe in recipes):
        if name in table and not (given.out / name / BUNDLE).is_dir():
            print(f"{name}: {RECORDS} knows it, but its bundle is not in {given.out}")
            del table[name]
    if ahead:
        _write_records(table, given.out)
    return table


def _kept_in(zoo: Path | None) -> list[str]:
    """The recipes that slices left something of in an output folder."""
    if zoo is None:
        return []
    records = _records(zoo)
    there = sorted(path for path in zoo.iterdir() if path.is_dir())
    return [path.name for path in there if holds_run(path) or (path.name in records and (path / BUNDLE).is_dir())]


def _write_records(table: dict[str, Any], zoo: Path) -> None:
    with atomic_file(zoo / RECORDS) as partial:
        partial.write_text(json.dumps({"recipes": table}, separators=(",", ":")) + "\n", encoding="utf-8")


def _records(zoo: Path | None) -> dict[str, Any]:
    if zoo is None or not (zoo / RECORDS).exists():
        return {}
    try:
        found: dict[str, Any] = dict(json.loads((zoo / RECORDS).read_text(encoding="utf-8"))["recipes"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{zoo / RECORDS} is damaged",
            got=error,
            remedy="remove it: the states and the bundles beside it are kept, and the next call goes on from them",
        ) from error
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
    # the first letters of an option are no option: --minute would pass for --minutes
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("recipes", nargs="*", type=Path, metavar="RECIPE")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    parser.add_argument("--minutes", type=float, default=9.0, help="of the whole call (9)")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="the output folder (runs/zoo)")
    parser.add_argument(
        "--from", dest="from_", type=Path, help="go on from the output folder of an earlier call, copied to OUT"
    )
    parser.add_argument(
        "--packed", type=Path, help="unpack stores that are missing, or unfinished, from the parts in this folder"
    )
    parser.add_argument("--compact", action="store_true", help="a smaller state, from which a run goes on nearly alike")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe's key")
    return parser


if __name__ == "__main__":
    main()
