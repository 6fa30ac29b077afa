"""Data sets of 2-D pictures, as the public CycleGAN and Pix2Pix code lays them out.

Unpaired: `trainA/ trainB/ testA/ testB/`, A the MR and B the CT. Paired: the same with one name on both sides, or
`train/ test/` with MR (left) and CT (right) side by side in one picture. `val` is read as a third side where present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mr2ct.datasets.case_names import Origin, origin_of, read_listing, without_slice_number
from mr2ct.datasets.cases import PairedCase, UnpairedCase, add_once, require_folder, require_partners
from mr2ct.datasets.splits import require_disjoint
from mr2ct.errors import DataSetError
from mr2ct.io.images import PICTURE_SUFFIXES, is_picture
from mr2ct.volume import Quantity

_SIDES = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class PictureSet:
    """The cases of a picture data set, and which patients its folders put on which side."""

    cases: tuple[PairedCase | UnpairedCase, ...]
    sides: Mapping[str, tuple[str, ...]]


def find_pictures(root: str | Path, *, paired: bool = False) -> PictureSet:
    """Find the pictures of `root`, and the split that its folders make.

    A case is called `<side>-<name>`, in unpaired sets with `-mr` or `-ct` after it. Its patient is the one that
    `root/cases.csv` lists for the name, else the name without its slice number; a name that is a number alone is a
    patient of its own on each side, so give a `cases.csv` where slices of one patient are numbered through.

    Parameters
    ----------
    paired : pictures of one name in `trainA` and `trainB` show the same slice.

    Raises
    ------
    DataSetError : no such folders, an empty one, a missing partner, a patient on two sides.
    """
    folder = require_folder(root)
    listed = read_listing(folder)
    cases: list[PairedCase | UnpairedCase] = []
    sides: dict[str, tuple[str, ...]] = {}
    for prefix, side in _SIDES.items():
        of_side = _cases_of_side(folder, prefix, listed=listed, paired=paired)
        cases += of_side
        sides[side] = tuple(sorted({case.patient for case in of_side}))
    if not sides["train"]:
        raise DataSetError(f"no pictures to train on in {folder}", expected="folders trainA and trainB, or train")
    try:
        require_disjoint(**sides)
    except DataSetError as error:
        raise DataSetError(
            "pictures of one patient on two sides",
            got=error.got,
            expected="the slices of a patient in one of train, val and test",
            remedy=f"move them, or say in {folder / 'cases.csv'} (case,patient) whose pictures these are",
        ) from error
    return PictureSet(tuple(sorted(cases, key=lambda case: case.case)), sides)


def looks_like_pictures(root: str | Path) -> bool:
    """Whether `root` has the folders of a picture data set."""
    folder = Path(root)
    if (folder / "trainA").is_dir() and (folder / "trainB").is_dir():
        return True
    train = folder / "train"
    return train.is_dir() and any(is_picture(path) for path in train.iterdir())


def _cases_of_side(
    folder: Path, prefix: str, *, listed: Mapping[str, Origin], paired: bool
) -> list[PairedCase | UnpairedCase]:
    mr_folder, ct_folder, both = folder / f"{prefix}A", folder / f"{prefix}B", folder / prefix
    if mr_folder.is_dir() or ct_folder.is_dir():
        mrs, cts = _pictures(mr_folder), _pictures(ct_folder)
        if paired:
            alone = [f"{prefix}A/{name}" for name in mrs.keys() - cts.keys()]
            require_partners(
                alone + [f"{prefix}B/{name}" for name in cts.keys() - mrs.keys()],
                expected=f"the same names in {prefix}A and {prefix}B",
                remedy="add or remove pictures, or use `--layout pictures`, where MR and CT are no pairs",
            )
            return [_paired(prefix, name, _origin(prefix, name, listed), mr=mrs[name], ct=cts[name]) for name in mrs]
        return [
            _unpaired(prefix, name, _origin(prefix, name, listed), path=path, quantity=quantity)
            for quantity, pictures in ((Quantity.MR, mrs), (Quantity.HU, cts))
            for name, path in pictures.items()
        ]
    if both.is_dir():
        return [
            _paired(prefix, name, _origin(prefix, name, listed), mr=path, ct=path)
            for name, path in _pictures(both).items()
        ]
    return []


def _pictures(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(require_folder(folder).iterdir()):
        if is_picture(path):
            add_once(found, path.stem, path)
    if not found:
        raise DataSetError(f"no picture in {folder}", expected=f"files {', '.join(PICTURE_SUFFIXES)}")
    return found


def _origin(prefix: str, name: str, listed: Mapping[str, Origin]) -> Origin:
    known = origin_of(name, listed)
    if name in listed or known.centre:
        return known
    patient = without_slice_number(name)
    return Origin(f"{prefix}-{patient}" if patient.isdigit() else patient)


def _paired(prefix: str, name: str, origin: Origin, *, mr: Path, ct: Path) -> PairedCase:
    case = f"{prefix}-{name}"
    return PairedCase(case, origin.patient, origin.centre, mr, ct, None, origin.source, side_by_side=mr == ct)


def _unpaired(prefix: str, name: str, origin: Origin, *, path: Path, quantity: Quantity) -> UnpairedCase:
    case = f"{prefix}-{name}-{'mr' if quantity is Quantity.MR else 'ct'}"
    return UnpairedCase(case, origin.patient, origin.centre, path, quantity, origin.source)
