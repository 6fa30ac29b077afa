"""Writing that either happens completely or not at all.

Everything is written to a hidden sibling of its destination and then renamed, which POSIX makes atomic on one file
system.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mr2ct.errors import DiskSpaceError, InputError, Mr2ctError

TEMPORARY_PREFIX = ".mr2ct-tmp-"


def _temporary_sibling(path: Path) -> Path:
    # the name comes last, so that writers that go by the suffix, double suffixes included, choose the right format
    return path.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:12]}-{path.name}"


def _write_error(path: Path, cause: OSError) -> Mr2ctError:
    if path.name.startswith(TEMPORARY_PREFIX):  # one was made inside another: the user knows the last name alone
        path = path.with_name(path.name.removeprefix(TEMPORARY_PREFIX).partition("-")[2])
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskSpaceError(f"no room left on disk for {path}", remedy="free some space or write to another disk")
    return InputError(f"cannot write {path}", got=cause.strerror or str(cause), remedy="choose another output path")


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents; InputError where that is not allowed or a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise _write_error(folder, cause) from cause


def require_writable(folder: Path) -> None:
    """Raise InputError where nothing can be written to `folder`, which need not exist yet; nothing is made.

    To be asked before long work: an error of writing would come after it.

    Example
    -------
    >>> require_writable(Path("not-there") / "yet")
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"cannot write to {folder}", got=f"{there} is a file", remedy="choose another output folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"cannot write to {folder}", got="no permission", remedy="choose another output folder")


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder, with the same suffix; it becomes `path` where the block succeeds.

    Parent folders are made. An existing file is replaced in one step. If the block raises, the temporary file is
    removed and `path` stays as it was.

    Raises
    ------
    DiskSpaceError : the disk is full. InputError : the folder cannot be written.

    Example
    -------
    >>> import tempfile
    >>> with atomic_file(Path(tempfile.mkdtemp()) / "note.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = _temporary_sibling(path)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as cause:
        raise _write_error(path, cause) from cause
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(path: Path | str) -> None:
    """Remove what writers of `path` left that were killed; for whoever is the only one to write it.

    Example
    -------
    >>> remove_unfinished(Path("not-there") / "note.txt")
    """
    path = Path(path)
    if not path.parent.is_dir():
        return
    for left in path.parent.iterdir():
        if left.name.startswith(TEMPORARY_PREFIX) and left.name.endswith(f"-{path.name}"):
            left.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it becomes `path` where the block succeeds.

    So a folder of that name exists only if it is complete. With `replace` an existing folder, and all that is in it,
    gives way to the new one. One that is there and empty is filled in the end: it may be the working folder or a
    mounted one, which cannot be renamed.

    Raises
    ------
    InputError : `path` exists, is not empty, and `replace` is false. DiskSpaceError : the disk is full.

    Example
    -------
    >>> import tempfile
    >>> with atomic_folder(Path(tempfile.mkdtemp()) / "case") as temporary:
    ...     _ = (temporary / "mr.txt").write_text("whole")
    """
    path = Path(path)
    is_empty = path.is_dir() and all(child.name.startswith(TEMPORARY_PREFIX) for child in path.iterdir())
    if not replace and path.exists() and not is_empty:
        raise InputError(f"{path} exists already", remedy="remove it or choose another name")
    make_folder(path.parent)
    temporary = _temporary_sibling(path / "folder" if is_empty else path)
    try:
        temporary.mkdir()
        yield temporary
        if is_empty:
            for child in temporary.iterdir():
                child.replace(path / child.name)
        else:
            _put_in_place(temporary, path)
    except OSError as cause:
        raise _write_error(path, cause) from cause
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.replace(path)
        return
    old = _temporary_sibling(path)
    path.replace(old)
    temporary.replace(path)
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


def require_disk_space(folder: Path | str, n_bytes: int) -> None:
    """Raise DiskSpaceError unless `n_bytes` are free where `folder` is, or will be made.

    Example
    -------
    >>> require_disk_space("/", 1)
    """
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < n_bytes:
        raise DiskSpaceError(
            f"not enough disk space in {folder}",
            got=f"{free / 1e6:.1f} MB free",
            expected=f"{n_bytes / 1e6:.1f} MB",
            remedy="free some space or write to another disk",
        )
