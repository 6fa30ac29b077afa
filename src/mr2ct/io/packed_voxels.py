"""Compressed voxels of MetaImage and NRRD, inflated here to check what SimpleITK makes of them.

Of voxels that are damaged or too few SimpleITK gives the rest as what memory held before, without an error.
"""

from __future__ import annotations

import gzip
import re
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError

_MOST_AXES = 10
# zlib's number for "zlib or gzip, whichever the first bytes say"
_ZLIB_OR_GZIP = 47


def require_possible_axes(path: Path) -> None:
    """Raise InputError where a MetaImage has less than 0 axes or a hundred: SimpleITK ends the process there."""
    if _is_nrrd(path):
        return
    with path.open("rb") as stream:
        said = _metaimage_entries(stream).get("NDims", "3")
    if not (said.isdecimal() and int(said) <= _MOST_AXES):
        raise _unreadable(path, f"NDims = {said}", expected="a number of axes")


def inflated_voxels(path: Path, n_bytes: int) -> bytes | None:
    """The voxels of a `.mha`, `.mhd` or `.nrrd` file as they were before compression, or None where they are not.

    Raises
    ------
    InputError : damaged, of another length than `n_bytes`, or in several files.
    """
    try:
        with path.open("rb") as stream:
            voxels = _inflated_nrrd(stream, path) if _is_nrrd(path) else _inflated_metaimage(stream, path)
    except (OSError, EOFError, zlib.error) as cause:
        raise _unreadable(path, str(cause)) from cause
    if voxels is not None and len(voxels) != n_bytes:
        raise _unreadable(path, f"{len(voxels)} bytes of voxels", expected=f"{n_bytes} bytes, by its header")
    return voxels


def require_same_numbers(voxels: NDArray[Any], inflated: bytes, path: Path) -> None:
    """Raise InputError unless SimpleITK's voxels, (z, y, x), are those that were inflated, in either byte order."""
    kind = f"u{voxels.itemsize}"
    numbers = voxels.ravel().view(kind)
    if not any(np.array_equal(numbers, np.frombuffer(inflated, f"{order}{kind}")) for order in "<>"):
        raise _unreadable(
            path,
            "compressed voxels that SimpleITK misreads",
            expected="CompressedDataSize, and no HeaderSize, in its header",
        )


def _is_nrrd(path: Path) -> bool:
    return path.suffix.lower() == ".nrrd"


def _inflated_nrrd(stream: BinaryIO, path: Path) -> bytes | None:
    entries = _nrrd_entries(stream)
    if entries.get("encoding", "").lower() not in ("gz", "gzip"):
        return None
    with _beside(path, entries["datafile"]) if "datafile" in entries else nullcontext(stream) as packed:
        for _ in range(int(entries.get("lineskip", 0))):
            packed.readline()
        return gzip.decompress(packed.read())[int(entries.get("byteskip", 0)) :]


def _inflated_metaimage(stream: BinaryIO, path: Path) -> bytes | None:
    entries = _metaimage_entries(stream)
    if entries.get("CompressedData", "")[:1] not in tuple("Tt1"):
        return None
    name = entries.get("ElementDataFile", "")
    with nullcontext(stream) if name.upper() == "LOCAL" else _beside(path, name) as packed:
        return zlib.decompress(packed.read(), _ZLIB_OR_GZIP)


def _beside(path: Path, name: str) -> BinaryIO:
    if not (path.parent / name).is_file():
        raise _unreadable(path, f"compressed voxels in {name!r}", expected="one file of voxels beside it")
    return (path.parent / name).open("rb")


def _metaimage_entries(stream: BinaryIO) -> dict[str, str]:
    """Up to and with ElementDataFile, which is the last by its definition; `stream` stands behind it."""
    entries: dict[str, str] = {}
    for line in stream:
        key, value = (*re.split("[=:]", line.decode("latin-1"), maxsplit=1), "")[:2]
        entries[key.strip()] = value.strip()
        if "ElementDataFile" in entries:
            break
    return entries


def _nrrd_entries(stream: BinaryIO) -> dict[str, str]:
    """Up to the empty line, behind which `stream` stands; keys in lower case and without blanks."""
    entries: dict[str, str] = {}
    for line in stream:
        if not line.strip():
            break
        key, _, value = line.decode("latin-1").partition(": ")
        entries[key.lower().replace(" ", "")] = value.strip()
    return entries


def _unreadable(path: Path, got: str, *, expected: str = "undamaged compressed voxels") -> InputError:
    return InputError(f"cannot read {path}", got=got, expected=expected, remedy="copy or export it again")
