"""Which volumes a conversion is about, and where each sCT goes: files, DICOM folders, and trees of them, mirrored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import InputError
from mr2ct.io.dicom import may_hold_image
from mr2ct.io.folder_tree import walk
from mr2ct.io.formats import READERS, volume_name, volume_suffix
from mr2ct.io.images import FOLDER_SIDECAR, is_picture

FORMATS = {"nii.gz": ".nii.gz", "mha": ".mha", "nrrd": ".nrrd", "png": ""}
"""Formats of an sCT and the suffix of its file; PNG slices are a folder."""

NOT_MR = ("ct", "mask")
"""What is not an MR in the SynthRAD layout (`<case>/{mr,ct,mask}.*`): left out of a tree, unless given by name."""

_MADE_BY_MR2CT = ("_sct", "_preview", "_uncertainty")


@dataclass(frozen=True)
class WorkItem:
    """One volume to read and the path of its sCT; `source` need not exist, reading it says so.

    Example
    -------
    >>> WorkItem(Path("mr.nii.gz"), Path("out/mr_sct.nii.gz")).preview.name
    'mr_preview.png'
    """

    source: Path
    output: Path

    @property
    def preview(self) -> Path:
        """Where the preview goes: beside the sCT."""
        return self.output.parent / f"{self._stem}_preview.png"

    @property
    def uncertainty(self) -> Path:
        """Where the map of the uncertainty goes: beside the sCT, in its format."""
        suffix = self.output.name.removeprefix(volume_name(self.output))
        return self.output.parent / f"{self._stem}_uncertainty{suffix}"

    @property
    def record(self) -> Path:
        """Where the record of the conversion goes: beside the sCT, JSON."""
        return self.output.parent / f"{self._stem}_sct.json"

    @property
    def _stem(self) -> str:
        return volume_name(self.output).removesuffix("_sct")

    @property
    def is_done(self) -> bool:
        """Whether the sCT is there; it is only ever there complete."""
        return self.output.exists()


def worklist(
    inputs: Sequence[Path], out: Path, *, output_format: str = "nii.gz", pictures: bool = False
) -> tuple[WorkItem, ...]:
    """Every volume in `inputs`, in order, each once, with its output under `out`.

    Parameters
    ----------
    inputs : volume files; folders that hold one DICOM series or picture slices; trees of both, which `out` mirrors.
    output_format : a key of `FORMATS`.
    pictures : whether folders of PNG/JPG slices inside a tree count (their spacing must be known then).

    In a tree, what mr2ct made, hidden files, `out` itself, SynthRAD's `ct` and `mask`, and folders of DICOM structure
    sets, plans, doses and reports are left out. A folder in which nothing is found is an item: reading it says what is
    wrong.

    Raises
    ------
    InputError : an unknown format, or two volumes that would have one output.

    Example
    -------
    >>> [item.output.name for item in worklist([Path("a/mr.mha")], Path("out"))]
    ['mr_sct.nii.gz']
    """
    if output_format not in FORMATS:
        raise InputError("unknown output format", got=repr(output_format), expected=f"one of {', '.join(FORMATS)}")
    items: dict[Path, WorkItem] = {}
    for given in inputs:
        for source, folder in _found(given, out, pictures=pictures):
            name = f"{volume_name(source)}_sct{FORMATS[output_format]}"
            items.setdefault(source.resolve(), WorkItem(source, out / folder / name))
    _require_own_outputs(tuple(items.values()))
    return tuple(items.values())


def made_by_mr2ct(path: Path) -> bool:
    """Whether a name is that of an sCT, a preview or a map of uncertainty.

    Example
    -------
    >>> made_by_mr2ct(Path("out/anna_sct.nii.gz"))
    True
    """
    return volume_name(path).endswith(_MADE_BY_MR2CT)


def _found(given: Path, out: Path, *, pictures: bool) -> list[tuple[Path, Path]]:
    """Volumes in one input, each with its folder relative to the output."""
    if not given.is_dir():
        return [(given, Path())]
    found = list(_walk(given, out, pictures=pictures)) or [given]
    return [(source, Path() if source == given else source.parent.relative_to(given)) for source in found]


def _walk(root: Path, out: Path, *, pictures: bool) -> Iterator[Path]:
    """Volumes below a folder: files of one volume each, and folders that are one series."""
    for here, subfolders, files in walk(root):
        subfolders[:] = [
            name for name in subfolders if _is_input(here / name) and (here / name).resolve() != out.resolve()
        ]
        if _is_series(here) or (pictures and _holds_pictures(here)):
            yield here
        for name in files:
            file = here / name
            if volume_suffix(file) in READERS and _is_input(file):
                yield file


def _is_input(path: Path) -> bool:
    return not (path.name.startswith(".") or volume_name(path).lower() in NOT_MR or made_by_mr2ct(path))


def _is_series(folder: Path) -> bool:
    """Whether a folder holds DICOM images, or slices that mr2ct wrote."""
    return (folder / FOLDER_SIDECAR).is_file() or any(may_hold_image(file) for file in folder.iterdir())


def _holds_pictures(folder: Path) -> bool:
    return any(is_picture(file) and _is_input(file) for file in folder.iterdir())


def _require_own_outputs(items: Sequence[WorkItem]) -> None:
    counts = Counter(item.output for item in items)
    for output, count in counts.items():
        if count > 1:
            raise InputError(
                f"{count} inputs would all become {output}",
                got=", ".join(str(item.source) for item in items if item.output == output),
                expected="inputs of different names",
                remedy="convert them one by one, or give the folder above them, which is mirrored",
            )
