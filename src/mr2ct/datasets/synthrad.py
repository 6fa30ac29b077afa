"""The public SynthRAD releases: which folders hold cases of MR to CT, whose they are, and which of them cannot be used.

A case is a folder named as `synthrad_releases` says, with mr, ct and mask in it. Headers are read, voxels are not.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mr2ct.datasets.cases import add_once
from mr2ct.datasets.folder_levels import cases_below, entries_in, listed, no_case_in
from mr2ct.datasets.synthrad_releases import (
    CASE_NAME,
    Release,
    known_centre,
    region_and_centre,
    region_in_words,
    unreadable_name,
)
from mr2ct.errors import DataSetError, Mr2ctError
from mr2ct.geometry import difference
from mr2ct.io.atomic import atomic_file, make_folder
from mr2ct.io.formats import read_geometry, volume_name, volume_suffix

PARTS = ("mr", "ct", "mask")
FORMATS = (".nii.gz", ".mha")
COLUMNS = ("case", "patient", "centre", "region", *PARTS)

_SINGLE_SLICE = re.compile(r".+-(?:axial|coronal|sagittal)")
# two archives side by side: <archive>/Task1/<region>/<case>
_DEPTH, _DEPTH_OF_HINTS = 4, 6
_SAME_GRID_MM = 1e-2


@dataclass(frozen=True)
class SynthradCase:
    """A case that can be used, which is one patient: region in words, centre as a letter, and its three files."""

    case: str
    region: str
    centre: str
    mr: Path
    ct: Path
    mask: Path


@dataclass(frozen=True)
class Imported:
    """What was found: usable cases by name, and name -> reason of those left out and of those that are faulty.

    `left_out` is as the release has it (cone-beam CT, validation cases without a CT), `faulty` is not.
    """

    cases: tuple[SynthradCase, ...]
    left_out: Mapping[str, str]
    faulty: Mapping[str, str]


def import_synthrad(
    root: str | Path, release: Release, *, regions: Collection[str] = (), centres: Collection[str] = ()
) -> Imported:
    """Find and check the MR-to-CT cases in a region's folder, a task's folder, or the folder of the archives.

    Parameters
    ----------
    regions, centres : keep these alone, regions by word or by letters; all where empty.

    Raises
    ------
    DataSetError : a folder too high, too low, or without cases; single slices; one case in two folders; an unknown
        region or centre asked for; no case that can be used.

    Example
    -------
    >>> from mr2ct.datasets.synthrad_releases import RELEASES
    >>> import_synthrad("no such folder", RELEASES["synthrad2023"])
    Traceback (most recent call last):
    mr2ct.errors.DataSetError: no folder no such folder; unpack the archive and give what came out
    """
    wanted_regions = {region_in_words(region, release) for region in regions}
    wanted_centres = {known_centre(centre, release) for centre in centres}
    folders = case_folders(root)
    cases: list[SynthradCase] = []
    left_out: dict[str, str] = {}
    faulty: dict[str, str] = {}
    for name, folder in sorted(folders.items()):
        region, centre = region_and_centre(name, release)
        if (wanted_regions and region not in wanted_regions) or (wanted_centres and centre not in wanted_centres):
            continue
        parts, two_or_mixed = _parts(folder)
        reason = unreadable_name(name, release)
        if reason is None and (expected := _left_out(name, parts)):
            left_out[name] = expected
            continue
        reason = reason or two_or_mixed or _faults(parts)
        if reason:
            faulty[name] = reason
        else:
            cases.append(SynthradCase(name, region, centre, parts["mr"], parts["ct"], parts["mask"]))
    found = Imported(tuple(cases), left_out, faulty)
    _require_some(found, Path(root), release)
    return found


def case_folders(root: str | Path) -> dict[str, Path]:
    """Name -> folder of every case at most four folders down.

    Raises
    ------
    DataSetError : as `import_synthrad`; the message says where cases lie instead.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DataSetError(f"no folder {root}", remedy="unpack the archive and give what came out")
    found: dict[str, Path] = {}
    for case in () if _is_case(folder) else cases_below(folder, _is_case, depth=_DEPTH):
        add_once(found, case.name, case)
    if not found:
        raise no_case_in(
            folder,
            _is_case,
            depth=_DEPTH_OF_HINTS,
            level="the folder of a region, of a task, or of the unpacked archives",
            expected="<task><region><centre><number>/{mr,ct,mask}.{nii.gz,mha}, such as 1BA001/mr.nii.gz",
            remedy="see docs/how-to/train-on-synthrad.md",
        )
    slices = sorted(name for name in found if _SINGLE_SLICE.fullmatch(name))
    if slices:
        raise DataSetError(
            f"{folder} holds single slices, <patient>-<plane>, and not a SynthRAD release",
            got=listed(slices),
            expected="<task><region><centre><number>, such as 1BA001",
            remedy=f"prepare it as it is: `mr2ct preprocess {shlex.quote(str(folder))} -o STORE`",
        )
    return found


