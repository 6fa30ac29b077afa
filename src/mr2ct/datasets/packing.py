"""A store packed for a journey, in few and small files, and back: what is packed comes out bit for bit.

Slices made from pictures hold at most 256 different values a case, and are kept as their places in that list; other
images as their low and high bytes apart; masks as bits. No reader of images is needed. Parts are `<name>.1of2.npz`, ...
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.datasets.sampling import SLICE_OF
from mr2ct.datasets.store import CaseInfo, CaseStore, StoredCase, create_store, finished_cases, write_case
from mr2ct.errors import DataSetError
from mr2ct.geometry import PLANE_AXIS
from mr2ct.io.atomic import atomic_file
from mr2ct.io.numbered_parts import numbered_parts, part_path

PART_BYTES = 14_800_000
_FORMAT = "mr2ct packed store 1"
_HEAD = "store"
_CASE = "case "
_IMAGES = ("mr", "ct", "mask")
_ENDING = ".npz"


@dataclass(frozen=True)
class PackedCase:
    """What is written of one case: its info and the images it has, by name, (i, j, k)."""

    info: CaseInfo
    images: dict[str, NDArray[Any]]


def pack_store(
    root: Path, stem: Path, *, cases: Iterable[PackedCase], split: str | None = None, part_bytes: int = PART_BYTES
) -> list[Path]:
    """Write `cases` and the settings of the store `root` to `stem`.1ofN.npz ...; parts that were there are removed.

    Parameters
    ----------
    split : the text of the split file that goes along. part_bytes : the most that the cases of a part have.

    Raises
    ------
    DataSetError : no case.
    """
    head = {"format": _FORMAT, "settings": dict(CaseStore.open(root).settings), "split": split}
    blobs = {_CASE + case.info.case: np.frombuffer(_packed(case), dtype=np.uint8) for case in cases}
    if not blobs:
        raise DataSetError("nothing to pack", got=f"no case of {root}", remedy="choose other cases")
    groups: list[dict[str, NDArray[Any]]] = [{}]
    for name, blob in blobs.items():
        if groups[-1] and sum(one.nbytes for one in groups[-1].values()) + blob.nbytes > part_bytes:
            groups.append({})
        groups[-1][name] = blob
    parts = [part_path(stem, n, len(groups), ending=_ENDING) for n in range(1, len(groups) + 1)]
    for part, group in zip(parts, groups, strict=True):
        with atomic_file(part) as partial, partial.open("wb") as file:
            np.savez(file, **{_HEAD: _text(head), **group})  # type: ignore[arg-type]
    for old in set(packed_parts(stem)) - set(parts):
        old.unlink()
    return parts


def packed_parts(stem: Path) -> list[Path]:
    """The parts of a packed store that are there, in their order."""
    return [part.path for part in numbered_parts(stem, ending=_ENDING)]


def packed_cases(stem: Path) -> set[str]:
    """The names of the cases in the parts that are there; of the cases nothing else is read.

    Raises
    ------
    DataSetError : a part cannot be read or is none.
    """
    names: set[str] = set()
    for part in packed_parts(stem):
        with _opened(part) as archive:
            _read_head(archive, part)
            names.update(_case_names(archive))
    return names


def unpack_store(stem: Path, root: Path) -> int:
    """Make the store `root` from `stem`.1ofN.npz ..., or finish making it; how many cases it holds.

    Raises
    ------
    DataSetError : a part is missing or is none; the store exists with other settings.
    """
    parts = numbered_parts(stem, ending=_ENDING)
    if not parts or [part[:2] for part in parts] != [(len(parts), n) for n in range(1, len(parts) + 1)]:
        raise DataSetError(
            f"the packed store {stem} is incomplete",
            got=", ".join(part.path.name for part in parts) or "no part",
            expected=f"{stem.name}.1ofN.npz to {stem.name}.NofN.npz",
        )
    there = set(finished_cases(root))
    for part in parts:
        with _opened(part.path) as archive:
            head = _read_head(archive, part.path)
            create_store(root, settings=head["settings"])
            if head["split"] is not None:
                with atomic_file(root / "split.json") as partial:
                    partial.write_text(head["split"], encoding="utf-8")
            for name in _case_names(archive):
                if name not in there:
                    case = _unpacked(archive[_CASE + name].tobytes())
                    write_case(root, info=case.info, **case.images)
    return len(finished_cases(root))


def whole_cases(cases: Iterable[StoredCase]) -> Iterator[PackedCase]:
    """The cases as they are."""
    for case in cases:
        yield PackedCase(case.info, {name: np.array(getattr(case, name)()) for name in _images_of(case)})


def slices_of(cases: Iterable[StoredCase], *, count: int, planes: Sequence[str], seed: int) -> Iterator[PackedCase]:
    """`count` slices of each volume in each plane, as cases of their own; cases that are single slices as they are.

    They are spread over the heights where the plane meets the mask, each at a random place in its share of them. The
    slice's name is the volume's with the plane and the voxel after it; its record says what it was cut from.
    """
    rng = np.random.default_rng(seed)
    for case in cases:
        if min(case.info.shape) == 1:
            yield from whole_cases([case])
            continue
        images = {name: getattr(case, name)() for name in _images_of(case)}
        for plane in planes:
            axis = PLANE_AXIS[plane]
            others = tuple(other for other in range(3) if other != axis)
            met = np.flatnonzero(np.asarray(images["mask"]).any(axis=others))
            for share in np.array_split(met, count):
                if len(share):
                    yield _slice(case.info, images, plane, int(rng.choice(share)))


def _slice(info: CaseInfo, images: dict[str, NDArray[Any]], plane: str, at: int) -> PackedCase:
    axis = PLANE_AXIS[plane]
    affine = np.array(info.affine)
    affine[:3, 3] += at * affine[:3, axis]
    i, j, k = (1 if other == axis else n for other, n in enumerate(info.shape))
    cut = replace(
        info,
        case=f"{info.case}-{plane}{at}",
        shape=(i, j, k),
        affine=affine.tolist(),
        record={**info.record, SLICE_OF: info.case},
    )
    return PackedCase(cut, {name: np.array(np.take(image, [at], axis)) for name, image in images.items()})


def _images_of(case: StoredCase) -> list[str]:
    return [name for name in _IMAGES if name == "mask" or getattr(case, f"has_{name}")]


def _packed(case: PackedCase) -> bytes:
    arrays: dict[str, NDArray[Any]] = {"info": _text(asdict(case.info))}
    for name, image in case.images.items():
        if name == "mask":
            arrays["mask"] = np.packbits(image > 0)
            continue
        # float16 by its bytes: -0.0 and 0.0 are different then, as they are in the store
        numbers = image.view(np.uint16).reshape(-1)
        values, places = np.unique(numbers, return_inverse=True)
        if len(values) <= 256:
            arrays |= {f"{name}.values": values, f"{name}.places": places.astype(np.uint8)}
        else:
            arrays |= {f"{name}.low": (numbers & 255).astype(np.uint8), f"{name}.high": (numbers >> 8).astype(np.uint8)}
    target = io.BytesIO()
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]
    return target.getvalue()


def _unpacked(blob: bytes) -> PackedCase:
    with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
        stored = json.loads(arrays["info"].tobytes())
        info = CaseInfo(**{**stored, "shape": tuple(stored["shape"])})
        images: dict[str, NDArray[Any]] = {}
        for name, dtype in (("mr", np.float16), ("ct", np.int16)):
            if f"{name}.values" in arrays:
                numbers = arrays[f"{name}.values"][arrays[f"{name}.places"]]
            elif f"{name}.low" in arrays:
                numbers = arrays[f"{name}.low"] | arrays[f"{name}.high"].astype(np.uint16) << 8
            else:
                continue
            images[name] = numbers.astype(np.uint16).view(dtype).reshape(info.shape)
        if "mask" in arrays:
            size = int(np.prod(info.shape))
            images["mask"] = np.unpackbits(arrays["mask"], count=size).reshape(info.shape)
    return PackedCase(info, images)


def _opened(part: Path) -> Any:
    try:
        return np.load(part, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataSetError(f"{part} cannot be read", got=error, remedy="bring it again") from error


def _case_names(archive: Any) -> list[str]:
    return [name.removeprefix(_CASE) for name in archive.files if name.startswith(_CASE)]


def _read_head(archive: Any, part: Path) -> dict[str, Any]:
    head = json.loads(archive[_HEAD].tobytes()) if _HEAD in archive.files else {}
    if head.get("format") != _FORMAT:
        raise DataSetError(f"{part} is no packed store", got=head.get("format"), expected=_FORMAT)
    found: dict[str, Any] = head
    return found


def _text(content: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)
