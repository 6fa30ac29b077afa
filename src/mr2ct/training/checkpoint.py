"""Checkpoints: the whole state of a run in one file, which is replaced in one go or not at all."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from mr2ct.errors import RecipeError
from mr2ct.io.atomic import atomic_file, remove_unfinished

FORMAT_VERSION = 1


def write_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write tensors, numbers and strings; a process killed meanwhile leaves the former checkpoint as it was.

    What a killed one has left half written goes. One process at a time writes a checkpoint.

    Raises
    ------
    DiskSpaceError : the disk is full. InputError : the folder cannot be written. The former checkpoint stays.
    """
    target = Path(path)
    remove_unfinished(target)
    with atomic_file(target) as partial, partial.open("wb") as file:
        _save({"format_version": FORMAT_VERSION, "state": state}, file)
        file.flush()
        os.fsync(file.fileno())
    _flush_folder(target.parent)


def _save(content: dict[str, Any], file: IO[bytes]) -> None:
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # where a file takes no more, torch's writer fails over its own end and hides why
        cause = error.__context__
        if isinstance(cause, OSError):
            raise cause from None
        raise


def _flush_folder(folder: Path) -> None:
    # a power cut could otherwise undo the renaming
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, onto the CPU; nothing in the file is executed.

    Raises
    ------
    RecipeError : no checkpoint there, damaged, or written by a newer mr2ct.
    """
    try:
        # torch itself does not compare the checksums it writes
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RecipeError(
            "nothing to resume", got=f"no file {path}", remedy="start the run without --resume first"
        ) from None
    except OSError as error:
        raise RecipeError(f"the checkpoint {path} cannot be read", got=error.strerror or error) from error
    except Exception as error:
        # a damaged file makes the reader raise nearly anything, from KeyError to RuntimeError
        got = (str(error).splitlines() or [type(error).__name__])[0]
        raise RecipeError(f"the checkpoint {path} is damaged", got=got) from error
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION or "state" not in content:
        raise RecipeError(f"{path} is not a checkpoint of this version of mr2ct", expected=f"format {FORMAT_VERSION}")
    state: dict[str, Any] = content["state"]
    return state
