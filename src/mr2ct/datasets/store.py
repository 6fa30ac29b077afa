"""The store of prepared cases on disk, which training reads slice by slice and patch by patch.

Layout: `STORE/store.json`, and for each case `STORE/cases/<case>/{mr.npy, ct.npy, mask.npy, case.json}`. A case
folder is written under a hidden name and renamed when it is complete: one that exists is finished. Arrays are plain
`.npy` files read through memory maps (docs/decisions/0001-store-format.md says why). Nothing but numpy and the standard
library is loaded by this module: a machine that trains needs no image reader.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.datasets.settings_difference import differing
from mr2ct.errors import DataSetError
from mr2ct.io.atomic import TEMPORARY_PREFIX, atomic_file, atomic_folder, require_disk_space

FORMAT_VERSION = 1
_HEADER_BYTES = 100_000
_OURS_BESIDES_CASES = ("split.json", ".lock")
_SAFE_NAME = re.compile(r"[\w+=@-][\w+=@. -]*")
_DTYPES: dict[str, type[np.generic]] = {"mr": np.float16, "ct": np.int16, "mask": np.uint8}


@dataclass(frozen=True)
class CaseInfo:
    """What is known of a prepared case besides its voxels.

    Parameters
    ----------
    case : its name, unique in the store, usable as a folder name.
    patient : whose images these are; splits are by patient.
    centre : where they were made; "" where unknown.
    source : "real" or "phantom".
    shape : voxels along (i, j, k), RAS order.
    affine : (4, 4) as nested lists, voxel index to RAS+ mm.
    record : the preprocessing record with the values fitted to this case, JSON-able.

    Example
    -------
    >>> CaseInfo("1BA001", "1BA001", "A", "real", (2, 2, 2), np.eye(4).tolist(), {}).centre
    'A'
    """

    case: str
    patient: str
    centre: str
    source: str
    shape: tuple[int, int, int]
    affine: list[list[float]]
    record: Mapping[str, Any]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (i, j, k), to a micrometre."""
        i, j, k = np.linalg.norm(np.array(self.affine)[:3, :3], axis=0).round(3).tolist()
        return (i, j, k)

    def spacing_mm_beside(self, axis: int | None) -> tuple[float, ...]:
        """`spacing_mm` along the axes of a slice across `axis`; all three where it is None."""
        return tuple(size for other, size in enumerate(self.spacing_mm) if other != axis)


@dataclass(frozen=True)
class StoredCase:
    """A finished case in a store: its info, and its arrays as read-only memory maps of shape `info.shape`."""

    folder: Path
    info: CaseInfo

    @property
    def has_mr(self) -> bool:
        """Whether the case holds an MR; a CT-only case of an unpaired set does not."""
        return (self.folder / "mr.npy").exists()

    @property
    def has_ct(self) -> bool:
        """Whether the case holds a CT; an MR-only case of an unpaired set does not."""
        return (self.folder / "ct.npy").exists()

    def mr(self) -> NDArray[np.float16]:
        """(i, j, k) float16 MR in network units; DataSetError where the case has none."""
        return self._array("mr")

    def ct(self) -> NDArray[np.int16]:
        """(i, j, k) int16 CT in HU; DataSetError where the case has none."""
        return self._array("ct")

    def mask(self) -> NDArray[np.uint8]:
        """(i, j, k) uint8 body mask, 0 outside and 1 inside."""
        return self._array("mask")

    def slice_axis(self) -> int:
        """The axis that the case is one voxel thick along; DataSetError where it is a volume."""
        if 1 not in self.info.shape:
            raise DataSetError(
                f"case {self.info.case} is a volume",
                got=str(self.info.shape),
                expected="a slice (scripts/pack_store.py makes them)",
            )
        return self.info.shape.index(1)

    def _array(self, name: str) -> NDArray[Any]:
        path = self.folder / f"{name}.npy"
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataSetError(f"case {self.info.case} has no {name}", expected=f"the file {path}") from None
        except ValueError as error:
            raise DataSetError("unreadable array in the store", got=f"{path}: {error}", remedy=_REMAKE) from error
        if array.shape != self.info.shape or array.dtype != _DTYPES[name]:
            raise DataSetError(
                f"{path} does not fit its case.json",
                got=f"{array.dtype} {array.shape}",
                expected=f"{np.dtype(_DTYPES[name])} {self.info.shape}",
                remedy=_REMAKE,
            )
        return array


