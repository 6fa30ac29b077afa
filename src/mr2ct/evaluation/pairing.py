"""Which sCT is compared with which CT: two files, two folders, or a CSV.

What finds no partner is named with the reason, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mr2ct.datasets.case_names import origin_of, read_listing, read_rows
from mr2ct.errors import DataSetError, InputError
from mr2ct.evaluation.case_folders import Entry, entries_beside, entries_of, is_series_folder, role_and_stem
from mr2ct.evaluation.case_matching import closest, matched, names_of, why_alone
from mr2ct.evaluation.case_roles import Candidates, candidates
from mr2ct.io.formats import volume_name

_PARTS = ("mask", "mr", "labels_sct", "labels_ct")
_ROLE_OF_PART = {"mask": "mask", "mr": "mr", "labels_sct": "labels", "labels_ct": "labels"}
_BESIDE_CT = ("mask", "mr")


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

    Folders are paired by name, see `mr2ct.evaluation.case_matching`. Masks and MRs that lie beside the CTs (as in the
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
    sct_file = sources.sct.resolve()
    beside = tuple(entry for entry in entries_beside(sources.ct) if entry.path.resolve() != sct_file)
    cts = candidates(beside, "ct")
    found = {part: _paths(cts, _beside(part, beside, {sources.ct})).get(sources.ct) for part in _BESIDE_CT}
    return CasePair(case, origin.patient, origin.centre, sources.sct, sources.ct, **(found | dict(sources.parts)))


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
    in_ct_root = entries_of(ct_root)
    scts, cts = candidates(entries_of(sct_root), "sct"), candidates(in_ct_root, "ct")
    listed = read_listing(ct_root) or read_listing(sct_root)
    found = matched(scts, cts)
    paired = {entry.path for pair in found for entry in pair}
    named = _case_names((*(ct for _, ct in found), *cts.usual), ct_root)
    parts = {part: _candidates_of_part(part, sources, in_ct_root, paired) for part in _PARTS}
    files = {part: _paths(cts, own) for part, own in parts.items()}
    lacking = _lacking(sources, [ct for _, ct in found], parts, files)
    pairs, excluded = [], []
    for sct, ct in found:
        case, own = named[ct.path], {part: paths.get(ct.path) for part, paths in files.items()}
        origin = origin_of(case, listed)
        if ct.path in lacking:
            excluded.append(Exclusion(case, lacking[ct.path], origin.patient))
        else:
            pairs.append(CasePair(case, origin.patient, origin.centre, sct.path, ct.path, **own))
    alone = _why_alone(scts, cts, paired, roots=(sct_root, ct_root))
    named = _case_names((*scts.usual, *scts.unsure), sct_root) | _case_names(cts.unsure, ct_root) | named
    excluded += [Exclusion(named[path], why, origin_of(named[path], listed).patient) for path, why in alone.items()]
    return _checked(Pairing(tuple(pairs), tuple(excluded)), wanted=f"the same case names in {sct_root} and {ct_root}")


def _case_names(entries: Iterable[Entry], root: Path) -> dict[Path, str]:
    """What each case is called: its name where it is the only one of that name, else its full name."""
    own = {entry.path: entry for entry in reversed(tuple(entries))}
    counts = Counter(entry.name for entry in own.values())
    return {
        path: (entry.name if counts[entry.name] == 1 else "/".join(entry.parts)) or root.resolve().name
        for path, entry in own.items()
    }


def _why_alone(
    scts: Candidates, cts: Candidates, paired: Collection[Path], *, roots: tuple[Path, Path]
) -> dict[Path, str]:
    """Why each sCT and CT that is in no pair is in none; several sCTs of one CT are named with that CT alone."""
    sct_names, ct_names = names_of(scts.usual), names_of(cts.usual)
    reasons, said = {}, set(paired)
    for ct in cts.usual:
        if ct.path not in paired:
            reasons[ct.path] = why_alone(ct, sct_names, "sCT", roots[0])
            several = closest(ct, sct_names)
            said |= {sct.path for sct in several if len(several) > 1}
    reasons |= {sct.path: why_alone(sct, ct_names, "CT", roots[1]) for sct in scts.usual if sct.path not in said}
    for kind, own in (("a CT", cts), ("an sCT", scts)):
        unsaid = (entry for entry in own.unsure if entry.path not in paired and entry.path not in reasons)
        reasons |= {entry.path: f"its name does not say that it is {kind}" for entry in unsaid}
    return reasons


def _candidates_of_part(
    part: str, sources: Sources, in_ct_root: Iterable[Entry], taken: Collection[Path]
) -> Candidates:
    """What may be a mask, an MR or labels: in the folder named for it; masks and MRs also beside the CTs."""
    named = sources.parts.get(part)
    if named is None:
        return _beside(part, in_ct_root, taken) if part in _BESIDE_CT else Candidates()
    if _is_one_volume(named):
        raise DataSetError(f"one {part} for a folder of cases", got=str(named), expected="a folder of the same names")
    return candidates(entries_of(named), _ROLE_OF_PART[part])


def _beside(part: str, in_ct_root: Iterable[Entry], taken: Collection[Path]) -> Candidates:
    role = _ROLE_OF_PART[part]
    return candidates((entry for entry in in_ct_root if entry.role == role and entry.path not in taken), role)


def _paths(cts: Candidates, others: Candidates) -> dict[Path, Path]:
    return {ct.path: other.path for ct, other in matched(cts, others)}


def _lacking(
    sources: Sources, cts: Iterable[Entry], parts: Mapping[str, Candidates], files: Mapping[str, Mapping[Path, Path]]
) -> dict[Path, str]:
    """Why a CT has no mask or labels in the folder that was named for them."""
    reasons: dict[Path, list[str]] = {}
    for part, root in sources.parts.items():
        names, kind = names_of(parts[part].usual), "mask" if part == "mask" else "label map"
        for ct in cts:
            if part != "mr" and ct.path not in files[part]:
                reasons.setdefault(ct.path, []).append(why_alone(ct, names, kind, root))
    return {path: "; ".join(own) for path, own in reasons.items()}


def _checked(pairing: Pairing, *, wanted: str) -> Pairing:
    """The pairing, sorted; DataSetError where nothing was paired or two pairs have one name."""
    excluded = tuple(sorted(pairing.excluded, key=lambda e: e.case))
    if not pairing.pairs:
        reasons = "; ".join(f"{e.case}: {e.reason}" for e in excluded[:5])
        raise DataSetError("no sCT has its CT", got=reasons or None, expected=wanted)
    counts = Counter(pair.case for pair in pairing.pairs)
    doubled = sorted(case for case, count in counts.items() if count > 1)
    if doubled:
        raise DataSetError("two cases of one name", got=", ".join(doubled[:5]), remedy="give each a name of its own")
    return Pairing(tuple(sorted(pairing.pairs, key=lambda pair: pair.case)), excluded)
