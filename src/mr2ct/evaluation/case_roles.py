"""Which volumes of a folder may be what it was given for: the sCTs, the CTs, the masks.

Names tell roles by convention only. A folder of CTs may well hold `MR_001.nii.gz`, the CT of patient MR_001; whoever
gave the folder knew better than the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mr2ct.evaluation.case_folders import UNNAMED, Entry


@dataclass(frozen=True)
class Candidates:
    """What of a folder may have the role it was given for.

    Parameters
    ----------
    usual : by the usual reading of names.
    whole : the same, and what is an MR by the usual reading, all with the words for MR as part of their names.
    unsure : what is no candidate by the usual reading, and yet may be a case.
    """

    usual: tuple[Entry, ...] = ()
    whole: tuple[Entry, ...] = ()
    unsure: tuple[Entry, ...] = ()


def candidates(entries: Iterable[Entry], role: str) -> Candidates:
    """What may be of `role` in a folder that was given for it.

    Example
    -------
    >>> found = candidates([Entry(Path("CT/MR_001.mha"), "mr", "", "001", "MR_001")], "ct")
    >>> found.usual, [entry.name for entry in found.whole]
    ((), ['MR_001'])
    """
    entries = tuple(entries)
    usual = of_roles(entries, (role, UNNAMED))
    if role == "sct" and not usual:
        usual = of_roles(entries, ("ct",))
    misread = () if any(entry.role == role for entry in usual) else _misread(entries, usual, role)
    whole = tuple(map(_with_whole_name, (*usual, *_not_of_one_case(misread, usual))))
    kept = {entry.path for entry in usual}
    bare = (entry for entry in entries if entry.role == UNNAMED and entry.path not in kept)
    return Candidates(usual, whole, (*_not_of_one_case(bare, usual), *map(_with_whole_name, misread)))


def of_roles(entries: Iterable[Entry], roles: Sequence[str]) -> tuple[Entry, ...]:
    """The entries of these roles; of each folder only those of the first role that it holds.

    Example
    -------
    >>> named, bare = Entry(Path("p1/ct.mha"), "ct", "p1", ""), Entry(Path("p1/t2.mha"), "", "p1", "t2")
    >>> of_roles([bare, named], ("ct", UNNAMED)) == (named,)
    True
    """
    entries = tuple(entries)
    first: dict[Path, int] = {}
    for entry in entries:
        if entry.role in roles:
            rank = roles.index(entry.role)
            first[entry.path.parent] = min(rank, first.get(entry.path.parent, rank))
    return tuple(e for e in entries if e.role in roles and roles.index(e.role) == first[e.path.parent])


def _misread(entries: tuple[Entry, ...], usual: tuple[Entry, ...], role: str) -> tuple[Entry, ...]:
    """What is an MR, or a CT among sCTs, by its name; nothing where one has a name in common with a candidate."""
    names = {entry.name for entry in usual}
    folders = {entry.folders[-1] for entry in usual if entry.in_folder}
    in_use = {e.role for e in entries if e.name in names | folders or (e.in_folder and e.folders[-1] in names)}
    by_name = {"mr": role != "mr", "ct": role == "sct"}
    others = (entry for entry in entries if by_name.get(entry.role) and entry.role not in in_use)
    return tuple(entry for entry in others if entry.whole or (entry.role == "ct" and entry.stem))


def _with_whole_name(entry: Entry) -> Entry:
    return replace(entry, role=UNNAMED, stem=entry.whole or entry.stem)


def _not_of_one_case(entries: Iterable[Entry], usual: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Those that do not lie in the folder of one case: there they are another image of that case."""
    beside: dict[Path, list[Entry]] = {}
    for entry in usual:
        beside.setdefault(entry.path.parent, []).append(entry)
    return tuple(entry for entry in entries if not _is_of_one_case(beside.get(entry.path.parent, [])))


def _is_of_one_case(candidates: Sequence[Entry]) -> bool:
    """Whether the folder of these is that of a case: one has no name but the folder's, or is alone in it."""
    return any(own.parts == own.folders for own in candidates) or (len(candidates) == 1 and bool(candidates[0].folders))
