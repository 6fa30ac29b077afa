"""MetaImage (`.mha`, `.mhd`) and NRRD with SimpleITK.

The turn from its LPS and (z, y, x) to RAS and (i, j, k) happens here and goes no further.
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io.atomic import TEMPORARY_PREFIX, atomic_file, make_folder
from mr2ct.io.packed_voxels import inflated_voxels, require_possible_axes, require_same_numbers
from mr2ct.io.voxel_types import volume_from_file, voxels_for_file
from mr2ct.volume import Quantity, Volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def read_metaimage(path: Path, quantity: Quantity = Quantity.MR) -> Volume:
    """Read a `.mha`, `.mhd` or `.nrrd` file.

    A 2-D picture becomes one voxel thick along k; trailing axes of length 1 are dropped.

    Raises
    ------
    InputError : unreadable, truncated or damaged, more than three axes, several components a voxel, complex, NaN.
    GeometryError : a singular direction matrix.
    """
    import SimpleITK as sitk  # noqa: N813

    image = _read_whole(_open(path), path)
    geometry = _geometry(image)
    # SimpleITK gives (z, y, x): backwards it is (i, j, k)
    voxels = sitk.GetArrayFromImage(image).T.reshape(geometry.shape)
    return volume_from_file(voxels, geometry, quantity, name=str(path))


def _read_whole(reader: Any, path: Path) -> Any:
    """SimpleITK's image, whose voxels are those of the file."""
    import SimpleITK as sitk  # noqa: N813

    try:
        voxel_bytes = sitk.Image((1, 1), reader.GetPixelID()).GetSizeOfPixelComponent()
        inflated = inflated_voxels(path, math.prod(reader.GetSize()) * voxel_bytes)
        image = reader.Execute()
    except RuntimeError as cause:
        raise _unreadable(path, cause) from cause
    if inflated is not None:
        require_same_numbers(sitk.GetArrayViewFromImage(image), inflated, path)
    return image


def read_metaimage_geometry(path: Path) -> Geometry:
    """The grid of a `.mha`, `.mhd` or `.nrrd` file, from its header; errors as `read_metaimage`, but for the voxels."""
    return _geometry(_open(path))


def _open(path: Path) -> Any:
    """A reader of SimpleITK that has read a usable header."""
    import SimpleITK as sitk  # noqa: N813

    require_possible_axes(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as cause:
        raise _unreadable(path, cause) from cause
    _require_usable_header(reader, path)
    return reader


def _geometry(image: Any) -> Geometry:
    i, j, k = (*(int(n) for n in image.GetSize()), 1)[:3]
    return Geometry((i, j, k), _ras_affine(image))


def _require_usable_header(reader: Any, path: Path) -> None:
    size = tuple(int(n) for n in reader.GetSize())
    if 0 in size:
        raise InputError(f"{path} has a zero-size axis", got=f"size {size}", expected="at least one voxel each way")
    if max(size[3:], default=1) > 1:
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


def _ras_affine(image: Any) -> NDArray[np.float64]:
    """(4, 4) RAS+ mm of a SimpleITK image; a 2-D image is taken as an axial slice 1 mm thick."""
    axes = image.GetDimension()
    n = min(axes, 3)
    affine = np.eye(4)
    affine[:n, :n] = (np.reshape(image.GetDirection(), (axes, axes)) * image.GetSpacing())[:n, :n]
    affine[:n, 3] = image.GetOrigin()[:n]
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
