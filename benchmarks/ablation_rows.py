"""Rows of a table of trainings: which are asked for, each trained once and kept, and what its run noted."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import torch

from mr2ct.io.atomic import atomic_file
from mr2ct.training.loop import STOPPED
from mr2ct.training.recipe import read_recipe
from mr2ct.training.run import Summary, run

SHARPNESS = "bone_gradient_energy_percent"


def parser(words: str | None, *, steps: int) -> argparse.ArgumentParser:
    """The options of such a table; `words` describe it, each row takes `steps` where nothing else is asked for."""
    found = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("names", nargs="*", metavar="NAME", help="rows of the table; all where none is named")
    found.add_argument("--store", type=Path, required=True, help="prepared slices, with their split.json")
    found.add_argument("--phantoms", type=Path, required=True, help="a store of phantoms, cut into slices")
    found.add_argument("--steps", type=int, default=steps)
    found.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    found.add_argument("--out", type=Path, required=True)
    return found


def rows(given: argparse.Namespace, known: Collection[str]) -> list[str]:
    """The rows asked for."""
    if unknown := set(given.names) - set(known):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return given.names or list(known)


def plain(name: str) -> str:
    """A row's name as that of a folder."""
    return name.replace(" ", "_").replace(",", "").replace(".", "")


def kept(out: Path, name: str, make: Callable[[str], dict[str, float]]) -> dict[str, float]:
    """What `make` finds of the row, from result.json in its folder where it was made before."""
    record = out / plain(name) / "result.json"
    if not record.exists():
        found = make(name)
        with atomic_file(record) as partial:
            partial.write_text(json.dumps(found), encoding="utf-8")
        print(f"{name}: {found}", flush=True)
    known: dict[str, float] = json.loads(record.read_text(encoding="utf-8"))
    return known


def trained(recipe: Path, words: Sequence[str], folder: Path) -> Summary:
    """Train one row into `folder`, seeded alike. Ends the script where the run was stopped before its end."""
    torch.manual_seed(0)
    summary = run(read_recipe(recipe, words), folder, say=lambda line: None)
    if summary.outcome.reason == STOPPED:
        raise SystemExit(f"{folder}: stopped before its end; remove it, and start again")
    return summary


def noted(folder: Path, name: str, kind: str = "validation") -> list[float]:
    """What a run noted of one figure, in the order of its steps."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if (row["kind"], row["name"]) == (kind, name)]
