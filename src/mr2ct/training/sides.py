"""Which patients give MR to an unpaired run and which give CT: drawn once, on disk, kept by a run that goes on.

Were they drawn anew with one case more or fewer, a patient's MR and CT could both be learnt from, and the file in the
run's folder, which `scripts/label_store.py` builds on, would say something else.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import DataSetError
from mr2ct.io.atomic import atomic_file

SIDES = "unpaired.json"
"""The file's name in a run's folder."""


@dataclass(frozen=True)
class Sides:
    """The patients who give MR and those who give CT, in order; nobody gives both."""

    mr: tuple[str, ...] = ()
    ct: tuple[str, ...] = ()


def draw_sides(with_mr: Set[str], with_ct: Set[str], *, seed: int, kept: Sides | None = None) -> Sides:
    """Share patients out: those who have both images at random, half each; those who have one give that one.

    Parameters
    ----------
    with_mr, with_ct : the patients who have an MR, and those who have a CT.
    kept : sides drawn before, which stay as they are; the others are drawn among themselves.

    Example
    -------
    >>> draw_sides({"a", "b"}, {"a", "c"}, seed=1, kept=Sides(ct=("a",)))
    Sides(mr=('b',), ct=('a', 'c'))
    """
    kept = kept or Sides()
    known = {*kept.mr, *kept.ct}
    both = sorted((with_mr & with_ct) - known)
    random.Random(seed).shuffle(both)
    half = (len(both) + 1) // 2
    return Sides(
        mr=_in_order([*kept.mr, *(with_mr - with_ct - known), *both[:half]]),
        ct=_in_order([*kept.ct, *(with_ct - with_mr - known), *both[half:]]),
    )


def _in_order(patients: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(patients))


def write_sides(sides: Sides, path: str | os.PathLike[str]) -> None:
    """Write the sides as JSON, whole or not at all."""
    content = {"mr": list(sides.mr), "ct": list(sides.ct)}
    with atomic_file(Path(path)) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_sides(path: str | os.PathLike[str]) -> Sides:
    """Read what `write_sides` wrote.

    Raises
    ------
    DataSetError : no such file, damaged, or a patient on both sides.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        sides = Sides(mr=_patients(content["mr"]), ct=_patients(content["ct"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataSetError(
            f"{path} does not say which patients gave MR and which CT",
            got=f"{type(error).__name__}: {error}",
            expected=f"the {SIDES} in the folder of a CycleGAN run",
        ) from error
    both = sorted({*sides.mr} & {*sides.ct})
    if both:
        raise DataSetError(f"{path} has patients on both sides", got=", ".join(both[:5]))
    return sides


def _patients(names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("a side that is no list of names")
    return tuple(names)
