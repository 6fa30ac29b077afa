"""Everything an audit measures of one pair, read from its files, in a value that a process can send back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mr2ct.datasets.case_images import Reading, read_paired
from mr2ct.datasets.cases import PairedCase
from mr2ct.errors import DiskSpaceError, GeometryError, Mr2ctError
from mr2ct.geometry import Float64, difference
from mr2ct.hounsfield import LOWEST_HU
from mr2ct.preprocessing.resampling import resample_to
from mr2ct.trust.pair_coverage import Coverage, coverage
from mr2ct.trust.pair_fingerprint import Fingerprint, fingerprint
from mr2ct.trust.pair_hu import HuExtremes, HuLevels, hu_extremes
from mr2ct.trust.pair_images import Bools, Floats, PairImages, flat_axis, pair_images
from mr2ct.trust.pair_pose import in_place
from mr2ct.trust.pair_streaks import roughness_hu
from mr2ct.trust.registration_quality import RegistrationQuality, registration_quality
from mr2ct.volume import Volume

_LEAST_CONSTANT_MM = 5.0
_AIR_AT_MOST_HU, _LIKE_AIR_HU = -900.0, 50.0
_BROAD_MM = 15.0


@dataclass(frozen=True)
class PairMeasures:
    """The numbers of one pair.

    Parameters
    ----------
    plane : "axial", "coronal", "sagittal" or "volume". registration, coverage, levels, extremes : as their classes say.
    roughness_hu : of the CT's soft tissue. constant_mm : how much of the CT, from one border on, holds one value that
        is not air, and constant_hu : which. ct_void_mm, mr_void_mm : how far the body in the other image reaches into
        rows, from one border on, that hold one value in this one. grids : how the CT's grid differs, or None.
    fingerprint : what duplicates are found by. spacing_mm : of the pixels that the registration's places are told in.
    """

    plane: str
    registration: RegistrationQuality
    coverage: Coverage
    levels: HuLevels
    extremes: HuExtremes
    roughness_hu: float
    constant_mm: float
    constant_hu: float
    ct_void_mm: float
    mr_void_mm: float
    grids: str | None
    fingerprint: Fingerprint
    spacing_mm: float

    def numbers(self) -> dict[str, float]:
        """The measures as a table's row: name (with unit) to value."""
        quality = self.registration
        return {
            "displacement_mm": quality.pose.displacement_mm,
            "shift_mm": float(np.linalg.norm(quality.pose.shift_mm)),
            "rotation_deg": quality.pose.rotation_degrees,
            "edge_agreement": quality.edge_agreement,
            "edge_agreement_in_place": quality.pose.agreement,
            "mutual_information": quality.mutual_information,
            "mutual_information_in_place": quality.mutual_information_in_place,
            "outline_mm": quality.outline_mm,
            "outline_in_place_mm": quality.outline_in_place_mm,
            "local_shift_mm": quality.local.median_mm,
            "bend_mm": quality.local.bend_mm,
            "clear_share": quality.local.clear_share,
            "mirrored_gain": quality.mirrored_gain,
            "ct_lacks_mm": self.coverage.ct_lacks_mm,
            "ct_lacks_share": self.coverage.ct_lacks_share,
            "mr_lacks_mm": self.coverage.mr_lacks_mm,
            "mr_lacks_share": self.coverage.mr_lacks_share,
            "air_hu": self.levels.air,
            "tissue_hu": self.levels.tissue,
            "highest_hu": self.extremes.highest_hu,
            "share_at_highest": self.extremes.at_highest,
            "metal_mm3": self.extremes.metal_mm3,
            "roughness_hu": self.roughness_hu,
            "constant_mm": self.constant_mm,
            "ct_void_mm": self.ct_void_mm,
            "mr_void_mm": self.mr_void_mm,
            "not_finite": float(self.extremes.not_finite),
        }


@dataclass(frozen=True)
class LoadedPair:
    """A pair read from its files.

    Parameters
    ----------
    images : as the audit looks at them. affine : (4, 4) RAS+ mm of the MR. flat_axis : the MR's axis that the images
        do not have, or None. grids : how the CT's grid differs from the MR's, or None. ct : as in the file.
    """

    images: PairImages
    affine: Float64
    flat_axis: int | None
    grids: str | None
    ct: Volume


def load_pair(case: PairedCase, reading: Reading) -> LoadedPair:
    """Read a case; errors as `read_paired`.

    Example
    -------
    >>> load_pair(case, Reading()).images.plane  # doctest: +SKIP
    'axial'
    """
    pair = read_paired(case, reading)
    return _loaded(pair.mr, pair.ct)


