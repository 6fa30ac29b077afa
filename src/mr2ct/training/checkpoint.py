"""Checkpoints: the whole state of a run in one file, which is replaced in one go or not at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from mr2ct.errors import RecipeError

FORMAT_VERSION = 1


def write_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write tensors, numbers and strings; a process killed meanwhile leaves the former checkpoint as it was."""
    target = Path(path)
    partial = target.with_name(f".partial-{target.name}")
    with partial.open("wb") as file:
        torch.save({"format_version": FORMAT_VERSION, "state": state}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, onto the CPU; nothing in the file is executed.

    Raises
    ------
    RecipeError : no checkpoint there, damaged, or written by a newer mr2ct.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RecipeError(
            "nothing to resume", got=f"no file {path}", remedy="start the run without --resume first"
        ) from None
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise RecipeError(f"the checkpoint {path} is damaged", got=str(error).splitlines()[0]) from error
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        raise RecipeError(f"{path} is not a checkpoint of this version of mr2ct", expected=f"format {FORMAT_VERSION}")
    state: dict[str, Any] = content["state"]
    return state
