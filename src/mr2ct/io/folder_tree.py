"""What lies below a folder, through links, too: data sets are often trees of links to where the images lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder from `root` down, with the names of its subfolders and of its files, in order.

    As with `os.walk`, subfolders that are taken out of the list are not entered. A link that leads back to a folder
    above it is not followed.

    Example
    -------
    >>> list(walk(Path("no/such/folder")))
    []
    """
    for folder, subfolders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not _leads_back(here / name, root))
        yield here, subfolders, sorted(files)


def files_below(root: Path) -> Iterator[Path]:
    """All files below a folder.

    Example
    -------
    >>> list(files_below(Path("no/such/folder")))
    []
    """
    return (folder / name for folder, _, files in walk(root) for name in files)


def _leads_back(path: Path, root: Path) -> bool:
    if not path.is_symlink():
        return False
    above = [parent for parent in path.parents if parent == root or root in parent.parents]
    return path.resolve() in {parent.resolve() for parent in above}
