"""Which file is read and written by what: the registry of formats, and `read_volume` and `write_volume` over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.io.atomic import require_disk_space
from mr2ct.io.dicom import DICOM_SUFFIXES, is_dicom_path, read_dicom
from mr2ct.io.images import PICTURE_SUFFIXES, is_picture, read_pictures, write_picture, write_pictures
from mr2ct.io.metaimage import read_metaimage, read_metaimage_geometry, write_metaimage
from mr2ct.io.nifti import read_nifti, read_nifti_geometry, write_nifti
from mr2ct.io.voxel_types import voxels_for_file
from mr2ct.volume import Quantity, Volume

READERS: dict[str, Callable[[Path, Quantity], Volume]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
    ".nrrd": read_metaimage,
}
"""Files that say all about themselves. DICOM and pictures need to be told more: see `read_volume`."""

GEOMETRY_READERS: dict[str, Callable[[Path], Geometry]] = {
    ".nii": read_nifti_geometry,
    ".nii.gz": read_nifti_geometry,
    ".mha": read_metaimage_geometry,
    ".mhd": read_metaimage_geometry,
    ".nrrd": read_metaimage_geometry,
}
"""Files whose header says where their voxels lie."""

WRITERS: dict[str, Callable[[Volume, Path], None]] = {
    ".nii": write_nifti,
    ".nii.gz": write_nifti,
    ".mha": write_metaimage,
    ".mhd": write_metaimage,
    ".nrrd": write_metaimage,
    ".png": write_picture,
    "": write_pictures,
}
"""The empty suffix is a folder of PNG slices."""

_HEADER_BYTES = 100_000


def read_volume(
    path: Path | str,
    *,
    quantity: Quantity = Quantity.MR,
    series: str | int | None = None,
    spacing_mm: float | Sequence[float] | None = None,
    hu_window: tuple[float, float] | None = None,
    force: bool = False,
) -> Volume:
    """Read one volume: NIfTI, MHA, MHD, NRRD, a DICOM series (folder or file), or PNG/JPG slices (file or folder).

    Parameters
    ----------
    quantity : what the numbers mean; MASK gives uint8.
    series : for a DICOM folder with several: SeriesInstanceUID, number in `list_series` from 1, or description.
    spacing_mm : for pictures: one number, or three for (columns, rows, slices).
    hu_window : for pictures of a CT: the HU that black and white stand for.
    force : read a DICOM series of another modality than `quantity` all the same.

    Raises
    ------
    InputError : missing, unreadable, truncated, not one grey 3-D volume, NaN or infinite voxels, several series.
    GeometryError : singular affine; DICOM slices that are missing, doubled, unevenly spaced or turned differently.

    Example
    -------
    >>> read_volume("mr.nii.gz")  # doctest: +SKIP
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist", expected="an MR or CT file, or a folder of slices")
    suffix = volume_suffix(path)
    if not path.is_dir() and suffix in READERS:
        return READERS[suffix](path, quantity)
    if _holds_pictures(path):
        return read_pictures(path, quantity, spacing_mm=spacing_mm, hu_window=hu_window, force=force)
    if path.is_dir() or is_dicom_path(path):
        return read_dicom(path, quantity, series=series, force=force)
    raise InputError(
        f"{path} is of no known format",
        got=f"suffix {path.suffix!r}",
        expected=f"{', '.join(READERS)}, DICOM or PNG/JPG",
    )


def read_geometry(path: Path | str) -> Geometry:
    """The grid of a NIfTI, MHA, MHD or NRRD file, without reading its voxels.

    Raises
    ------
    InputError : missing, unreadable, not one grey 3-D volume, another format. GeometryError : a singular affine.

    Example
    -------
    >>> read_geometry("ct.mha").spacing_mm  # doctest: +SKIP
    (1.0, 1.0, 3.0)
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist", expected="an image file")
    suffix = volume_suffix(path)
    if suffix not in GEOMETRY_READERS:
        raise InputError(
            f"{path} has no header that says where its voxels lie",
            got=f"suffix {path.suffix!r}",
            expected=", ".join(GEOMETRY_READERS),
        )
    return GEOMETRY_READERS[suffix](path)


def write_volume(volume: Volume, path: Path | str) -> Path:
    """Write a volume, completely or not at all: `.nii`, `.nii.gz`, `.mha`, `.mhd`, `.nrrd`, `.png` or a folder of PNGs.

    HU become int16, rounded; masks uint8; MR stays as it is. A path without a suffix is a folder of PNG slices, which
    are 8 bits deep: for looking at, see `mr2ct.io.images`. Parent folders are made.

    Returns
    -------
    The path written.

    Raises
    ------
    InputError : an unknown suffix, or a folder that cannot be written. DiskSpaceError : not enough room.

    Example
    -------
    >>> write_volume(read_volume("ct.mha", quantity=Quantity.HU), "ct.nii.gz")  # doctest: +SKIP
    """
    path = Path(path)
    suffix = "" if path.is_dir() else volume_suffix(path)
    if suffix not in WRITERS:
        raise InputError(
            f"cannot write {path}",
            got=f"suffix {suffix!r}",
            expected=f"{', '.join(s for s in WRITERS if s)}, or a folder for PNG slices",
        )
    require_disk_space(path.parent, voxels_for_file(volume).nbytes + _HEADER_BYTES)
    WRITERS[suffix](volume, path)
    return path


def volume_suffix(path: Path | str) -> str:
    """The suffix in lower case, `.nii.gz` as one.

    Example
    -------
    >>> volume_suffix("A/MR.NII.gz")
    '.nii.gz'
    """
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def volume_name(path: Path | str) -> str:
    """The name of a volume: a file's without its (double) suffix, a folder's whole.

    Example
    -------
    >>> volume_name("heads/anna.1.nii.gz")
    'anna.1'
    """
    path = Path(path)
    if path.name in ("", "."):
        path = path.resolve()
    suffix = volume_suffix(path)
    known = suffix in READERS or suffix in DICOM_SUFFIXES or suffix in PICTURE_SUFFIXES
    if known and not path.is_dir() and len(path.name) > len(suffix):
        return path.name[: -len(suffix)]
    return path.name


def is_volume_path(path: Path | str) -> bool:
    """Whether `read_volume` would try this: a file of a known format, or a folder that holds DICOM or PNG/JPG slices.

    Only names and the first bytes are looked at. Hidden files, such as half-written ones, are none.

    Example
    -------
    >>> is_volume_path("no/such/file.nii.gz")
    False
    """
    path = Path(path)
    if path.name.startswith(".") or not path.exists():
        return False
    if path.is_dir():
        return _holds_pictures(path) or any(is_dicom_path(part) for part in path.iterdir())
    return volume_suffix(path) in READERS or is_picture(path) or is_dicom_path(path)


def _holds_pictures(path: Path) -> bool:
    """A picture, or a folder of pictures among which is no DICOM file."""
    if not path.is_dir():
        return is_picture(path)
    parts = [part for part in path.iterdir() if part.is_file()]
    return any(is_picture(part) for part in parts) and not any(is_dicom_path(part) for part in parts)
