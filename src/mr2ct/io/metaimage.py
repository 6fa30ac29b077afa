"""MetaImage (`.mha`, `.mhd`) and NRRD with SimpleITK.

The turn from its LPS and (z, y, x) to RAS and (i, j, k) happens here and goes no further.
"""

from __future__ import annotations

import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io.atomic import TEMPORARY_PREFIX, atomic_file, make_folder
from mr2ct.io.voxel_types import volume_from_file, voxels_for_file
from mr2ct.volume import Quantity, Volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def read_metaimage(path: Path, quantity: Quantity = Quantity.MR) -> Volume:
    """Read a `.mha`, `.mhd` or `.nrrd` file. A 2-D picture becomes one voxel thick along k.

    Raises
    ------
    InputError : unreadable or truncated, more than three axes, several components a voxel, complex, NaN.
    GeometryError : a singular direction matrix.
    """
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _require_usable_header(reader, path)
        _require_whole_metaimage(path)
        image = reader.Execute()
    except RuntimeError as cause:
        raise _unreadable(path, cause) from cause
    # SimpleITK gives (z, y, x): backwards it is (i, j, k)
    voxels = sitk.GetArrayFromImage(image).T
    voxels = voxels.reshape(voxels.shape + (1,) * (3 - voxels.ndim))
    geometry = Geometry((voxels.shape[0], voxels.shape[1], voxels.shape[2]), _ras_affine(image))
    return volume_from_file(voxels, geometry, quantity, name=str(path))


def read_metaimage_geometry(path: Path) -> Geometry:
    """The grid of a `.mha`, `.mhd` or `.nrrd` file, from its header; errors as `read_metaimage`, but for the voxels."""
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as cause:
        raise _unreadable(path, cause) from cause
    _require_usable_header(reader, path)
    i, j, k = (*(int(n) for n in reader.GetSize()), 1)[:3]
    return Geometry((i, j, k), _ras_affine(reader))


def _require_usable_header(reader: Any, path: Path) -> None:
    size = tuple(int(n) for n in reader.GetSize())
    if 0 in size:
        raise InputError(f"{path} has a zero-size axis", got=f"size {size}", expected="at least one voxel each way")
    if [n for n in size[3:] if n > 1] or len(size) > 3:
        raise InputError(
            f"{path} has {len(size)} axes",
            got=f"size {size}",
            expected="one 3-D volume",
            remedy="extract one volume of the series",
        )
    if reader.GetNumberOfComponents() > 1:
        raise InputError(
            f"{path} holds colour, vector or complex voxels",
            got=f"{reader.GetNumberOfComponents()} numbers a voxel",
            expected="one number a voxel (magnitude, grey)",
        )


def _unreadable(path: Path, cause: RuntimeError) -> InputError | GeometryError:
    said = re.sub(r"\w+\(0x[0-9a-f]+\): | for reading\. Reason: .*", "", " ".join(str(cause).split()))
    if "determinant is 0" in said or "spacing is not supported" in said:
        return GeometryError(
            f"singular affine in {path}",
            got="a direction matrix without three independent axes, or a zero spacing",
            expected="three independent voxel axes",
            remedy="mend the header of the file (TransformMatrix, ElementSpacing or space directions)",
        )
    return InputError(
        f"cannot read {path}",
        got=said.rpartition("ERROR: ")[2][:200],
        expected="a complete MetaImage or NRRD file, its raw data beside it",
        remedy="copy or export it again",
    )


def _require_whole_metaimage(path: Path) -> None:
    """Raise InputError unless compressed voxels unpack; SimpleITK gives what memory held before, without an error."""
    if path.suffix.lower() == ".nrrd":
        return
    with path.open("rb") as stream:
        lines = iter(stream.readline, b"")
        entries = dict(_entry(line) for line in _up_to_data(lines))
        beside = path.parent / entries.get("ElementDataFile", "")
        local = entries.get("ElementDataFile", "").upper() == "LOCAL"
        if entries.get("CompressedData", "").upper() != "TRUE" or not (local or beside.is_file()):
            return
        packed = stream.read() if local else beside.read_bytes()
    try:
        zlib.decompress(packed)
    except zlib.error as cause:
        raise InputError(
            f"cannot read {path}",
            got=str(cause),
            expected="undamaged compressed voxels",
            remedy="copy or export it again",
        ) from cause


def _up_to_data(lines: Iterator[bytes]) -> Iterator[str]:
    """The header of a MetaImage: all lines up to and with ElementDataFile, which is the last by its definition."""
    for line in lines:
        text = line.decode("latin-1")
        yield text
        if text.startswith("ElementDataFile"):
            return


def _entry(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip()


def _ras_affine(image: Any) -> NDArray[np.float64]:
    """(4, 4) RAS+ mm of a SimpleITK image; a 2-D image is taken as an axial slice 1 mm thick."""
    n = image.GetDimension()
    affine = np.eye(4)
    affine[:n, :n] = np.reshape(image.GetDirection(), (n, n)) * np.array(image.GetSpacing())
    affine[:n, 3] = image.GetOrigin()
    affine[:3] = _LPS_TO_RAS @ affine[:3]
    # -0.0 would be written as a minus sign
    return affine + 0.0


def _to_sitk(volume: Volume) -> Any:
    import SimpleITK as sitk  # noqa: N813

    geometry = volume.geometry
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels_for_file(volume).T))
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection((_LPS_TO_RAS @ geometry.directions + 0.0).ravel().tolist())
    image.SetOrigin((_LPS_TO_RAS @ geometry.affine[:3, 3] + 0.0).tolist())
    return image


def write_metaimage(volume: Volume, path: Path) -> None:
    """Write `.mha`, `.mhd` (with its data in `.zraw` beside it) or `.nrrd`, compressed: HU as int16, masks as uint8.

    The affine is split into directions and spacing, which costs the last bit of an oblique one.
    """
    image = _to_sitk(volume)
    if path.suffix.lower() == ".mhd":
        _write_header_and_raw(image, path)
        return
    with atomic_file(path) as temporary:
        _write(image, temporary)


def _write(image: Any, path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressionLevel(2)
    try:
        writer.Execute(image)
    except RuntimeError as cause:
        raise InputError(f"cannot write {path}", got=str(cause).splitlines()[-1]) from cause


def _write_header_and_raw(image: Any, path: Path) -> None:
    """The header names its data file, so both are made under their true names; the data go in place first."""
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=path.parent) as parts:
        _write(image, Path(parts) / path.name)
        for made in sorted(Path(parts).iterdir(), key=lambda part: part.suffix.lower() == ".mhd"):
            made.replace(path.parent / made.name)
