"""Which function finds the cases of a data set: the registry of layouts, and a guess for those who name none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mr2ct.datasets.cases import PairedCase, UnpairedCase, find_folders, find_synthrad, find_unpaired, read_csv
from mr2ct.datasets.pictures import find_pictures, looks_like_pictures
from mr2ct.errors import DataSetError


@dataclass(frozen=True)
class Sources:
    """Where a data set lies: one folder or CSV, or a folder for each of MR, CT and (for pairs) mask."""

    data: Path | None = None
    mr: Path | None = None
    ct: Path | None = None
    mask: Path | None = None

    def one(self) -> Path:
        """The folder or CSV that holds everything; DataSetError where it was not named, or more than it."""
        if self.data is None:
            raise DataSetError("this layout lies in one place", expected="the folder or CSV of the data set")
        self._require_unnamed(mr=self.mr, ct=self.ct, mask=self.mask)
        return self.data

    def two(self) -> tuple[Path, Path, Path | None]:
        """The folders of MR, CT and mask: as named, else `mr`, `ct` and `mask` in `data`; DataSetError where both."""
        if self.mr is not None and self.ct is not None:
            self._require_unnamed(data=self.data)
            return self.mr, self.ct, self.mask
        if self.data is None or self.mr is not None or self.ct is not None:
            raise DataSetError("this layout needs a folder of MR and a folder of CT", remedy="give --mr and --ct")
        mask = self.data / "mask"
        return self.data / "mr", self.data / "ct", self.mask or (mask if mask.is_dir() else None)

    def without_masks(self) -> tuple[Path, Path]:
        """The folders of MR and CT of a layout that has no masks; DataSetError where one of masks was named."""
        self._require_unnamed(mask=self.mask)
        mr, ct, _ = self.two()
        return mr, ct

    @staticmethod
    def _require_unnamed(**unused: Path | None) -> None:
        for name, path in unused.items():
            if path is not None:
                given = str(path) if name == "data" else f"--{name} {path}"
                raise DataSetError(
                    "this layout does not use all that was given",
                    got=given,
                    remedy="leave it away, or choose the --layout that has it",
                )


@dataclass(frozen=True)
class DataSet:
    """The cases of a data set, and the sides on which its own folders put the patients, if they do."""

    cases: tuple[PairedCase | UnpairedCase, ...]
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _synthrad(sources: Sources) -> DataSet:
    return DataSet(find_synthrad(sources.one()))


def _folders(sources: Sources) -> DataSet:
    mr, ct, mask = sources.two()
    return DataSet(find_folders(mr, ct, mask_dir=mask))


def _csv(sources: Sources) -> DataSet:
    return DataSet(read_csv(sources.one()))


def _unpaired(sources: Sources) -> DataSet:
    return DataSet(find_unpaired(*sources.without_masks()))


def _pictures(sources: Sources) -> DataSet:
    found = find_pictures(sources.one())
    return DataSet(found.cases, found.sides)


def _paired_pictures(sources: Sources) -> DataSet:
    found = find_pictures(sources.one(), paired=True)
    return DataSet(found.cases, found.sides)


LAYOUTS: dict[str, Callable[[Sources], DataSet]] = {
    "synthrad": _synthrad,
    "folders": _folders,
    "csv": _csv,
    "unpaired": _unpaired,
    "pictures": _pictures,
    "paired-pictures": _paired_pictures,
}
"""Every layout by its name on the command line."""


def find_cases(sources: Sources, layout: str = "auto") -> DataSet:
    """The cases of a data set.

    Parameters
    ----------
    layout : a name in `LAYOUTS`, or "auto": a CSV, two folders of one set of names, picture folders, or SynthRAD's.

    Raises
    ------
    DataSetError : an unknown layout, or what the layout's own function raises.

    Example
    -------
    >>> find_cases(Sources(data=Path("SynthRAD/Task1/brain"))).cases  # doctest: +SKIP
    """
    if layout == "auto":
        layout = guess_layout(sources)
    if layout not in LAYOUTS:
        raise DataSetError("unknown layout", got=repr(layout), expected=f"auto, {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](sources)


def guess_layout(sources: Sources) -> str:
    """The layout that a data set seems to have; never "unpaired", which is for the user to say.

    Example
    -------
    >>> guess_layout(Sources(data=Path("cases.CSV")))
    'csv'
    """
    if sources.mr is not None or sources.ct is not None:
        return "folders"
    data = sources.one()
    if data.suffix.lower() == ".csv":
        return "csv"
    if (data / "mr").is_dir() and (data / "ct").is_dir():
        return "folders"
    return "pictures" if looks_like_pictures(data) else "synthrad"
