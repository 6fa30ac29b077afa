"""NIfTI-1 and -2, `.nii` and `.nii.gz`, with nibabel.

Not with SimpleITK, which reads a truncated `.nii.gz` as zeros and NaN voxels as 0 without a word.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.io.atomic import atomic_file
from mr2ct.io.voxel_types import volume_from_file, voxels_for_file
from mr2ct.volume import Quantity, Volume

# beyond level 2 a CT gets a few per cent smaller and twice as slow to write
_GZIP_LEVEL = 2
_SCANNER_CODE = 1


def read_nifti(path: Path, quantity: Quantity = Quantity.MR) -> Volume:
    """Read a NIfTI file; the slope and intercept of its header are applied.

    The affine is the sform where its code is above 0, else the qform, else what NIfTI method 1 leaves: the spacing of
    the header, first axis pointing left, the middle of the volume at 0 (nibabel's `get_base_affine`). A 2-D picture
    becomes one voxel thick along k; trailing axes of length 1 are dropped.

    Raises
    ------
    InputError : not a NIfTI file, truncated, damaged, more than three axes, RGB, complex, NaN, a zero-size axis.
    GeometryError : a singular affine.
    """
    image = _open(path)
    shape = _require_usable_header(image, path)
    voxels = _read_voxels(image, path).reshape(shape)
    return volume_from_file(voxels, Geometry(shape, _affine(image, shape)), quantity, name=str(path))


def read_nifti_geometry(path: Path) -> Geometry:
    """The grid of a NIfTI file, from its header alone; errors as `read_nifti`, but for damaged voxels."""
    image = _open(path)
    shape = _require_usable_header(image, path)
    return Geometry(shape, _affine(image, shape))


def _open(path: Path) -> Any:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        # a memory map would end the process where the file is cut short later
        image = nibabel.load(path, mmap=False)
    except (OSError, EOFError, zlib.error, ValueError, ImageFileError, HeaderDataError) as cause:
        raise _unreadable(path, cause) from cause
    if not isinstance(image, nibabel.Nifti1Pair):
        raise InputError(f"{path} is not a NIfTI file", got=type(image).__name__)
    return image


def _unreadable(path: Path, cause: Exception) -> InputError:
    return InputError(
        f"cannot read {path}",
        got=" ".join(str(cause).split())[:200] or type(cause).__name__,
        expected="a complete NIfTI file",
        remedy="copy or export it again",
    )


def _require_usable_header(image: Any, path: Path) -> tuple[int, int, int]:
    """The three axes of the image, or an error for what a volume cannot be."""
    found = tuple(int(n) for n in image.shape)
    if not found or min(found) < 1:
        raise InputError(f"{path} has a zero-size axis", got=f"shape {found}", expected="at least one voxel each way")
    shape = found
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise InputError(
            f"{path} has {len(shape)} axes",
            got=f"shape {found}",
            expected="one 3-D volume",
            remedy="extract one volume of the series",
        )
    dtype = image.get_data_dtype()
    if dtype.kind not in "biuf":
        kind = "complex" if dtype.kind == "c" else "RGB colour"
        raise InputError(
            f"{path} holds {kind} voxels", got=f"type {dtype}", expected="one real number a voxel (magnitude, grey)"
        )
    shape = shape + (1,) * (3 - len(shape))
    return (shape[0], shape[1], shape[2])


def _read_voxels(image: Any, path: Path) -> NDArray[Any]:
    """The scaled voxels, in the file's own type where nothing is to be scaled."""
    try:
        size = path.stat().st_size
        if path.name.lower().endswith(".gz"):
            # read to the very end: only there is gzip's checksum, which nibabel does not look at
            with gzip.open(path) as stream:
                unpacked = stream.read()
            size, image = len(unpacked), type(image).from_bytes(unpacked)
        expected = image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
        if size < expected:
            raise InputError(
                f"{path} is truncated",
                got=f"{size} bytes",
                expected=f"{expected} bytes for shape {tuple(image.shape)}",
                remedy="copy or export it again",
            )
        slope, intercept = image.dataobj.slope, image.dataobj.inter
        if (slope, intercept) == (1, 0):
            return np.asarray(image.dataobj.get_unscaled())
        return np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, zlib.error) as cause:
        raise _unreadable(path, cause) from cause


def _affine(image: Any, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    affine = np.array(image.affine, dtype=np.float64) + 0.0
    thin = [axis for axis in range(len(image.shape), 3) if not affine[:3, axis].any()]
    if len(thin) == 1 and shape[thin[0]] == 1:
        # a 2-D file need not say how thick it is: 1 mm
        normal = np.cross(affine[:3, (thin[0] + 1) % 3], affine[:3, (thin[0] + 2) % 3])
        affine[:3, thin[0]] = normal / max(float(np.linalg.norm(normal)), 1e-12)
    return affine


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a NIfTI-1 file (NIfTI-2 where an axis is longer than 32767): HU as int16, masks as uint8.

    sform and qform are both set, code 1 (scanner). Reading the file back gives the very affine that was read before: an
    affine that single precision holds goes to the sform; one that comes from quaternions goes to the qform alone.
    """
    import nibabel

    voxels = voxels_for_file(volume)
    kind = nibabel.Nifti1Image if max(voxels.shape) < 2**15 else nibabel.Nifti2Image
    image = kind(voxels, None, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    _set_affine(image, volume.geometry.affine)
    with atomic_file(path) as temporary:
        if not path.name.lower().endswith(".gz"):
            image.to_filename(temporary)
            return
        # no time and no name in the gzip header: the same volume gives the same bytes
        with temporary.open("wb") as raw, gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as stream:
            image.to_stream(stream)


def _set_affine(image: Any, affine: NDArray[np.float64]) -> None:
    image.set_qform(affine, code=_SCANNER_CODE)
    image.set_sform(affine, code=_SCANNER_CODE)
    as_sform, as_qform = image.header.get_sform(), image.header.get_qform()
    if not np.array_equal(as_sform, affine) and np.array_equal(as_qform, affine):
        image.set_sform(None, code=0)
