"""Who finds whom: the entries of two folders that are each other's only match.

A full name decides. A shorter one counts only where nothing contradicts it and no other entry of either folder goes by
it: else a case would be compared with another patient's CT, or inside another's mask, and nobody would see it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mr2ct.evaluation.case_folders import Entry
from mr2ct.evaluation.case_roles import Candidates


@dataclass(frozen=True)
class Names:
    """The entries of a folder by what they may be called: their names, and the folders of those that have both."""

    own: dict[str, list[Entry]] = field(default_factory=dict)
    folder: dict[str, list[Entry]] = field(default_factory=dict)


def names_of(entries: Iterable[Entry]) -> Names:
    """Every name that an entry may go by -> the entries that do.

    Example
    -------
    >>> list(names_of([Entry(Path("p1/ct.mha"), "ct", "p1", "")]).own)
    ['p1']
    """
    names = Names()
    for entry in entries:
        names.own.setdefault(entry.name, []).append(entry)
        if entry.in_folder:
            names.folder.setdefault(entry.folders[-1], []).append(entry)
    return names


def closest(entry: Entry, names: Names) -> tuple[Entry, ...]:
    """The entries whose full name is that of `entry`; without any, those that have a shorter name in common with it.

    That is the end of their full names, as far as both go (`p1` and `site1/p1`, not `p1/head` and `p2/head`); or the
    folder of one and all that the other is called (`p1/head` and `p1`).

    Example
    -------
    >>> ct = Entry(Path("p1/ct.mha"), "ct", "p1", "")
    >>> closest(Entry(Path("p1_sct.mha"), "sct", "", "p1"), names_of([ct])) == (ct,)
    True
    """
    alike = [other for other in names.own.get(entry.name, ()) if _agree(entry.parts, other.parts)]
    exact = tuple(other for other in alike if other.parts == entry.parts)
    if exact:
        return exact
    if entry.in_folder:
        by_folder = [o for o in names.own.get(entry.folders[-1], ()) if not o.in_folder]
        return (*alike, *(other for other in by_folder if _agree(entry.folders, other.parts)))
    in_it = names.folder.get(entry.name, ())
    return (*alike, *(other for other in in_it if _agree(entry.parts, other.folders)))


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one name is the end of the other; nameless agrees with nameless alone."""
    length = min(len(one), len(other))
    return one[-length:] == other[-length:] if length else one == other


def matched(ones: Candidates, others: Candidates) -> tuple[tuple[Entry, Entry], ...]:
    """Pairs of entries that are each other's only closest; by their whole names where the usual reading finds nothing.

    Example
    -------
    >>> head = {case: Entry(Path(f"{case}/head_ct.mha"), "ct", case, "head") for case in ("p1", "p2")}
    >>> matched(Candidates((head["p1"],)), Candidates((head["p2"],)))
    ()
    """
    found = _mutual(ones.usual, others.usual)
    by_whole_name = _mutual(_unanswered(ones, others), _unanswered(others, ones))
    return found + tuple((one, other) for one, other in by_whole_name if _agree(one.parts, other.parts))


def _mutual(ones: tuple[Entry, ...], others: tuple[Entry, ...]) -> tuple[tuple[Entry, Entry], ...]:
    names, back = names_of(others), names_of(ones)
    found = ((one, closest(one, names)) for one in ones)
    return tuple((one, close[0]) for one, close in found if len(close) == 1 and closest(close[0], back) == (one,))


def _unanswered(ones: Candidates, others: Candidates) -> tuple[Entry, ...]:
    names = names_of(others.usual)
    answered = {entry.path for entry in ones.usual if closest(entry, names)}
    return tuple(entry for entry in ones.whole if entry.path not in answered)


def why_alone(entry: Entry, names: Names, kind: str, root: Path) -> str:
    """Why an entry has no partner among those of `names`, which are of this kind and lie in `root`.

    Example
    -------
    >>> why_alone(Entry(Path("p1_sct.mha"), "sct", "", "p1"), Names(), "CT", Path("DATA"))
    'no CT of that name in DATA'
    """
    close = closest(entry, names)
    if not close:
        return f"no {kind} of that name in {root}"
    if len(close) > 1:
        return f"several {kind}s of that name: {', '.join(str(other.path) for other in close)}"
    return f"{close[0].path} goes by the name of another case, too"
