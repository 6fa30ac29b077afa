"""What lies where in a tree of results: which file is an sCT, a CT, an MR, a mask, and of which case.

People keep results as `<case>_sct.nii.gz` in one folder, as `<case>/ct.nii.gz` (SynthRAD), or as `mr2ct convert` leaves
them, `OUT/<case>/mr_sct.nii.gz`. A name tells the role; what is left of it, or the folder, tells the case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mr2ct.errors import DataSetError
from mr2ct.io.dicom import is_dicom_path
from mr2ct.io.folder_tree import files_below, walk
from mr2ct.io.formats import READERS, volume_name, volume_suffix
from mr2ct.io.images import FOLDER_SIDECAR, is_picture

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
_BUT_MR = {word: role for word, role in ROLE_WORDS.items() if role != "mr"}
_OF_PICTURES = "pictures are not evaluated as they are: docs/how-to/use-pictures.md makes volumes of them"
_FIRST_WORD, _LAST_WORD = re.compile(r"^([A-Za-z]+)[-_. ]"), re.compile(r"[-_. ]([A-Za-z]+)$")


@dataclass(frozen=True)
class Entry:
    """One volume of a tree: its path, its role ("" where the name tells none), its folder in the tree, its bare name.

    `folder` leaves out folders that tell a role. `whole` is the bare name with the words for MR, "" where it has none:
    `MR_001.nii.gz` is the MR of 001, or a volume of MR_001.

    Example
    -------
    >>> Entry(Path("out/p1/mr_sct.nii.gz"), "sct", "p1", "").name
    'p1'
    """

    path: Path
    role: str
    folder: str
    stem: str
    whole: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of the folders it lies in, the outermost first."""
        return tuple(self.folder.split("/")) if self.folder else ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The case's full name: folders and bare name, once where that repeats the folder's; () where neither tells."""
        repeated = not self.stem or self.folders[-1:] == (self.stem,)
        return self.folders if repeated else (*self.folders, self.stem)

    @property
    def name(self) -> str:
        """What the case is called: the last of `parts`, "" where there is none."""
        return self.parts[-1] if self.parts else UNNAMED

    @property
    def in_folder(self) -> bool:
        """Whether it has a name of its own in a folder, such as `p1/head_ct.mha`: either may be the case's."""
        return 0 < len(self.folders) < len(self.parts)


def role_and_stem(name: str, words: Mapping[str, str] = ROLE_WORDS) -> tuple[str, str]:
    """The role that a volume's name (without suffix) tells by these words, and the rest of the name.

    Example
    -------
    >>> role_and_stem("p07_mr_sct"), role_and_stem("ct"), role_and_stem("p07")
    (('sct', 'p07'), ('ct', ''), ('', 'p07'))
    """
    found, stem = [], name
    while True:
        word = next(
            (m for m in (_LAST_WORD.search(stem), _FIRST_WORD.search(stem)) if m and m[1].lower() in words), None
        )
        if word is None:
            break
        found.append(word[1].lower())
        stem = stem[: word.start()] + stem[word.end() :]
    if stem.lower() in words:
        found.append(stem.lower())
        stem = ""
    order = list(words)
    return (words[min(found, key=order.index)] if found else UNNAMED), stem


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
        raise DataSetError(
            f"no volume in {root}",
            expected=f"files {', '.join(READERS)}, or DICOM series",
            remedy=_OF_PICTURES if any(is_picture(path) for path in files_below(root)) else None,
        )
    return found


def entries_beside(path: Path) -> tuple[Entry, ...]:
    """The volumes of the folder that `path` lies in, not those of its sub-folders, as entries of that folder's parent.

    Example
    -------
    >>> entries_beside(Path("no such folder") / "ct.mha")
    ()
    """
    here = path.parent
    found = sorted(p for p in here.iterdir() if _is_volume(p)) if here.is_dir() else ()
    return tuple(replace(_entry(p, here), folder=here.resolve().name) for p in found)


def is_series_folder(path: Path) -> bool:
    """Whether a folder is one volume: DICOM slices, or slices that mr2ct wrote as pictures."""
    if not path.is_dir():
        return False
    return (path / FOLDER_SIDECAR).is_file() or any(part.is_file() and is_dicom_path(part) for part in path.iterdir())


def _is_volume(path: Path) -> bool:
    return not path.name.startswith(".") and (
        is_series_folder(path) if path.is_dir() else volume_suffix(path) in READERS
    )


def _walk(root: Path) -> Iterator[Entry]:
    for here, subfolders, files in walk(root):
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
    folders = path.parent.relative_to(root).parts
    telling = [ROLE_WORDS[name.lower()] for name in folders if name.lower() in ROLE_WORDS]
    folder = "/".join(name for name in folders if name.lower() not in ROLE_WORDS)
    if role == UNNAMED:
        # images/ct/p07.mha: the folder tells the role
        return Entry(path, telling[-1] if telling else UNNAMED, folder, stem)
    whole = role_and_stem(volume_name(path), _BUT_MR)[1]
    return Entry(path, role, folder, stem, whole if stem and whole != stem else "")
