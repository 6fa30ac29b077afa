"""What slices of a training hand over: where a recipe's run stands, whether its settings are the same, its way on.

A recipe's folder holds `bundle/`, the best weights; `state.1ofN` ..., the run as a parcel (`training.parcel`); and,
where a slice was killed, `run/`, the run as it was, which is newer than the parcel.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mr2ct.errors import RecipeError
from mr2ct.io.atomic import atomic_folder
from mr2ct.training.checkpoint import read_checkpoint
from mr2ct.training.loop import FINISHED, LAST, NOT_IMPROVING
from mr2ct.training.parcel import parts_of, read_parcel
from mr2ct.training.recipe import Recipe, parse_recipe, read_recipe

STATE, RUN, BUNDLE = "state", "run", "bundle"
_OF_A_SLICE = {
    "run.max_steps",
    "run.max_minutes",
    "run.checkpoint_minutes",
    "run.precision",
    "run.accelerator",
    "run.devices",
    "run.compile",
    "run.resident",
    "data.workers",
}
_MOST_STATED = 4


@dataclass(frozen=True)
class Standing:
    """How many steps a run has done, and by which recipe."""

    steps: int
    recipe: Recipe


def holds_run(folder: Path) -> bool:
    """Whether a recipe's folder holds a run to go on from.

    Example
    -------
    >>> holds_run(Path("not/there"))
    False
    """
    return (folder / RUN / LAST).exists() or bool(parts_of(folder / STATE))


def standing(folder: Path, record: Mapping[str, Any]) -> Standing | None:
    """Where the run in a recipe's folder stands, None where there is none.

    Parameters
    ----------
    record : what the table says of the recipe, or nothing; it counts where only the bundle of a run that ended is left.

    Raises
    ------
    RecipeError : a parcel or a checkpoint that is damaged.
    """
    if not holds_run(folder):
        ended = record.get("ended") in (FINISHED, NOT_IMPROVING) and (folder / BUNDLE).is_dir()
        return Standing(record["steps"], parse_recipe(record["recipe"])) if ended else None
    with TemporaryDirectory() as unpacked:
        at = folder / RUN
        if not (at / LAST).exists():
            at = Path(unpacked) / RUN
            read_parcel(folder / STATE, at)
        return Standing(read_checkpoint(at / LAST)["position"]["step"], read_recipe(at / "recipe.yaml"))


def is_finished(record: Mapping[str, Any], recipe: Recipe, folder: Path) -> bool:
    """Whether an earlier slice's record says that this recipe needs no more of them, and its bundle is in `folder`.

    Example
    -------
    >>> is_finished({}, None, Path("not/there"))
    False
    """
    if not record or not (folder / BUNDLE).is_dir():
        return False
    return bool(record["steps"] >= recipe.run.max_steps or record["ended"] == NOT_IMPROVING)


def require_same_settings(recipe: Recipe, before: Recipe, folder: Path) -> None:
    """Raise RecipeError where `before`, which the run in `folder` is of, is not the same training as `recipe`.

    How long a slice is, what it runs on, and where the stores lie may be another.
    """
    asked, trained = dict(_settings(recipe)), dict(_settings(before))
    keys = [key for key in sorted({*asked, *trained}) if asked.get(key) != trained.get(key)]
    if keys:
        stated = [f"{key}: {trained.get(key)} -> {asked.get(key)}" for key in keys[:_MOST_STATED]]
        more = f", and {len(keys) - _MOST_STATED} more" if len(keys) > _MOST_STATED else ""
        raise RecipeError(
            f"{folder} was trained with other settings ({', '.join(stated)}{more})",
            remedy="use another --out and no --from, or set what it was trained with",
        )


def _settings(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """What makes a training the same training: keys and values."""
    content = recipe.model_dump(mode="json")
    data = content["data"]
    for store in (*data["stores"], *data["paired_stores"]):
        store["path"] = Path(store["path"]).name
    for key in ("split", "case_weights"):
        # mostly `split.json`: the folder's name says of which store
        data[key] = data[key] and "/".join(Path(data[key]).parts[-2:])
    return ((key, value) for key, value in _leaves(content) if key not in _OF_A_SLICE)


def _leaves(content: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def bring(source: Path, folder: Path) -> None:
    """Copy what slices left in `source` to `folder`, which appears whole; what was there gives way."""
    files = [*parts_of(source / STATE), *(source / BUNDLE).rglob("*"), *(source / RUN).rglob("*")]
    with atomic_folder(folder, replace=True) as partial:
        for file in files:
            # a process that was killed may have left hidden files, half written
            if file.is_file() and not file.name.startswith("."):
                target = partial / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
