"""A run's state as parts small enough to travel, and back: the same files, bit for bit.

A checkpoint with its optimiser is 40 to 70 MB, and ways between machines often take no file that large. A parcel is
made of parts `<name>.1of3`, ...; each begins with a line of JSON (its number, how many there are, the whole's SHA-256)
and needs nothing beside it. Files are packed as a tar archive, whose bytes are sorted by their place in a 4-byte
number before they are compressed: float32 weights shrink by a sixth, and nothing is lost.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import RecipeError
from mr2ct.io.atomic import atomic_file, atomic_folder
from mr2ct.io.numbered_parts import numbered_parts, part_path

FORMAT = "mr2ct parcel 1"
PART_BYTES = 14_900_000
_PLANES = 4


def write_parcel(files: Iterable[Path], root: Path, stem: Path, *, part_bytes: int = PART_BYTES) -> list[Path]:
    """Pack `files`, which lie in the folder `root`, into `stem`.1ofN ...; parts of an earlier parcel are removed.

    Parameters
    ----------
    part_bytes : the most a part has, its line of JSON aside.

    Example
    -------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("whole")
    >>> [part.name for part in write_parcel([folder / "a.txt"], folder, folder / "state")]
    ['state.1of1']
    """
    content = _compressed(_archived(files, root))
    digest = hashlib.sha256(content).hexdigest()
    pieces = [content[at : at + part_bytes] for at in range(0, len(content), part_bytes)]
    parts = []
    for number, piece in enumerate(pieces, start=1):
        part = part_path(stem, number, len(pieces))
        head = {"format": FORMAT, "number": number, "count": len(pieces), "sha256": digest}
        with atomic_file(part) as partial:
            partial.write_bytes(json.dumps(head).encode() + b"\n" + piece)
        parts.append(part)
    for old in set(parts_of(stem)) - set(parts):
        old.unlink()
    return parts


def parts_of(stem: Path) -> list[Path]:
    """The parts of a parcel that are there, in their order; of two parcels, those of both."""
    return [part.path for part in numbered_parts(stem)]


def read_parcel(stem: Path, folder: Path) -> list[str]:
    """Unpack the parcel `stem`.1ofN ... into `folder`, which appears whole or not at all; the names of its files.

    Raises
    ------
    RecipeError : a part is missing, damaged, or of another parcel.
    """
    parts = parts_of(stem)
    opened = [_opened(part) for part in parts]
    heads = [head for head, _ in opened]
    complete = [(head.get("number"), head.get("count")) for head in heads] == [
        (number, len(parts)) for number in range(1, len(parts) + 1)
    ]
    content = b"".join(piece for _, piece in opened)
    if not parts or not complete or {head.get("sha256") for head in heads} != {hashlib.sha256(content).hexdigest()}:
        raise RecipeError(
            f"the parcel {stem} is incomplete or damaged",
            got=", ".join(part.name for part in parts) or "no part",
            expected="all its parts, unchanged, and none of another parcel",
            remedy="bring its parts again",
        )
    with atomic_folder(folder) as partial, tarfile.open(fileobj=io.BytesIO(_expanded(content))) as archive:
        archive.extractall(partial, filter="data")
        return archive.getnames()


def _opened(part: Path) -> tuple[dict[str, Any], bytes]:
    line, _, piece = part.read_bytes().partition(b"\n")
    try:
        head = json.loads(line)
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise RecipeError(f"{part} is no part of a parcel", got=repr(line[:40]), expected=FORMAT)
    return head, piece


def _archived(files: Iterable[Path], root: Path) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted(files):
            archive.add(file, arcname=str(file.relative_to(root)), recursive=False)
    return target.getvalue()


def _compressed(content: bytes) -> bytes:
    """8 bytes of length, then each plane: 8 bytes of its compressed length, and itself."""
    padded = np.frombuffer(content + b"\0" * (-len(content) % _PLANES), dtype=np.uint8).reshape(-1, _PLANES)
    planes = [zlib.compress(np.ascontiguousarray(padded[:, n]).tobytes(), 1) for n in range(_PLANES)]
    return _counted(len(content)) + b"".join(_counted(len(plane)) + plane for plane in planes)


def _expanded(content: bytes) -> bytes:
    length, at = int.from_bytes(content[:8], "big"), 8
    planes: list[NDArray[np.uint8]] = []
    for _ in range(_PLANES):
        size = int.from_bytes(content[at : at + 8], "big")
        planes.append(np.frombuffer(zlib.decompress(content[at + 8 : at + 8 + size]), dtype=np.uint8))
        at += 8 + size
    return np.stack(planes, axis=1).tobytes()[:length]


def _counted(number: int) -> bytes:
    return number.to_bytes(8, "big")
