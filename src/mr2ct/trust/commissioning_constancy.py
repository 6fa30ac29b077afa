"""The constancy set: a few cases of an acceptance test that are run again after each update.

Chosen by MAE, so that the set spans what the site has: the lowest, the median and the highest, and from ten cases on
also the quartiles. Their sCTs are kept, and so every voxel can be compared.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.datasets.case_images import Reading, read_paired
from mr2ct.datasets.cases import PairedCase
from mr2ct.errors import DataSetError
from mr2ct.geometry import difference
from mr2ct.io import read_volume
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.trust.commissioning_case import CommissionedCase
from mr2ct.trust.commissioning_lines import Line, judge
from mr2ct.trust.commissioning_tolerances import Tolerances
from mr2ct.volume import Quantity, Volume

RULE = "by MAE: the cases of lowest, median and highest; from ten cases on also those at the quartiles"
_QUARTILES_FROM = 10
_FIGURES = ("mae_hu", "mae_bone_hu", "bone_dice", "path_length_mae_mm")
"""Compared with the stored ones, each by its own limit `repeat_<key>`."""


@dataclass(frozen=True)
class StoredCase:
    """A case of the constancy set as it was at the acceptance test.

    Parameters
    ----------
    checksums : SHA-256 of the input files by part. sct_file : relative to the report's folder.
    sct_sha256 : of the sCT's voxels, see `voxels_sha256`. verdict : of the input check.
    """

    case: str
    checksums: Mapping[str, str]
    sct_file: str
    sct_sha256: str
    verdict: str
    figures: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "checksums": dict(self.checksums), "figures": dict(self.figures)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> StoredCase:
        """The inverse of `to_json`; DataSetError where a part is missing."""
        try:
            return cls(**{key: said[key] for key in cls.__dataclass_fields__})
        except (KeyError, TypeError) as error:
            raise DataSetError("the stored constancy set is incomplete", got=repr(error)) from error


def choose(cases: Sequence[CommissionedCase]) -> tuple[CommissionedCase, ...]:
    """The cases of the constancy set, by `RULE`, in the order of their MAE; all of them where there are three or fewer.

    Example
    -------
    >>> choose([])
    ()
    """
    ranked = sorted(cases, key=lambda one: (one.figures["mae_hu"], one.case))
    shares = (0.0, 0.25, 0.5, 0.75, 1.0) if len(ranked) >= _QUARTILES_FROM else (0.0, 0.5, 1.0)
    places = sorted({round(share * (len(ranked) - 1)) for share in shares}) if ranked else []
    return tuple(ranked[place] for place in places)


def store(case: CommissionedCase, *, report_folder: Path) -> StoredCase:
    """What is kept of a case; its sCT lies below `report_folder` already."""
    figures = {key: case.figures[key] for key in _FIGURES if math.isfinite(case.figures.get(key, math.nan))}
    return StoredCase(
        case.case,
        case.checksums,
        case.sct_file.relative_to(report_folder).as_posix(),
        voxels_sha256(read_volume(case.sct_file, quantity=Quantity.HU)),
        case.verdict.verdict.value,
        figures,
    )


def voxels_sha256(sct: Volume) -> str:
    """SHA-256 of the voxels as little-endian int16, the last axis fastest: the same for any file format.

    Example
    -------
    >>> from mr2ct.geometry import Geometry
    >>> voxels_sha256(Volume(np.zeros((1, 1, 1)), Geometry((1, 1, 1), np.eye(4)), Quantity.HU))[:8]
    '96a296d2'
    """
    return hashlib.sha256(np.ascontiguousarray(np.rint(sct.voxels).astype("<i2")).tobytes()).hexdigest()


def read_stored_sct(stored: StoredCase, *, report_folder: Path) -> Volume:
    """The sCT that was kept.

    Raises
    ------
    DataSetError : it is gone, or is not the one that was stored.
    """
    path = report_folder / stored.sct_file
    if not path.is_file():
        raise DataSetError(f"the stored sCT of {stored.case} is missing", got=f"no {path}", remedy="commission anew")
    sct = read_volume(path, quantity=Quantity.HU)
    if voxels_sha256(sct) != stored.sct_sha256:
        raise DataSetError(
            f"{path} is not the sCT that was stored",
            got=f"SHA-256 of voxels {voxels_sha256(sct)}",
            expected=stored.sct_sha256,
            remedy="restore the folder from a copy, or commission anew",
        )
    return sct


def compare(
    stored: StoredCase,
    now: CommissionedCase,
    *,
    case: PairedCase,
    reading: Reading,
    report_folder: Path,
    tolerances: Tolerances,
) -> tuple[Line, ...]:
    """A line for each thing that has to stay: the files, the input check's verdict, the sCT's voxels, the figures.

    Raises
    ------
    DataSetError : the stored sCT is gone or altered.
    """
    before = read_stored_sct(stored, report_folder=report_folder)
    after = read_volume(now.sct_file, quantity=Quantity.HU)
    changed = [part for part, digest in stored.checksums.items() if now.checksums.get(part) != digest]
    changed += [part for part in now.checksums if part not in stored.checksums]
    values = {"repeat_inputs_changed": float(len(changed))}
    remarks = {"repeat_inputs_changed": ", ".join(changed)}
    values["repeat_check_changed"] = float(now.verdict.verdict.value != stored.verdict)
    remarks["repeat_check_changed"] = f"was {stored.verdict}, is {now.verdict.verdict.value}"
    differs = difference(after.geometry, before.geometry, tolerance_mm=1e-2)
    if differs is None:
        pair = read_paired(case, reading)
        inside = np.asarray((body_mask(pair.ct) if pair.compared is None else pair.compared).voxels != 0)
        mean_hu, largest_hu = apart_hu(after.voxels, before.voxels, inside)
    else:
        mean_hu = largest_hu = math.inf
        remarks["repeat_sct_mean_hu"] = f"another grid: {differs}"
    values |= {"repeat_sct_mean_hu": mean_hu, "repeat_sct_max_hu": largest_hu}
    for key, value in stored.figures.items():
        is_now = now.figures.get(key, math.nan)
        # a figure that is gone is a change that no limit covers
        values[f"repeat_{key}"] = is_now - value if math.isfinite(is_now) else math.inf
        remarks[f"repeat_{key}"] = f"was {value:.4g}, is {is_now:.4g}"
    return tuple(
        judge(key, value, tolerances, remark=remarks.get(key, ""), case=stored.case) for key, value in values.items()
    )


def apart_hu(one_hu: NDArray[Any], other_hu: NDArray[Any], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean absolute difference inside, and the largest anywhere, in HU; arrays of one shape.

    Example
    -------
    >>> apart_hu(np.array([0, 10, 90]), np.array([0, 0, 0]), np.array([True, True, False]))
    (5.0, 90.0)
    """
    apart = np.abs(one_hu.astype(np.float32) - other_hu.astype(np.float32))
    return float(apart[inside].mean(dtype=np.float64)), float(apart.max())
