"""Where weights come from: the commands that made and scored them, and which mr2ct each of them ran.

A commit names code only where there is a repository and nothing in it was changed; a checksum of the sources names it
everywhere, as on a machine that got a copy of the package.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mr2ct.errors import BundleError
from mr2ct.io.atomic import atomic_file

COMMANDS_FILE = "commands.jsonl"
"""In a run folder: a `Step` a line, one for each process that trained in it."""

_PACKAGE = Path(__file__).parents[1]
_SECONDS_FOR_GIT = 20


class Step(BaseModel):
    """One command that had a part in a model.

    Parameters
    ----------
    command : as it was typed. commit : of mr2ct's repository, "" where not known.
    clean : whether the working tree was that commit; None where not known.
    sources_sha256 : of mr2ct's Python files, see `sources_sha256`; "" where not known.
    began_with : SHA-256 of the weights that a training started from; "" where from nothing, or not known.
    device : what it ran on. day : when, as 2026-11-24. note : what else is to be known, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    commit: str = ""
    clean: bool | None = None
    sources_sha256: str = ""
    began_with: str = ""
    device: str = ""
    day: str = ""
    note: str = ""


class Provenance(BaseModel):
    """The key `provenance` of `bundle.json`: the commands that trained the weights, in order, and that scored them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: tuple[Step, ...] = ()
    scoring: tuple[Step, ...] = ()


def this_step(device: str = "", *, began_with: str = "") -> Step:
    """The command that this process is, and the code it runs.

    Example
    -------
    >>> len(this_step("one CPU core").sources_sha256)
    64
    """
    commit, clean = commit_of(_PACKAGE)
    program, *words = sys.argv or [""]
    return Step(
        command=shlex.join([*_program(Path(program)), *words]),
        commit=commit,
        clean=clean,
        sources_sha256=sources_sha256(_PACKAGE),
        began_with=began_with,
        device=device,
        day=datetime.now(UTC).date().isoformat(),
    )


def _program(path: Path) -> list[str]:
    """How a person would call what runs: an installed command by its name, a script through Python."""
    if path.suffix != ".py":
        return [path.name]
    inside = path.absolute().is_relative_to(Path.cwd())
    return ["python", str(path.absolute().relative_to(Path.cwd()) if inside else path)]


def commit_of(folder: Path) -> tuple[str, bool | None]:
    """The commit of the repository that tracks `folder`, and whether the tree is unchanged; ("", None) where none does.

    An environment inside a repository is not tracked by it: what is installed there has no commit.

    Example
    -------
    >>> commit_of(Path("/no/such/folder"))
    ('', None)
    """
    if not _git(folder, "ls-files", "--", "."):
        return "", None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return (commit or "").strip(), None if changes is None else not changes.strip()


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it cannot be asked."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_FOR_GIT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@cache
def sources_sha256(folder: Path) -> str:
    """The SHA-256 of the names and contents of the Python files below `folder`, in the order of their names.

    Example
    -------
    >>> sources_sha256(Path("no such folder"))[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def record_step(folder: Path, step: Step) -> None:
    """Add a step to the run in `folder`."""
    steps = [*read_steps(folder), step]
    with atomic_file(folder / COMMANDS_FILE) as partial:
        partial.write_text("".join(f"{own.model_dump_json()}\n" for own in steps), encoding="utf-8")


def read_steps(folder: Path) -> tuple[Step, ...]:
    """The steps of the run in `folder`, oldest first; none where it holds no record of them.

    Raises
    ------
    BundleError : a record that cannot be read.

    Example
    -------
    >>> read_steps(Path("no such folder"))
    ()
    """
    path = folder / COMMANDS_FILE
    if not path.exists():
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(Step.model_validate_json(line) for line in lines if line.strip())
    except (ValueError, OSError) as error:
        raise BundleError(f"{path} cannot be read", got=error, expected="a JSON object a line") from error


def with_short_paths(command: str) -> str:
    """The command without the folders of absolute paths, which say nothing on another machine.

    Example
    -------
    >>> with_short_paths("mr2ct train recipes/a.yaml -o /home/me/runs/a data.split=/data/split.json")
    'mr2ct train recipes/a.yaml -o a data.split=split.json'
    """
    words: Sequence[str] = shlex.split(command)
    return shlex.join(_short(word) for word in words)


def _short(word: str) -> str:
    option, equals, value = word.partition("=")
    if equals and value.startswith("/"):
        return f"{option}={Path(value).name}"
    return Path(word).name if word.startswith("/") else word