def write_cases(cases: Iterable[SynthradCase], path: str | Path) -> Path:
    """Write the table that `mr2ct preprocess` reads, one row a case; paths are relative where files lie beside it.

    Raises
    ------
    DataSetError : another table is there already.
    """
    target = Path(path)
    folder = target.resolve().parent
    rows = [
        {"case": c.case, "patient": c.case, "centre": c.centre, "region": c.region}
        | {part: _as_seen_from(folder, getattr(c, part)) for part in PARTS}
        for c in cases
    ]
    make_folder(folder)
    if target.exists() and _rows_of(target) != rows:
        raise DataSetError(
            f"{target} is there already and lists something else", remedy="remove it, or name another --output"
        )
    with atomic_file(target) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return target


def _rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return list(csv.DictReader(file))


def _as_seen_from(folder: Path, file: Path) -> str:
    file = file.resolve()
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)


# --- files


def _is_case(folder: Path) -> bool:
    return bool(CASE_NAME.fullmatch(folder.name)) or any(_part_of(path) for path in entries_in(folder))


def _part_of(path: Path) -> str | None:
    """mr, ct, mask or cbct, as the file's name says; None for any other file."""
    part = volume_name(path).lower()
    return part if volume_suffix(path) in FORMATS and part in (*PARTS, "cbct") else None


def _parts(folder: Path) -> tuple[dict[str, Path], str | None]:
    """The files of a case by what they are, cbct with them, and what is wrong with them as files."""
    parts: dict[str, Path] = {}
    for path in entries_in(folder):
        part = _part_of(path)
        if part is None:
            continue
        if part in parts:
            return parts, f"two files for the {part}: {parts[part].name} and {path.name}"
        parts[part] = path
    formats = sorted({volume_suffix(path) for path in parts.values()})
    mixed = f"mixed formats: {', '.join(p.name for p in parts.values())}" if len(formats) > 1 else None
    return parts, mixed


def _left_out(name: str, parts: Mapping[str, Path]) -> str | None:
    if name[0] == "2":
        return "task 2, cone-beam CT to CT"
    if "mr" in parts and "ct" not in parts:
        return "no CT, as in the validation and test sets"
    return None


def _faults(parts: Mapping[str, Path]) -> str | None:
    """What is missing, unreadable, or on another grid than the MR; None where all is well."""
    missing = [part for part in PARTS if part not in parts]
    if missing:
        return f"no {' and no '.join(missing)} ({' or '.join(f'{missing[0]}{suffix}' for suffix in FORMATS)})"
    try:
        grids = {part: read_geometry(parts[part]) for part in PARTS}
    except Mr2ctError as error:
        return str(error)
    for part in ("ct", "mask"):
        differs = difference(grids[part], grids["mr"], tolerance_mm=_SAME_GRID_MM)
        if differs is not None:
            return f"{part} and mr lie on different grids: {differs}"
    return None


# --- what is wrong with the whole


def _require_some(found: Imported, root: Path, release: Release) -> None:
    if found.cases:
        return
    reasons = by_reason({**found.left_out, **found.faulty})
    got = "; ".join(f"{reason}: {listed(names)}" for reason, names in reasons.items())
    raise DataSetError(
        f"no case of MR to CT in {root} that {release.name} can have",
        got=got or "none left by --region and --centre",
        expected="cases of task 1 with mr, ct and mask",
    )


def by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> the names that have it, for messages.

    Example
    -------
    >>> by_reason({"1BA001": "no ct", "1BA002": "no ct"})
    {'no ct': ['1BA001', '1BA002']}
    """
    named: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        named.setdefault(reason, []).append(name)
    return named
