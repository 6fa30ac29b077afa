"""SHA-256 of files: what says that one is the file that was meant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_READ_BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """The SHA-256 of a file, or of the names and contents of a folder's files in order.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as empty:
    ...     sha256(Path(empty.name))[:8]
    'e3b0c442'
    """
    if path.is_dir():
        return sha256_of_files(file for file in path.iterdir() if file.is_file())
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(files: Iterable[Path]) -> str:
    """The SHA-256 of the names and contents of files, in the order of their paths.

    Example
    -------
    >>> sha256_of_files([])[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(_READ_BLOCK):
                digest.update(block)
    return digest.hexdigest()
