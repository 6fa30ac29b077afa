"""Which sCT is compared with which CT: two files, two folders, or a CSV.

What finds no partner is named with the reason, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mr2ct.datasets.case_names import Origin, origin_of, read_listing, read_rows
from mr2ct.errors import DataSetError, InputError
from mr2ct.evaluation.case_folders import (
    UNNAMED,
    Entry,
    by_name,
    entries_of,
    is_series_folder,
    of_roles,
    partner,
    role_and_stem,
)
from mr2ct.io.formats import volume_name

_PARTS = ("mask", "mr", "labels_sct", "labels_ct")
_ROLE_OF_PART = {"mask": "mask", "mr": "mr", "labels_sct": "labels", "labels_ct": "labels"}


@dataclass(frozen=True)
class CasePair:
    """An sCT and the CT it is compared with, not yet read; centre is "" where unknown, the other parts may be None.

    Example
    -------
    >>> CasePair("p1-axial", "p1", "A", Path("p1_sct.mha"), Path("p1_ct.mha")).mask is None
    True
    """

    case: str
    patient: str
    centre: str
    sct: Path
    ct: Path
    mask: Path | None = None
    mr: Path | None = None
    labels_sct: Path | None = None
    labels_ct: Path | None = None


@dataclass(frozen=True)
class Exclusion:
    """A case that is not in the figures, and why; `patient` is "" where unknown."""

    case: str
    reason: str
    patient: str = ""


@dataclass(frozen=True)
class Pairing:
    """The pairs to score, sorted by case, and what was left out."""

    pairs: tuple[CasePair, ...]
    excluded: tuple[Exclusion, ...] = ()


@dataclass(frozen=True)
class Sources:
    """Where the pairs lie: `sct` and `ct` two files or two folders, or `sct` a CSV and `ct` None.

    `parts` may hold a file or folder for each of "mask", "mr", "labels_sct", "labels_ct".
    """

    sct: Path
    ct: Path | None = None
    parts: Mapping[str, Path] = field(default_factory=dict)


def find_pairs(sources: Sources) -> Pairing:
    """Pair the sCTs of `sources` with their CTs.

    Folders are paired by name, see `mr2ct.evaluation.case_folders`. Masks and MRs that lie beside the CTs (as in the
    SynthRAD layout) are taken unless others are named. Patient and centre come from the CSV, from `cases.csv` in one of
    the folders, or from SynthRAD names.

    Raises
    ------
    DataSetError : nothing to pair, no name in common, a file where a folder belongs. InputError : a missing file.

    Example
    -------
    >>> find_pairs(Sources(Path("out"), Path("SynthRAD/brain"))).pairs  # doctest: +SKIP
    """
    if sources.sct.suffix.lower() == ".csv":
        return _from_csv(sources)
    if sources.ct is None:
        raise DataSetError("no CT to compare with", got=str(sources.sct), expected="SCT CT, or a CSV of pairs")
    one_sct, one_ct = _is_one_volume(sources.sct), _is_one_volume(sources.ct)
    if one_sct and one_ct:
        return Pairing((_single(sources),))
    if one_sct or one_ct:
        file, folder = (sources.sct, sources.ct) if one_sct else (sources.ct, sources.sct)
        raise DataSetError(
            "a single volume cannot be compared with a folder of cases",
            got=f"{file} and {folder}",
            expected="two volumes or two folders",
        )
    return _from_folders(sources)


def of_patients(pairing: Pairing, patients: Iterable[str]) -> Pairing:
    """The pairs of these patients; the others are neither scored nor listed as excluded.

    Raises
    ------
    DataSetError : none of them is there.
    """
    wanted = frozenset(patients)
    kept = tuple(pair for pair in pairing.pairs if pair.patient in wanted)
    if not kept:
        raise DataSetError("no case of these patients", got=f"{len(pairing.pairs)} cases of other patients")
    excluded = tuple(e for e in pairing.excluded if e.patient in wanted)
    absent = wanted - {pair.patient for pair in kept} - {e.patient for e in excluded}
    gone = tuple(Exclusion(p, "no case of this patient was found", p) for p in sorted(absent))
    return Pairing(kept, excluded + gone)


def _is_one_volume(path: Path) -> bool:
    if not path.exists():
        raise InputError(f"{path} does not exist", expected="a file, a folder of cases or a CSV")
    return path.is_file() or is_series_folder(path)


def _single(sources: Sources) -> CasePair:
    if sources.ct is None:
        raise DataSetError("no CT to compare with")
    for part, path in sources.parts.items():
        if not _is_one_volume(path):
            raise DataSetError(f"a folder for the {part} of one case", got=str(path), expected="a file")
    case = _own_name(sources.sct) or _own_name(sources.ct) or volume_name(sources.sct)
    origin = origin_of(case, read_listing(sources.ct.parent) or read_listing(sources.ct.parent.parent))
    parts = {part: sources.parts.get(part) for part in _PARTS}
    return CasePair(case, origin.patient, origin.centre, sources.sct, sources.ct, **parts)


def _own_name(path: Path) -> str:
    """What a single volume's name says about its case: its bare name, else its folder's."""
    return role_and_stem(volume_name(path))[1] or role_and_stem(path.absolute().parent.name)[1]


def _from_csv(sources: Sources) -> Pairing:
    table = sources.sct
    if sources.ct is not None and sources.ct != table:
        raise DataSetError("a CSV of pairs names the CTs itself", got=str(sources.ct), expected="the CSV alone")
    if sources.parts:
        given = ", ".join(f"--{part.replace('_', '-')}" for part in sources.parts)
        raise DataSetError("a CSV of pairs names masks, MRs and labels itself", got=given, expected="columns of it")
    pairs, excluded = [], []
    for line, row in enumerate(read_rows(table, required=("sct", "ct")), start=2):
        case = row.get("case") or _name_in_row(row, line)
        origin = origin_of(case, {})
        patient = row.get("patient") or origin.patient
        files = {part: table.parent / row[part] for part in ("sct", "ct", *_PARTS) if row.get(part)}
        reasons = [f"no {part} in line {line}" for part in ("sct", "ct") if part not in files]
        reasons += [f"{part}: no file {file}" for part, file in files.items() if not file.exists()]
        if reasons:
            excluded.append(Exclusion(case, "; ".join(reasons), patient))
        else:
            pairs.append(CasePair(case, patient, row.get("centre") or origin.centre, **files))
    return _checked(Pairing(tuple(pairs), tuple(excluded)), wanted=f"rows of {table} whose files exist")


def _name_in_row(row: Mapping[str, str], line: int) -> str:
    names = (_own_name(Path(row[part])) for part in ("sct", "ct") if row[part])
    return next((name for name in names if name), f"line {line}")


def _from_folders(sources: Sources) -> Pairing:
    sct_root, ct_root = sources.sct, Path(str(sources.ct))
    in_sct_root, in_ct_root = entries_of(sct_root), entries_of(ct_root)
    scts = of_roles(in_sct_root, ("sct", UNNAMED)) or of_roles(in_sct_root, ("ct",))
    cts = of_roles(in_ct_root, ("ct", UNNAMED))
    listed = read_listing(ct_root) or read_listing(sct_root)
    index = by_name(cts)
    matched: dict[Path, list[Entry]] = {ct.path: [] for ct in cts}
    excluded = []
    for sct in scts:
        found = partner(sct, index)
        if found is None:
            case = sct.names[0] or sct.path.name
            reason = f"no CT of that name in {ct_root}"
            excluded.append(Exclusion(case, reason, origin_of(case, listed).patient))
        else:
            matched[found.path].append(sct)
    parts = {part: by_name(_entries_of_part(part, sources, in_ct_root)) for part in _PARTS}
    pairs = []
    for ct in cts:
        case = (ct.names[0] if len(index[ct.names[0]]) == 1 else ct.names[-1]) or ct_root.resolve().name
        origin = origin_of(case, listed)
        reason = _why_not_one(matched[ct.path], sct_root)
        if not reason:
            pair = _pair(case, origin, matched[ct.path][0], ct=ct, parts=parts)
            lacking = [p for p in sources.parts if p != "mr" and getattr(pair, p) is None]
            reason = "; ".join(f"no {part} of that name in {sources.parts[part]}" for part in lacking)
        if reason:
            excluded.append(Exclusion(case, reason, origin.patient))
        else:
            pairs.append(pair)
    return _checked(Pairing(tuple(pairs), tuple(excluded)), wanted=f"the same case names in {sct_root} and {ct_root}")


def _why_not_one(scts: list[Entry], sct_root: Path) -> str:
    if not scts:
        return f"no sCT of that name in {sct_root}"
    return "" if len(scts) == 1 else f"several sCTs of that name: {', '.join(str(sct.path) for sct in scts)}"


def _entries_of_part(part: str, sources: Sources, in_ct_root: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Where a mask, an MR or labels may be: in the folder named for it; masks and MRs also beside the CTs."""
    role, named = _ROLE_OF_PART[part], sources.parts.get(part)
    if named is None:
        return of_roles(in_ct_root, (role,)) if part in ("mask", "mr") else ()
    if _is_one_volume(named):
        raise DataSetError(f"one {part} for a folder of cases", got=str(named), expected="a folder of the same names")
    return of_roles(entries_of(named), (role, UNNAMED))


def _pair(
    case: str, origin: Origin, sct: Entry, *, ct: Entry, parts: Mapping[str, Mapping[str, tuple[Entry, ...]]]
) -> CasePair:
    found = {part: partner(ct, index) for part, index in parts.items()}
    paths = {part: None if entry is None else entry.path for part, entry in found.items()}
    return CasePair(case, origin.patient, origin.centre, sct.path, ct.path, **paths)


def _checked(pairing: Pairing, *, wanted: str) -> Pairing:
    """The pairing, sorted; DataSetError where nothing was paired or two pairs have one name."""
    if not pairing.pairs:
        reasons = "; ".join(f"{e.case}: {e.reason}" for e in pairing.excluded[:5])
        raise DataSetError("no sCT has its CT", got=reasons or None, expected=wanted)
    counts = Counter(pair.case for pair in pairing.pairs)
    doubled = sorted(case for case, count in counts.items() if count > 1)
    if doubled:
        raise DataSetError("two cases of one name", got=", ".join(doubled[:5]), remedy="give each a name of its own")
    return Pairing(
        tuple(sorted(pairing.pairs, key=lambda pair: pair.case)),
        tuple(sorted(pairing.excluded, key=lambda e: e.case)),
    )
