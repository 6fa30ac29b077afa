"""Files in numbered parts, `<name>.1of3`, `<name>.2of3`, ...: what a part is called, and which are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Part(NamedTuple):
    """A file of this name that says which part it is, counted from 1, and how many there are."""

    of: int
    number: int
    path: Path


def part_path(stem: Path, number: int, count: int, *, ending: str = "") -> Path:
    """What a part is called.

    Example
    -------
    >>> part_path(Path("packed/brain"), 1, 2, ending=".npz").as_posix()
    'packed/brain.1of2.npz'
    """
    return stem.with_name(f"{stem.name}.{number}of{count}{ending}")


def numbered_parts(stem: Path, *, ending: str = "") -> list[Part]:
    """The parts of `stem` that are there, in their order; where parts of two countings lie there, all of both.

    `brain.v2.1of2` is a part of `brain.v2`, and none of `brain`.

    Example
    -------
    >>> numbered_parts(Path("no/such/folder/brain"))
    []
    """
    pattern = re.compile(rf"{re.escape(stem.name)}\.(\d+)of(\d+){re.escape(ending)}")
    found = [(path, pattern.fullmatch(path.name)) for path in stem.parent.glob("*")]
    return sorted(Part(int(match[2]), int(match[1]), path) for path, match in found if match)