_REMAKE = "delete the case's folder and run `mr2ct preprocess` again"


@dataclass(frozen=True)
class CaseStore:
    """The finished cases of a store, by name, and the settings they were prepared with.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     create_store(folder, settings={})
    ...     len(CaseStore.open(folder).cases)
    0
    """

    root: Path
    settings: Mapping[str, Any]
    cases: tuple[StoredCase, ...]

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> CaseStore:
        """Read the list of finished cases; raises DataSetError where `root` is no store or a newer one."""
        settings = read_settings(root)
        names = finished_cases(root)
        return cls(Path(root), settings, tuple(_open_case(Path(root) / "cases" / name) for name in names))

    def of_patients(self, patients: Sequence[str]) -> tuple[StoredCase, ...]:
        """The cases of these patients, in the store's order."""
        wanted = set(patients)
        return tuple(case for case in self.cases if case.info.patient in wanted)


def create_store(root: str | os.PathLike[str], *, settings: Mapping[str, Any]) -> None:
    """Make an empty store, or accept one made with the same settings; one without a finished case takes the new ones.

    Raises
    ------
    DataSetError : the store holds cases made with other settings, is no store (see `require_store_folder`), or is from
        a newer version.
    """
    require_settings(root, settings)
    path = Path(root) / "store.json"
    if path.exists() and differing(settings, read_settings(root)) is None:
        return
    with atomic_file(path) as partial:
        content = {"format_version": FORMAT_VERSION, "settings": dict(settings)}
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def require_settings(root: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
    """Raise DataSetError where `create_store` would: `root` cannot take cases of these settings. Nothing is made."""
    require_store_folder(root)
    if not (Path(root) / "store.json").exists():
        return
    apart = differing(settings, read_settings(root))
    if apart is not None and finished_cases(root):
        raise DataSetError(
            f"the store {root} was prepared with other settings",
            got=apart[0],
            expected=apart[1],
            remedy="repeat the recorded settings, or name a new store folder",
        )


def require_store_folder(root: str | os.PathLike[str]) -> None:
    """Raise DataSetError where a folder holds other things than a store."""
    folder = Path(root)
    if (folder / "store.json").exists():
        return
    foreign = [path.name for path in folder.glob("*") if path.name not in _OURS_BESIDES_CASES]
    if foreign:
        raise DataSetError(
            f"the folder {folder} is neither empty nor a store",
            got=", ".join(sorted(foreign)[:5]),
            remedy="name a new folder for the store",
        )


def read_settings(root: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The settings recorded in a store; DataSetError where `root` is no store or a newer one."""
    description = _read_json(Path(root) / "store.json", missing=f"{root} is not a store of prepared cases")
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise DataSetError(
            f"the store {root} has another format version", got=version, expected=FORMAT_VERSION, remedy="update mr2ct"
        )
    settings: Mapping[str, Any] = description.get("settings", {})
    return settings


def finished_cases(root: str | os.PathLike[str]) -> list[str]:
    """The names of the finished cases, sorted; hidden folders are unfinished ones and left out."""
    cases = Path(root) / "cases"
    if not cases.is_dir():
        return []
    return sorted(p.name for p in cases.iterdir() if p.is_dir() and not p.name.startswith("."))


def remove_unfinished(root: str | os.PathLike[str]) -> list[str]:
    """Delete what killed preparations left half-written; only for the one process that prepares this store."""
    cases = Path(root) / "cases"
    stale = sorted(cases.glob(f"{TEMPORARY_PREFIX}*")) if cases.is_dir() else []
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in stale]


def write_case(
    root: str | os.PathLike[str],
    *,
    info: CaseInfo,
    mr: NDArray[Any] | None = None,
    ct: NDArray[Any] | None = None,
    mask: NDArray[Any] | None = None,
) -> Path:
    """Write one case, which appears in the store whole or not at all, and return its folder.

    Parameters
    ----------
    info : its `shape` is that of every array.
    mr, ct, mask : (i, j, k) each; network units stored as float16, HU rounded to int16, 0 outside and 1 inside.

    Raises
    ------
    DataSetError : neither MR nor CT, another shape, values the stored type cannot hold, a case of that name is there.
    DiskSpaceError : not enough room.
    """
    if mr is None and ct is None:
        raise DataSetError(f"case {info.case} has neither MR nor CT")
    arrays = {
        name: _stored(array, name=name, info=info)
        for name, array in (("mr", mr), ("ct", ct), ("mask", mask))
        if array is not None
    }
    folder = _case_folder(root, info.case)
    # a disk that fills up during np.save is an error without a number, so look first
    require_disk_space(folder, sum(array.nbytes for array in arrays.values()) + _HEADER_BYTES)
    with atomic_folder(folder) as partial:
        for name, array in arrays.items():
            with (partial / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                _flush_to_disk(file)
        with (partial / "case.json").open("w", encoding="utf-8") as file:
            json.dump({"format_version": FORMAT_VERSION, **asdict(info)}, file, indent=1)
            _flush_to_disk(file)
    return folder


def require_case_name(case: str) -> str:
    """The name itself, if it can be a folder's name in the store; DataSetError otherwise.

    Example
    -------
    >>> require_case_name("1BA001-axial")
    '1BA001-axial'
    """
    if not _SAFE_NAME.fullmatch(case):
        raise DataSetError(
            "unusable case name",
            got=repr(case),
            expected="letters, digits, - _ + = @ . and spaces, not starting with a dot",
        )
    return case


def _case_folder(root: str | os.PathLike[str], case: str) -> Path:
    folder = Path(root) / "cases" / require_case_name(case)
    if folder.exists():
        raise DataSetError(f"case {case} is already in the store", got=str(folder), remedy="delete it to remake it")
    return folder


def _stored(array: NDArray[Any], *, name: str, info: CaseInfo) -> NDArray[Any]:
    array = np.asarray(array)
    if array.shape != tuple(info.shape):
        raise DataSetError(f"{name} of case {info.case} has another shape", got=array.shape, expected=tuple(info.shape))
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise DataSetError(f"{name} of case {info.case} is not finite numbers", got=f"type {array.dtype}")
    if name == "mask":
        return np.asarray(array > 0, dtype=np.uint8)
    rounded = np.rint(array) if name == "ct" and array.dtype.kind == "f" else array
    limits = np.iinfo(np.int16) if name == "ct" else np.finfo(np.float16)
    lowest, highest = float(rounded.min()), float(rounded.max())
    if lowest < float(limits.min) or highest > float(limits.max):
        raise DataSetError(
            f"{name} of case {info.case} does not fit {limits.dtype}",
            got=f"{lowest:g} to {highest:g}",
            expected=f"{limits.min} to {limits.max}",
        )
    return np.ascontiguousarray(rounded, dtype=limits.dtype)


def _open_case(folder: Path) -> StoredCase:
    stored = _read_json(folder / "case.json", missing=f"the case folder {folder} has no case.json")
    try:
        info = CaseInfo(
            case=str(stored["case"]),
            patient=str(stored["patient"]),
            centre=str(stored["centre"]),
            source=str(stored["source"]),
            shape=(int(stored["shape"][0]), int(stored["shape"][1]), int(stored["shape"][2])),
            affine=[[float(number) for number in row] for row in stored["affine"]],
            record=stored["record"],
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataSetError("incomplete case.json", got=f"{folder}: {error!r}", remedy=_REMAKE) from error
    return StoredCase(folder, info)


def _read_json(path: Path, *, missing: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataSetError(missing, expected=f"the file {path}", remedy="make one with `mr2ct preprocess`") from None
    except ValueError as error:
        raise DataSetError("unreadable JSON", got=f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise DataSetError("unreadable JSON", got=f"{path}: a {type(content).__name__}", expected="an object")
    return content


def _flush_to_disk(file: IO[Any]) -> None:
    # without it, a power cut after the rename can leave empty files in a folder that looks finished
    file.flush()
    os.fsync(file.fileno())
