"""Where cases lie in a tree of folders, and which folder to give in place of one that is too high or too low."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mr2ct.errors import DataSetError

_SHOWN = 20


def cases_below(folder: Path, is_case: Callable[[Path], bool], *, depth: int) -> Iterator[Path]:
    """Case folders at most `depth` folders below; nothing is looked for inside a case."""
    for entry in entries_in(folder):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        if is_case(entry):
            yield entry
        elif depth > 1:
            yield from cases_below(entry, is_case, depth=depth - 1)


def entries_in(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it may not be looked into, as beside a data set."""
    try:
        return sorted(folder.iterdir())
    except PermissionError:
        return []


def no_case_in(
    folder: Path, is_case: Callable[[Path], bool], *, depth: int, level: str, expected: str, remedy: str | None = None
) -> DataSetError:
    """The error for a folder without cases, which names the folder to give where that lies above or below.

    Parameters
    ----------
    depth : how many folders down cases are looked for. level : the folders that would have been right, in words.
    expected, remedy : what is said where there is no case near.
    """
    above = folder.resolve().parent
    if is_case(folder):
        return DataSetError(f"{folder} is one case", remedy=f"give the folder of all cases, {above}")
    deeper = sorted({case.parent for case in cases_below(folder, is_case, depth=depth)})
    if deeper:
        return DataSetError(
            f"{folder} is too high: its cases lie deeper",
            got=listed([str(path) for path in deeper]),
            expected=level,
            remedy=f"give {deeper[0]}",
        )
    if next(cases_below(above, is_case, depth=1), None) is not None:
        remedy = f"give the folder above it, {above}"
    return DataSetError(f"no case in {folder}", expected=expected, remedy=remedy)


def listed(names: Sequence[str]) -> str:
    """The names with commas, and the count where they are too many to show.

    Example
    -------
    >>> listed(["1BA001", "1BA002"])
    '1BA001, 1BA002'
    """
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > _SHOWN else "")
