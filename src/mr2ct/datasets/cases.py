"""The cases of a data set, found on disk but not read: who has an MR, a CT, a mask, and whose they are.

Each layout is one function that returns its cases sorted by name, or says which partner is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mr2ct.datasets.case_names import Origin, origin_of, read_listing, read_table, source_in, without_modality
from mr2ct.datasets.folder_levels import entries_in, no_case_in
from mr2ct.errors import DataSetError
from mr2ct.io.formats import READERS, is_volume_path, volume_name, volume_suffix
from mr2ct.volume import Quantity

# two archives side by side: <archive>/Task1/<region>/<case>
_DEPTH_OF_HINTS = 4


@dataclass(frozen=True)
class PairedCase:
    """An MR and the CT of the same anatomy, not yet read.

    Parameters
    ----------
    case, patient, centre : its name, whose it is, where it was made ("" where unknown).
    mr, ct, mask : a volume file, a DICOM series folder or a picture; the mask may be None.
    source : "real" or "phantom".
    side_by_side : `mr` and `ct` are the left and right half of one picture.
    """

    case: str
    patient: str
    centre: str
    mr: Path
    ct: Path
    mask: Path | None = None
    source: str = "real"
    side_by_side: bool = False


@dataclass(frozen=True)
class UnpairedCase:
    """An MR or a CT alone, not yet read; `quantity` says which. One patient may have both, as two cases."""

    case: str
    patient: str
    centre: str
    path: Path
    quantity: Quantity
    source: str = "real"


def find_synthrad(root: str | Path) -> tuple[PairedCase, ...]:
    """The cases of a SynthRAD folder: `root/<case>/{mr,ct,mask}.{nii.gz,nii,mha,mhd,nrrd}`, the mask optional.

    Patient and centre come from `root/cases.csv` where there is one, else from the case's name. Sub-folders with
    neither an MR nor a CT (SynthRAD's `overview`) are passed over.

    Raises
    ------
    DataSetError : no such folder, no case in it (named is the folder above or below that holds some), a case without
        its MR or CT, two files for one of them.

    Example
    -------
    >>> find_synthrad("no such folder")
    Traceback (most recent call last):
    mr2ct.errors.DataSetError: no folder no such folder
    """
    folder = require_folder(root)
    listed = read_listing(folder)
    found, alone = [], []
    for sub_folder in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        parts = _parts(sub_folder)
        if "mr" in parts and "ct" in parts:
            origin = origin_of(sub_folder.name, listed)
            found.append(_paired(sub_folder.name, origin, mr=parts["mr"], ct=parts["ct"], mask=parts.get("mask")))
        elif parts.keys() & {"mr", "ct"}:
            alone.append(f"{sub_folder.name} has only {', '.join(sorted(parts))}")
    require_partners(
        alone,
        expected="an mr and a ct in each case folder",
        remedy="add what is missing or remove the folders; of a SynthRAD release, `mr2ct import` lists the whole cases",
    )
    if not found:
        raise no_case_in(
            folder,
            _is_case,
            depth=_DEPTH_OF_HINTS,
            level="the folder that holds the case folders",
            expected="<case>/mr.nii.gz and <case>/ct.nii.gz (or .nii, .mha, .mhd, .nrrd)",
        )
    return tuple(found)


def find_folders(
    mr_dir: str | Path, ct_dir: str | Path, *, mask_dir: str | Path | None = None
) -> tuple[PairedCase, ...]:
    """Pairs from two folders whose entries have matching names; an entry is a volume file or a sub-folder with one.

    Names match where they are equal without suffix and without a leading or trailing "mr", "mri" or "ct". A
    sub-folder may also be a DICOM series, or slices as pictures. Masks, where given, may be fewer.

    Raises
    ------
    DataSetError : an empty folder, two entries of one name, entries without partner (all are named).
    """
    mrs, cts = _entries(mr_dir, Quantity.MR), _entries(ct_dir, Quantity.HU)
    masks = _entries(mask_dir, Quantity.MASK) if mask_dir is not None else {}
    alone = [f"{name} has no CT" for name in mrs.keys() - cts.keys()]
    alone += [f"{name} has no MR" for name in cts.keys() - mrs.keys()]
    alone += [f"mask {name} has neither" for name in masks.keys() - mrs.keys() - cts.keys()]
    require_partners(
        alone,
        expected=f"the same names in {mr_dir} and {ct_dir}",
        remedy="add or remove files, or use `--layout unpaired`",
    )
    listed = read_listing(Path(mr_dir)) or read_listing(Path(mr_dir).parent)
    return tuple(
        _paired(name, origin_of(name, listed), mr=mrs[name], ct=cts[name], mask=masks.get(name)) for name in sorted(mrs)
    )


def read_csv(csv_path: str | Path) -> tuple[PairedCase, ...]:
    """Pairs from a CSV with the columns case, mr, ct, and where known patient, centre, mask, source.

    Paths are relative to the CSV's folder or absolute. An empty cell is as good as none.

    Raises
    ------
    DataSetError : a missing column, a duplicate case, an unknown source, a row without MR or CT, files that do not
        exist (all are named).
    """
    path = Path(csv_path)
    found, alone = [], []
    for row in read_table(path, required=("case", "mr", "ct")):
        named = origin_of(row["case"], {})
        origin = Origin(row.get("patient") or named.patient, row.get("centre") or named.centre, source_in(row, path))
        parts = {part: path.parent / row[part] for part in ("mr", "ct", "mask") if row.get(part)}
        alone += [f"{row['case']} has no {part}" for part in ("mr", "ct") if part not in parts]
        alone += [f"{row['case']}: no file {file}" for file in parts.values() if not file.exists()]
        if "mr" in parts and "ct" in parts:
            found.append(_paired(row["case"], origin, mr=parts["mr"], ct=parts["ct"], mask=parts.get("mask")))
    require_partners(
        alone,
        expected=f"files that exist, relative to {path.parent}",
        remedy=f"add the files, or mend or remove their rows in {path}",
    )
    return tuple(sorted(found, key=lambda case: case.case))


def find_unpaired(mr_dir: str | Path, ct_dir: str | Path) -> tuple[UnpairedCase, ...]:
    """An MR case for each entry of one folder and a CT case for each of another; see `find_folders` for entries.

    Cases are called `<name>-mr` and `<name>-ct`. Entries of one name are of one patient, and so are those that a
    `cases.csv` in their folder says are: sampling never shows them side by side.

    Raises
    ------
    DataSetError : an empty folder, or two entries of one name in it.
    """
    found = []
    for folder, quantity, ending in ((mr_dir, Quantity.MR, "mr"), (ct_dir, Quantity.HU, "ct")):
        listed = read_listing(Path(folder)) or read_listing(Path(folder).parent)
        for name, path in _entries(folder, quantity).items():
            origin = listed.get(volume_name(path)) or origin_of(name, listed)
            found.append(UnpairedCase(f"{name}-{ending}", origin.patient, origin.centre, path, quantity, origin.source))
    return tuple(sorted(found, key=lambda case: case.case))


def patients_with_centres(cases: Iterable[PairedCase | UnpairedCase]) -> dict[str, str]:
    """Patient -> centre, for `splits.make_split`; DataSetError where one patient has two centres."""
    centres: dict[str, str] = {}
    for case in cases:
        known = centres.setdefault(case.patient, case.centre)
        if known != case.centre:
            raise DataSetError(f"patient {case.patient} has two centres", got=f"{known!r} and {case.centre!r}")
    return centres


def require_folder(folder: str | Path) -> Path:
    """The path of an existing folder; DataSetError otherwise."""
    path = Path(folder)
    if not path.is_dir():
        raise DataSetError(f"no folder {path}")
    return path


def add_once(found: dict[str, Path], name: str, path: Path) -> None:
    """Put `path` under `name`; DataSetError where that name is taken."""
    if name in found:
        raise DataSetError(f"duplicate case {name}", got=f"{found[name]} and {path}", remedy="keep one of them")
    found[name] = path


def _paired(case: str, origin: Origin, *, mr: Path, ct: Path, mask: Path | None) -> PairedCase:
    return PairedCase(case, origin.patient, origin.centre, mr, ct, mask, origin.source)


def _parts(folder: Path) -> Mapping[str, Path]:
    """The files of one case folder by what they are: mr, ct, mask."""
    parts: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = _part_of(path)
        if name is not None:
            if name in parts:
                raise DataSetError(f"two files for the {name} of case {folder.name}", got=f"{parts[name]} and {path}")
            parts[name] = path
    return parts


def _is_case(folder: Path) -> bool:
    return any(_part_of(path) in ("mr", "ct") for path in entries_in(folder))


def _part_of(path: Path) -> str | None:
    """mr, ct or mask, as the file's name says; None for any other file."""
    name = volume_name(path).lower()
    return name if name in ("mr", "ct", "mask") and is_volume_path(path) else None


def _entries(folder: str | Path, quantity: Quantity) -> dict[str, Path]:
    """Name -> volume file or DICOM folder, for each entry of a folder."""
    found: dict[str, Path] = {}
    for path in sorted(require_folder(folder).iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            inside = _volume_in(path, quantity)
            if inside is not None:
                add_once(found, without_modality(path.name), inside)
        elif is_volume_path(path):
            add_once(found, without_modality(volume_name(path)), path)
    if not found:
        raise DataSetError(
            f"no volume in {folder}", expected="files .nii, .nii.gz, .mha, .mhd, .nrrd, or folders of DICOM slices"
        )
    return found


def _volume_in(folder: Path, quantity: Quantity) -> Path | None:
    """The one volume of a patient's folder: a file, or the folder itself where it holds slices; None where neither."""
    volumes = [p for p in sorted(folder.iterdir()) if is_volume_path(p) and volume_suffix(p) in READERS]
    wanted = {Quantity.MR: ("mr", "mri"), Quantity.HU: ("ct",), Quantity.MASK: ("mask",)}[quantity]
    volumes = [p for p in volumes if volume_name(p).lower() in wanted] or volumes
    if len(volumes) > 1:
        names = ", ".join(p.name for p in volumes)
        raise DataSetError(f"several volumes in {folder}", got=names, expected=f"one, or one named {wanted[0]}")
    if volumes:
        return volumes[0]
    return folder if is_volume_path(folder) else None


def require_partners(alone: list[str], *, expected: str, remedy: str) -> None:
    """Raise DataSetError, naming them, where cases lack a partner; `expected` says what was looked for."""
    if alone:
        shown = sorted(alone)[:20]
        raise DataSetError(
            f"{len(alone)} missing partner(s)",
            got="; ".join(shown) + ("; ..." if len(alone) > len(shown) else ""),
            expected=expected,
            remedy=remedy,
        )
