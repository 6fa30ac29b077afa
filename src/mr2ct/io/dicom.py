"""A DICOM series, MR or CT, from a folder of slices or one enhanced multi-frame file, with pydicom.

Not with SimpleITK's series reader, which gives an incomplete folder a false spacing without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io.dicom_frames import HEADER_TAGS, Frame, frames_of, require_usable_values
from mr2ct.io.dicom_grid import stack
from mr2ct.io.dicom_unpack import needs_unpacking, unpacked
from mr2ct.io.folder_tree import files_below
from mr2ct.io.voxel_types import volume_from_file
from mr2ct.volume import Quantity, Volume

DICOM_SUFFIXES = (".dcm", ".ima")
_MODALITIES = {Quantity.MR: "MR", Quantity.HU: "CT"}
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class SeriesSummary:
    """One line of a list of series: what a person needs to choose one.

    Parameters
    ----------
    uid : SeriesInstanceUID. modality : such as "MR". description : SeriesDescription, may be empty.
    n_slices : number of frames in all its files.
    """

    uid: str
    modality: str
    description: str
    n_slices: int

    def __str__(self) -> str:
        return f"{self.modality} {self.description!r}, {self.n_slices} slices, {self.uid}"


@dataclass(frozen=True)
class _Series:
    summary: SeriesSummary
    headers: list[tuple[Path, Any]]


def is_dicom_file(path: Path | str) -> bool:
    """Whether a file starts as DICOM files do: `DICM` after 128 bytes (PS3.10 section 7.1).

    Example
    -------
    >>> is_dicom_file("no/such/file")
    False
    """
    try:
        with Path(path).open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def list_series(folder: Path | str) -> list[SeriesSummary]:
    """The image series in a folder (or one file), by series number; sub-folders count where the folder itself has none.

    Example
    -------
    >>> list_series("head")  # doctest: +SKIP
    [SeriesSummary(uid='1.2.3', modality='MR', description='T1', n_slices=384)]
    """
    return [series.summary for series in _find_series(Path(folder))]


def read_dicom(
    path: Path, quantity: Quantity = Quantity.MR, *, series: str | int | None = None, force: bool = False
) -> Volume:
    """Read one series: a folder of slices, a folder with an enhanced multi-frame file, or such a file.

    Rescale slope and intercept are applied slice by slice. MONOCHROME1, in which the least value is white, is turned
    over for MR; HU mean the same in both. Voxels are int16 where every stored number fits, else float32.

    Parameters
    ----------
    series : SeriesInstanceUID, number in `list_series` from 1, or SeriesDescription; needed where there are several.
    force : read another modality than MR for MR, or CT for HU.

    Raises
    ------
    InputError : no DICOM images, several series, another modality, colour, truncated, no decoder.
    GeometryError : slices missing, doubled, unevenly spaced, or of mixed orientation.
    """
    chosen = _choose(_find_series(path), series, path)
    _require_modality(chosen.summary, quantity, force)
    frames = [frame for file, header in chosen.headers for frame in frames_of(header, file)]
    uids = {str(header.get("FrameOfReferenceUID") or "") for _, header in chosen.headers}
    if len(uids) > 1:
        raise GeometryError(
            "slices of one series lie in different frames of reference",
            got=", ".join(sorted(uids)),
            remedy="give the slices of each frame of reference a folder of their own",
        )
    _require_one_patient(chosen.headers)
    ordered, geometry = stack(frames, frame_of_reference_uid=uids.pop() or None)
    with unpacked(_packed_files(chosen.headers)) as pixels:
        voxels = _read_voxels(ordered, geometry, quantity, pixels)
    return volume_from_file(voxels, geometry, quantity, name=str(path))


def _require_one_patient(headers: Sequence[tuple[Path, Any]]) -> None:
    ids = {str(header.get("PatientID") or "") for _, header in headers}
    if len(ids) > 1:
        # not which: errors end in logs
        raise InputError(
            "slices of one series are of different patients",
            got=f"{len(ids)} values of PatientID",
            expected="one",
            remedy="give each patient's slices a folder of their own, or export the series again",
        )


def _find_series(path: Path) -> list[_Series]:
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for file in _dicom_files(path):
        header = _read_header(file)
        # reports and structure sets have no pixels
        if "Rows" in header:
            require_usable_values(header, file)
            groups.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((file, header))
    if not groups:
        raise InputError(
            f"no images in {path}",
            got="no DICOM image, PNG or JPG file",
            expected="one DICOM series, or slices as pictures",
        )
    found = [_Series(_summary(uid, headers), headers) for uid, headers in groups.items()]
    return sorted(found, key=lambda series: (_series_number(series), series.summary.uid))


def _dicom_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    here = [file for file in sorted(path.iterdir()) if is_dicom_path(file)]
    return here or [file for file in files_below(path) if is_dicom_path(file)]


def is_dicom_path(path: Path) -> bool:
    """Whether this is a DICOM file, by its name (`.dcm`, `.ima`) or its first bytes.

    Hidden files are none, nor is a DICOMDIR: an index without images, above the folders that hold them.
    """
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    return path.suffix.lower() in DICOM_SUFFIXES or is_dicom_file(path)


def may_hold_image(path: Path) -> bool:
    """Whether this is a DICOM file that holds a picture of the patient, or cannot be read.

    Structure sets, plans, reports and dose do not: exports put them into folders of their own beside the images.

    Example
    -------
    >>> may_hold_image(Path("no/such/file.dcm"))
    False
    """
    if not is_dicom_path(path):
        return False
    try:
        header = _read_header(path)
    except InputError:
        return True
    return "Rows" in header and not str(header.get("Modality", "")).startswith("RT")


def _read_header(path: Path) -> Any:
    import pydicom

    try:
        # force: old files lack the preamble
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(HEADER_TAGS), force=True)
    # whatever pydicom raises, of which it has many kinds; here and below
    except Exception as cause:
        raise _unreadable(path, cause) from cause
    if not header:
        raise InputError(f"{path} is not a DICOM file", remedy="remove it from the folder, or copy it again")
    return header


def _unreadable(path: Path, cause: Exception) -> InputError:
    return InputError(
        f"cannot read {path}",
        got=" ".join(str(cause).split())[:300] or type(cause).__name__,
        expected="a complete DICOM image",
        remedy="copy or export it again",
    )


def _summary(uid: str, headers: Sequence[tuple[Path, Any]]) -> SeriesSummary:
    first = headers[0][1]
    n_slices = sum(int(header.get("NumberOfFrames") or 1) for _, header in headers)
    return SeriesSummary(uid, str(first.get("Modality", "")), str(first.get("SeriesDescription", "")), n_slices)


def _series_number(series: _Series) -> int:
    return int(series.headers[0][1].get("SeriesNumber") or 0)


def _choose(found: Sequence[_Series], wanted: str | int | None, path: Path) -> _Series:
    if wanted is None and len(found) == 1:
        return found[0]
    listed = "; ".join(f"{n}) {series.summary}" for n, series in enumerate(found, start=1))
    if wanted is None:
        raise InputError(
            f"{path} holds {len(found)} series",
            got=listed,
            remedy="choose one with --series NUMBER or UID",
        )
    name = str(wanted).strip()
    matching = [series for series in found if name in (series.summary.uid, series.summary.description)]
    if not matching and name.isdigit() and 1 <= int(name) <= len(found):
        matching = [found[int(name) - 1]]
    if len(matching) != 1:
        raise InputError(
            f"{'several series' if matching else 'no series'} {name!r} in {path}",
            got=listed,
            remedy="choose one with --series NUMBER or UID",
        )
    return matching[0]


def _require_modality(summary: SeriesSummary, quantity: Quantity, force: bool) -> None:
    expected = _MODALITIES.get(quantity)
    if force or expected is None or summary.modality in ("", expected):
        return
    raise InputError(
        f"a DICOM series of modality {summary.modality} where {expected} belongs",
        got=str(summary),
        expected=f"modality {expected}",
        remedy="choose another series, or --force to take it all the same",
    )


def _packed_files(headers: Sequence[tuple[Path, Any]]) -> list[Path]:
    """Those files that pydicom cannot decompress."""
    packed = [(path, header) for path, header in headers if needs_unpacking(header, path)]
    for path, header in packed:
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise InputError(
                f"no decoder for {path}",
                got=header.file_meta.TransferSyntaxUID.name,
                remedy="pip install pylibjpeg pylibjpeg-libjpeg, or export the series uncompressed",
            )
    return [path for path, _ in packed]


def _read_voxels(
    ordered: Sequence[Frame], geometry: Geometry, quantity: Quantity, unpacked_pixels: dict[Path, NDArray[Any]]
) -> NDArray[Any]:
    """(i, j, k) values; laid out slice after slice, as they are read."""
    voxels = np.empty((len(ordered), *geometry.shape[1::-1]), dtype=_value_type(ordered))
    loaded: tuple[Path | None, NDArray[Any]] = (None, np.empty(0))
    for k, frame in enumerate(ordered):
        if loaded[0] != frame.path:
            in_file = unpacked_pixels[frame.path] if frame.path in unpacked_pixels else _decode(frame.path)
            loaded = (frame.path, in_file)
        pixels = loaded[1]
        stored = pixels[frame.index] if pixels.ndim == 3 else pixels
        if stored.shape != voxels.shape[1:]:
            raise InputError(f"{frame.path} contradicts itself", got=stored.shape, expected=voxels.shape[1:])
        voxels[k] = _to_values(stored, frame, mr=quantity is Quantity.MR)
    return voxels.transpose(2, 1, 0)


def _value_type(frames: Sequence[Frame]) -> type[np.int16] | type[np.float32]:
    for frame in frames:
        lowest, highest = (frame.slope * stored + frame.intercept for stored in frame.stored_range)
        whole = frame.slope == 1 and frame.intercept == int(frame.intercept)
        if not whole or lowest < _INT16.min or highest > _INT16.max:
            return np.float32
    return np.int16


def _to_values(stored: NDArray[Any], frame: Frame, *, mr: bool) -> NDArray[Any]:
    values = stored
    if (frame.slope, frame.intercept) != (1, 0):
        values = stored * np.float32(frame.slope) + np.float32(frame.intercept)
    if frame.inverted and mr:
        lowest, highest = (frame.slope * end + frame.intercept for end in frame.stored_range)
        values = np.float32(lowest + highest) - values
    return values


def _decode(path: Path) -> NDArray[Any]:
    """Stored pixels, (rows, columns) or (frames, rows, columns)."""
    import pydicom

    try:
        image = pydicom.dcmread(path, force=True)
        if not image.file_meta.get("TransferSyntaxUID"):
            _assume_plain_pixels(image)
        return np.asarray(image.pixel_array)
    except Exception as cause:
        raise _unreadable(path, cause) from cause


def _assume_plain_pixels(image: Any) -> None:
    """Files that do not name their transfer syntax have the default one (PS3.5 section 10.1), uncompressed."""
    from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

    if image["PixelData"].is_undefined_length:
        raise ValueError("compressed pixels without a transfer syntax")
    little_endian = image.original_encoding[1]
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
