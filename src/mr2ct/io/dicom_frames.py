"""One frame of a DICOM image, whether it has a file of its own (classic) or shares one (enhanced multi-frame).

Everything above this file sees frames only, so the stacking rules are the same for both kinds. Attributes are those of
DICOM PS3.3: C.7.6.2 Image Plane, C.7.6.16 Multi-frame Functional Groups, C.11.1 Modality LUT.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mr2ct.errors import InputError

HEADER_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "Modality",
    "PatientID",
    "SeriesDescription",
    "SeriesNumber",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
_MOST_BITS = 64


@dataclass(frozen=True)
class Frame:
    """Where one picture lies in the patient and how its stored numbers become values.

    Parameters
    ----------
    path : the file it is in. index : its number in that file, from 0.
    position_lps_mm : centre of the first pixel. orientation : direction cosines along a row, then down a column (LPS).
    spacing_mm : from column to column, from row to row. thickness_mm : SliceThickness, or None.
    rows, columns : size in pixels.
    slope, intercept : value = slope * stored + intercept.
    stored_range : least and greatest number that can be stored.
    inverted : MONOCHROME1, where the least value is shown white.
    """

    path: Path
    index: int
    position_lps_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    rows: int
    columns: int
    slope: float
    intercept: float
    stored_range: tuple[int, int]
    inverted: bool


def require_usable_values(dataset: Any, path: Path) -> None:
    """Raise InputError where an attribute of `HEADER_TAGS` holds something else than it must, here or in its groups.

    pydicom converts values when they are asked for: without this they would fail wherever that is.
    """
    for keyword in (*HEADER_TAGS, *_MACROS):
        try:
            value = dataset.get(keyword)
            if value not in (None, ""):
                _require_kind(value, keyword, path)
        except InputError:
            raise
        # whatever pydicom raises, of which it has many kinds
        except Exception as cause:
            raise InputError(
                f"cannot read {path}",
                got=f"{keyword}: {' '.join(str(cause).split())[:200]}",
                expected="a DICOM image as the standard has it",
                remedy="export the series again, or leave this file out",
            ) from cause


def _require_kind(value: Any, keyword: str, path: Path) -> None:
    from pydicom.datadict import dictionary_VM, dictionary_VR
    from pydicom.multival import MultiValue

    kind = dictionary_VR(keyword)
    if kind == "SQ":
        for item in value:
            require_usable_values(item, path)
    elif kind in ("IS", "US"):
        int(value)
    elif kind == "DS":
        numbers = [float(number) for number in (value if isinstance(value, MultiValue) else [value])]
        if dictionary_VM(keyword) == "1" and not (len(numbers) == 1 and math.isfinite(numbers[0])):
            raise ValueError(f"{value} is not one number")
    elif not isinstance(value, str | MultiValue):
        raise TypeError(f"{value} is no text")


def transfer_syntax(header: Any, path: Path) -> Any:
    """The TransferSyntaxUID (a pydicom UID), or None where a file does not say; InputError where it is unknown."""
    from pydicom.uid import UID

    said = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    if not said:
        return None
    syntax = UID(str(said))
    if not syntax.is_transfer_syntax:
        raise InputError(
            f"no decoder for {path}",
            got=f"transfer syntax {syntax}",
            remedy="export the series uncompressed (Explicit VR Little Endian)",
        )
    return syntax


def frames_of(header: Any, path: Path) -> list[Frame]:
    """The frames of one image file, from its header (a pydicom Dataset read with `HEADER_TAGS`).

    Raises
    ------
    InputError : colour, a mosaic, a multi-frame image without functional groups, a missing or malformed attribute.
    """
    transfer_syntax(header, path)
    _require_grey(header, path)
    n_frames = int(header.get("NumberOfFrames") or 1)
    _require_whole(header, path, n_frames)
    if "PerFrameFunctionalGroupsSequence" not in header:
        if n_frames > 1:
            raise InputError(
                f"{path} holds {n_frames} frames but not where each lies",
                expected="an enhanced multi-frame image with functional groups",
                remedy="export the series as single-frame DICOM",
            )
        return [_frame(path, 0, (header,), header)]
    shared = _group(header, "SharedFunctionalGroupsSequence")
    per_frame = header.PerFrameFunctionalGroupsSequence
    if len(per_frame) != n_frames:
        raise InputError(
            f"{path} contradicts itself", got=f"{len(per_frame)} functional groups", expected=f"{n_frames}, one a frame"
        )
    return [_frame(path, n, _macros(own, shared), header) for n, own in enumerate(per_frame)]


def _group(parent: Any, keyword: str) -> Any:
    items = parent.get(keyword) if parent is not None else None
    return items[0] if items else None


def _macros(own: Any, shared: Any) -> tuple[Any, ...]:
    found = [_group(group, macro) for group in (own, shared) for macro in _MACROS]
    return tuple(group for group in found if group is not None)


def _frame(path: Path, index: int, groups: Iterable[Any], header: Any) -> Frame:
    def numbers(keyword: str, n: int) -> tuple[float, ...]:
        return _numbers(groups, keyword, n, path)

    down, across = numbers("PixelSpacing", 2)
    thickness = _first(groups, "SliceThickness")
    bits, signed = int(header.get("BitsStored") or 16), bool(header.get("PixelRepresentation"))
    slope, intercept = _first(groups, "RescaleSlope"), _first(groups, "RescaleIntercept")
    return Frame(
        path=path,
        index=index,
        position_lps_mm=numbers("ImagePositionPatient", 3),
        orientation=numbers("ImageOrientationPatient", 6),
        spacing_mm=(across, down),
        thickness_mm=float(thickness) if thickness else None,
        rows=int(header.Rows),
        columns=int(header.Columns),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        stored_range=(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1),
        inverted=header.get("PhotometricInterpretation") == "MONOCHROME1",
    )


def _first(groups: Iterable[Any], keyword: str) -> Any:
    return next((group.get(keyword) for group in groups if group.get(keyword) not in (None, "")), None)


def _numbers(groups: Iterable[Any], keyword: str, n: int, path: Path) -> tuple[float, ...]:
    value = _first(groups, keyword)
    found = () if value is None or isinstance(value, str | float | int) else tuple(float(number) for number in value)
    if len(found) != n or not all(math.isfinite(number) for number in found):
        raise InputError(
            f"{path} does not say where it lies in the patient",
            got=f"{keyword} {value}",
            expected=f"{n} numbers",
            remedy="leave out scout, report and screen-capture images",
        )
    return found


def _require_grey(header: Any, path: Path) -> None:
    photometric, samples = header.get("PhotometricInterpretation", ""), int(header.get("SamplesPerPixel") or 1)
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise InputError(
            f"{path} is a colour image", got=f"{photometric}, {samples} samples a pixel", expected="MONOCHROME1 or 2"
        )
    if "MOSAIC" in (header.get("ImageType") or ()):
        raise InputError(
            f"{path} is a mosaic of slices", expected="one slice a frame", remedy="convert it with dcm2niix first"
        )
    if not (int(header.get("Rows") or 0) and int(header.get("Columns") or 0)):
        raise InputError(
            f"{path} has a zero-size axis", got=f"{header.get('Rows')} rows, {header.get('Columns')} columns"
        )


def _require_whole(header: Any, path: Path, n_frames: int) -> None:
    """An uncompressed file is at least as long as its pixels; checked before anything is allocated."""
    allocated = int(header.get("BitsAllocated") or 16)
    stored = int(header.get("BitsStored") or allocated)
    if not 1 <= stored <= allocated <= _MOST_BITS:
        raise InputError(f"{path} contradicts itself", got=f"{stored} bits stored of {allocated}")
    syntax = transfer_syntax(header, path)
    if syntax is not None and (syntax.is_compressed or syntax.is_deflated):
        return
    n_bytes = n_frames * int(header.Rows) * int(header.Columns) * allocated // 8
    size = path.stat().st_size
    if size < n_bytes:
        raise InputError(
            f"{path} is truncated",
            got=f"{size} bytes",
            expected=f"at least {n_bytes} bytes of pixels",
            remedy="copy or export it again",
        )
