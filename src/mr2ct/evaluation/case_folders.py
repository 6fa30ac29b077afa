"""What lies where in a tree of results: which file is an sCT, a CT, an MR, a mask, and of which case.

People keep results as `<case>_sct.nii.gz` in one folder, as `<case>/ct.nii.gz` (SynthRAD), or as `mr2ct convert` leaves
them, `OUT/<case>/mr_sct.nii.gz`. A name tells the role; what is left of it, or the folder, tells the case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import DataSetError
from mr2ct.io.dicom import is_dicom_path
from mr2ct.io.formats import READERS, volume_name, volume_suffix
from mr2ct.io.images import FOLDER_SIDECAR

ROLE_WORDS = {
    "uncertainty": "uncertainty",
    "labels": "labels",
    "seg": "labels",
    "segmentation": "labels",
    "mask": "mask",
    "sct": "sct",
    "synthetic": "sct",
    "ct": "ct",
    "mr": "mr",
    "mri": "mr",
}
"""Words at the start or the end of a name and the role they give; the first of this list wins (`mr_sct` is an sCT)."""

UNNAMED = ""
_FIRST_WORD, _LAST_WORD = re.compile(r"^([A-Za-z]+)[-_. ]"), re.compile(r"[-_. ]([A-Za-z]+)$")


@dataclass(frozen=True)
class Entry:
    """One volume of a tree: its path, its role ("" where the name tells none), its folder in the tree, its bare name.

    Example
    -------
    >>> Entry(Path("out/p1/mr_sct.nii.gz"), "sct", "p1", "").names
    ('p1',)
    """

    path: Path
    role: str
    folder: str
    stem: str

    @property
    def names(self) -> tuple[str, ...]:
        """What the case may be called, the likeliest first; one empty name where neither file nor folder tells."""
        leaf = self.folder.rsplit("/", 1)[-1]
        full = "/".join(part for part in (self.folder, self.stem) if part)
        return tuple(dict.fromkeys([self.stem or leaf, leaf, full] if leaf else [self.stem]))


def role_and_stem(name: str) -> tuple[str, str]:
    """The role that a volume's name (without suffix) tells, and the rest of the name.

    Example
    -------
    >>> role_and_stem("p07_mr_sct"), role_and_stem("ct"), role_and_stem("p07")
    (('sct', 'p07'), ('ct', ''), ('', 'p07'))
    """
    found, stem = [], name
    while True:
        word = next((m for m in (_LAST_WORD.search(stem), _FIRST_WORD.search(stem)) if m and _is_role(m[1])), None)
        if word is None:
            break
        found.append(word[1].lower())
        stem = stem[: word.start()] + stem[word.end() :]
    if _is_role(stem):
        found.append(stem.lower())
        stem = ""
    order = list(ROLE_WORDS)
    return (ROLE_WORDS[min(found, key=order.index)] if found else UNNAMED), stem


def _is_role(word: str) -> bool:
    return word.lower() in ROLE_WORDS


def entries_of(root: Path) -> tuple[Entry, ...]:
    """Every volume file and DICOM series folder below `root`, hidden ones left out, in the order of their paths.

    Raises
    ------
    DataSetError : no such folder, or no volume in it.

    Example
    -------
    >>> entries_of(Path("no such folder"))
    Traceback (most recent call last):
    mr2ct.errors.DataSetError: no folder no such folder...
    """
    if not root.is_dir():
        raise DataSetError(f"no folder {root}", expected="a folder of volumes, or a file")
    found = tuple(sorted(_walk(root), key=lambda entry: str(entry.path)))
    if not found:
        raise DataSetError(f"no volume in {root}", expected=f"files {', '.join(READERS)}, or DICOM series")
    return found


def is_series_folder(path: Path) -> bool:
    """Whether a folder is one volume: DICOM slices, or slices that mr2ct wrote as pictures."""
    if not path.is_dir():
        return False
    return (path / FOLDER_SIDECAR).is_file() or any(part.is_file() and is_dicom_path(part) for part in path.iterdir())


def _walk(root: Path) -> Iterator[Entry]:
    for folder, subfolders, files in os.walk(root):
        here = Path(folder)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        if here != root and is_series_folder(here):
            subfolders[:] = []
            yield _entry(here, root)
            continue
        for name in files:
            if not name.startswith(".") and volume_suffix(name) in READERS:
                yield _entry(here / name, root)


def _entry(path: Path, root: Path) -> Entry:
    role, stem = role_and_stem(volume_name(path))
    folders = list(path.parent.relative_to(root).parts)
    if role == UNNAMED:
        # images/ct/p07.mha: the folder tells the role
        telling = next((n for n in reversed(range(len(folders))) if _is_role(folders[n])), None)
        role = UNNAMED if telling is None else ROLE_WORDS[folders.pop(telling).lower()]
    return Entry(path, role, "/".join(folders), stem)


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


def by_name(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    """Every name that an entry may go by -> the entries that do.

    Example
    -------
    >>> list(by_name([Entry(Path("p1/ct.mha"), "ct", "p1", "")]))
    ['p1']
    """
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        for name in entry.names:
            found.setdefault(name, []).append(entry)
    return {name: tuple(group) for name, group in found.items()}


def partner(entry: Entry, index: Mapping[str, tuple[Entry, ...]]) -> Entry | None:
    """The one entry that `index` (see `by_name`) holds by a name of `entry`, its likeliest first; None where none.

    Example
    -------
    >>> ct = Entry(Path("p1/ct.mha"), "ct", "p1", "")
    >>> partner(Entry(Path("p1_sct.mha"), "sct", "", "p1"), by_name([ct])) == ct
    True
    """
    groups = (index.get(name, ()) for name in entry.names)
    return next((group[0] for group in groups if len(group) == 1), None)