def _loaded(mr: Volume, ct: Volume) -> LoadedPair:
    grids = difference(mr.geometry, ct.geometry, tolerance_mm=1e-2)
    on_mr = ct if grids is None else resample_to(ct, mr.geometry, outside=LOWEST_HU)
    if grids is not None and float(on_mr.voxels.max()) == float(on_mr.voxels.min()):
        raise GeometryError("MR and CT nowhere overlap", got=grids, remedy="register them, or mend their headers")
    return LoadedPair(pair_images(mr, on_mr), mr.geometry.affine, flat_axis(mr.geometry.shape), grids, ct)


def measure_case(case: PairedCase, reading: Reading) -> PairMeasures | str:
    """The measures of a case, or in words why it cannot be measured.

    Raises
    ------
    DiskSpaceError : the disk is full. Everything else that goes wrong with one case is said and does not stop the rest.

    Example
    -------
    >>> from pathlib import Path
    >>> measure_case(PairedCase("a", "a", "", Path("no.nii"), Path("no.nii")), Reading())
    'no.nii does not exist...'
    """
    try:
        return _measured(load_pair(case, reading))
    except DiskSpaceError:
        raise
    except Mr2ctError as error:
        return str(error)
    except Exception as error:
        # one strange file must not cost the whole audit
        return f"{type(error).__name__}: {error}"


def measure_pair(mr: Volume, ct: Volume) -> PairMeasures:
    """The measures of an MR and a CT; a CT on another grid is resampled first, and `grids` says so.

    Raises
    ------
    InputError : no body in the MR. GeometryError : the images nowhere overlap.

    Example
    -------
    >>> measure_pair(mr, ct).numbers()["displacement_mm"]  # doctest: +SKIP
    0.4
    """
    return _measured(_loaded(mr, ct))


def _measured(loaded: LoadedPair) -> PairMeasures:
    pair, ct = loaded.images, loaded.ct
    registration = registration_quality(pair)
    placed = in_place(pair, registration.pose)
    voxel_mm3 = float(np.prod(ct.geometry.spacing_mm))
    constant_mm, constant_hu = _constant_border(pair.ct, pair.spacing_mm, but=pair.levels.air - pair.levels.offset_hu)
    return PairMeasures(
        plane=pair.plane,
        registration=registration,
        coverage=coverage(placed),
        levels=pair.levels,
        extremes=hu_extremes(ct.voxels, voxel_mm3=voxel_mm3, offset_hu=pair.levels.offset_hu),
        roughness_hu=roughness_hu(placed),
        constant_mm=constant_mm,
        constant_hu=constant_hu,
        ct_void_mm=_void_mm(placed.ct, placed.mr_body, placed.spacing_mm),
        mr_void_mm=_void_mm(placed.mr, placed.ct_body, placed.spacing_mm),
        grids=loaded.grids,
        fingerprint=fingerprint(placed),
        spacing_mm=pair.spacing_mm,
    )


def _constant_border(ct: Floats, spacing_mm: float, *, but: float) -> tuple[float, float]:
    """How many mm of whole rows or slices at a border hold one value, not that of air, and that value."""
    longest, value = 0.0, float("nan")
    for _, run, first in _constant_runs(ct):
        is_air = first <= _AIR_AT_MOST_HU or abs(first - but) < _LIKE_AIR_HU
        if not is_air and run * spacing_mm > max(longest, _LEAST_CONSTANT_MM):
            longest, value = run * spacing_mm, first
    return longest, value


def _void_mm(image: Floats, body: Bools, spacing_mm: float) -> float:
    """How far a body reaches into the rows or slices at a border of the other image that hold one value."""
    deepest, across = 0.0, image.ndim - 1
    for (axis, from_end), run, _ in _constant_runs(image):
        rows = np.moveaxis(body, axis, 0).reshape(image.shape[axis], -1)
        broad = rows.sum(axis=1) * spacing_mm**across > _BROAD_MM**across
        deepest = max(deepest, float((broad[::-1] if from_end else broad)[:run].sum()) * spacing_mm)
    return deepest


def _constant_runs(image: Floats) -> Iterator[tuple[tuple[int, bool], int, float]]:
    """For each border (axis, whether its end): how many rows or slices from it on hold one value alone, and which."""
    for axis in range(image.ndim):
        rows = np.moveaxis(image, axis, 0).reshape(image.shape[axis], -1)
        low, high = rows.min(axis=1), rows.max(axis=1)
        for from_end in (False, True):
            lowest, highest = (low[::-1], high[::-1]) if from_end else (low, high)
            alike = (highest - lowest < 0.5) & (np.abs(lowest - lowest[0]) < 0.5)
            yield (axis, from_end), len(alike) if alike.all() else int(np.argmin(alike)), float(lowest[0])
