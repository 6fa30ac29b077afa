"""Slices as pictures: PNG or JPG in, PNG out, with Pillow.

A picture does not say where it lies. Without more it is taken as an axial slice in the radiological convention: columns
lead to the patient's left, rows to the back, pictures (in natural order of their names) to the head; the centre of the
first pixel is at 0. What mr2ct writes has a JSON file beside it that says all, so it reads back onto its own grid.
Those pictures are 8 bits deep, for looking at: of a CT they keep steps of 16 HU. NIfTI, MHA and NRRD keep every number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU
from mr2ct.io.atomic import atomic_file, atomic_folder
from mr2ct.io.display import Plane, as_pictures, from_pictures, single_plane, with_picture_spacing_mm
from mr2ct.io.voxel_types import volume_from_file
from mr2ct.volume import Quantity, Volume

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
FOLDER_SIDECAR = "slices.json"
_FORMAT_VERSION = 1
# a grey picture stored as colour JPEG decodes to channels this close
_GREY_TOLERANCE = 2


@dataclass(frozen=True)
class _Sidecar:
    quantity: Quantity
    window: tuple[float, float]
    plane: Plane
    geometry: Geometry


def is_picture(path: Path) -> bool:
    """Whether a name is that of a PNG or JPG file (hidden ones are not)."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def read_pictures(
    path: Path,
    quantity: Quantity = Quantity.MR,
    *,
    spacing_mm: float | Sequence[float] | None = None,
    hu_window: tuple[float, float] | None = None,
    force: bool = False,
) -> Volume:
    """Read one picture (a single axial slice) or a folder of them (a stack, sorted naturally: 2 before 10).

    Parameters
    ----------
    spacing_mm : one number, or three for (columns, rows, slices). Needed, unless mr2ct wrote the pictures: those keep
        their plane and directions whatever it is, and the centre of their first voxel.
    hu_window : the HU of black and of white. Needed for HU, unless mr2ct wrote the pictures.
    force : take pictures that mr2ct wrote of a CT as an MR, or the other way round.

    Raises
    ------
    InputError : colour, unreadable, pictures of different size or depth, spacing or window missing.
    """
    files = _picture_files(path)
    pictures, white = _read_stack(files)
    sidecar = _read_sidecar(path)
    if sidecar is not None and sidecar.quantity is not quantity and not force:
        raise InputError(
            f"{path} holds {sidecar.quantity.value}, not {quantity.value}", remedy="--force takes it all the same"
        )
    window = _window(path, quantity, hu_window, sidecar)
    if window is not None:
        low, high = np.float32(window[0]), np.float32(window[1])
        pictures = low + pictures.astype(np.float32) * ((high - low) / np.float32(white))
    if sidecar is not None:
        return _on_own_grid(pictures, _resized(sidecar, spacing_mm), quantity, path)
    i, j, k = _spacing(path, spacing_mm)
    voxels = pictures.transpose(2, 1, 0)
    geometry = Geometry((voxels.shape[0], voxels.shape[1], voxels.shape[2]), np.diag([-i, -j, k, 1.0]))
    return volume_from_file(voxels, geometry, quantity, name=str(path))


def _resized(sidecar: _Sidecar, spacing_mm: float | Sequence[float] | None) -> _Sidecar:
    if spacing_mm is None:
        return sidecar
    geometry = with_picture_spacing_mm(sidecar.geometry, sidecar.plane, usable_spacing(spacing_mm))
    return replace(sidecar, geometry=geometry)


def _on_own_grid(pictures: NDArray[Any], sidecar: _Sidecar, quantity: Quantity, path: Path) -> Volume:
    voxels = from_pictures(pictures, sidecar.geometry.affine, sidecar.plane)
    if voxels.shape != sidecar.geometry.shape:
        raise InputError(
            f"the pictures in {path} are not those that its {FOLDER_SIDECAR} describes",
            got=f"shape {voxels.shape}",
            expected=f"shape {sidecar.geometry.shape}",
            remedy="restore the missing pictures, or remove the JSON file and give --spacing-mm",
        )
    return volume_from_file(voxels, sidecar.geometry, quantity, name=str(path))


def _picture_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]

    def natural(file: Path) -> list[tuple[int, str]]:
        parts: list[str] = re.findall(r"\d+|\D+", file.name)
        return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts]

    return sorted((file for file in path.iterdir() if is_picture(file)), key=natural)


def _read_stack(files: Sequence[Path]) -> tuple[NDArray[Any], int]:
    """(slices, rows, columns) grey, uint8 or uint16, and the number that white is."""
    slices = [_read_grey(file) for file in files]
    first = slices[0]
    for file, picture in zip(files, slices, strict=True):
        if picture.shape != first.shape or picture.dtype != first.dtype:
            raise InputError(
                "pictures of one stack differ",
                got=f"{_describe(first)} in {files[0]}, {_describe(picture)} in {file}",
                expected="one size and depth",
                remedy="give each stack a folder of its own",
            )
    return np.stack(slices), int(np.iinfo(first.dtype).max)


def _describe(picture: NDArray[Any]) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}, {picture.dtype.itemsize * 8} bits"


def _read_grey(path: Path) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            _require_all_bits(image, path)
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.uint16)
            if image.mode in ("L", "1", "LA"):
                return np.asarray(image.convert("L"))
            channels = np.asarray(image.convert("RGB")).astype(np.int16)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        raise InputError(
            f"cannot read {path}",
            got=" ".join(str(cause).split())[:200],
            expected="a complete PNG or JPG",
            remedy="copy or export it again",
        ) from cause
    if np.ptp(channels, axis=2).max() > _GREY_TOLERANCE:
        raise InputError(f"{path} is a colour picture", expected="grey", remedy="export it in grey")
    return channels[..., 1].astype(np.uint8)


def _require_all_bits(image: Any, path: Path) -> None:
    """Raise InputError for 16-bit PNG with colour or transparency, of which Pillow gives the upper 8 bits."""
    if image.format != "PNG" or image.mode.startswith("I"):
        return
    with path.open("rb") as stream:
        # PNG section 11.2.1: behind the signature, chunk head, width and height
        bits = stream.read(25)[24]
    if bits == 16:
        raise InputError(
            f"{path} is a 16-bit picture with colour or transparency",
            got="16 bits a channel, of which 8 would be read",
            expected="16-bit grey, or 8 bits",
            remedy="save it as 16-bit grey without transparency",
        )


def _window(
    path: Path, quantity: Quantity, hu_window: tuple[float, float] | None, sidecar: _Sidecar | None
) -> tuple[float, float] | None:
    if hu_window is not None and quantity is Quantity.HU:
        return usable_window(hu_window)
    if sidecar is not None:
        return sidecar.window
    if quantity is Quantity.HU:
        raise InputError(
            f"{path}: a picture does not say which HU its greys stand for",
            remedy="give the HU of black and of white with --hu-window LOW HIGH",
        )
    return None


def _spacing(path: Path, spacing_mm: float | Sequence[float] | None) -> tuple[float, float, float]:
    if spacing_mm is None:
        raise InputError(
            f"{path}: a picture does not say how large its pixels are",
            remedy="give --spacing-mm, one number or three (columns, rows, slices)",
        )
    return usable_spacing(spacing_mm)


def usable_window(hu_window: tuple[float, float]) -> tuple[float, float]:
    """The HU of black and of white; InputError where they are not in that order, or no numbers.

    Example
    -------
    >>> usable_window((-1000, 2000))
    (-1000, 2000)
    """
    if not (np.isfinite(hu_window).all() and hu_window[0] < hu_window[1]):
        raise InputError("unusable HU window", got=list(hu_window), expected="the HU of black below the HU of white")
    return hu_window


def usable_spacing(spacing_mm: float | Sequence[float]) -> tuple[float, float, float]:
    """One number of mm, or three for (columns, rows, slices), as three; InputError for other counts, 0 and less.

    Example
    -------
    >>> usable_spacing(0.9)
    (0.9, 0.9, 0.9)
    """
    given = tuple(float(number) for number in np.atleast_1d(spacing_mm))
    spacing = given * 3 if len(given) == 1 else given
    if len(spacing) != 3 or not np.isfinite(spacing).all() or min(spacing) <= 0:
        raise InputError("unusable spacing", got=list(given), expected="one or three numbers of mm, above 0")
    return (spacing[0], spacing[1], spacing[2])


def holds_pictures(path: Path) -> bool:
    """Whether this is a picture file, or a folder with pictures in it."""
    return any(is_picture(file) for file in path.iterdir()) if path.is_dir() else is_picture(path)


def describes_itself(path: Path) -> bool:
    """Whether mr2ct wrote this picture or folder of pictures, so that their grid and greys are known."""
    return _sidecar_path(path).is_file()


def _sidecar_path(path: Path) -> Path:
    return path / FOLDER_SIDECAR if path.is_dir() else path.with_name(f"{path.name}.json")


def _read_sidecar(path: Path) -> _Sidecar | None:
    file = _sidecar_path(path)
    if not file.is_file():
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if said["format_version"] > _FORMAT_VERSION:
            raise ValueError(f"format {said['format_version']}, from a newer mr2ct")
        low, high = (float(hu) for hu in said["window"])
        geometry = Geometry(tuple(said["shape"]), np.array(said["affine"]))
        return _Sidecar(Quantity(said["quantity"]), (low, high), Plane(said["plane"]), geometry)
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise InputError(
            f"cannot read {file}",
            got=f"{type(cause).__name__}: {cause}",
            expected="the file that mr2ct wrote beside the pictures",
            remedy="restore it, or remove it and give --spacing-mm",
        ) from cause


def _display_window(volume: Volume) -> tuple[float, float]:
    """The values of black and white: the 12 bits of CT for HU, 0..255 for what fits there, else least and greatest."""
    if volume.quantity is Quantity.HU:
        return (LOWEST_HU, HIGHEST_HU)
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    if volume.quantity is Quantity.MASK:
        return (0, max(high, 1))
    if low >= 0 and 1 < high <= 255:
        return (0, 255)
    return (low, high if high > low else low + 1)


def _to_greys(volume: Volume, plane: Plane, window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    pictures = as_pictures(volume.voxels, volume.geometry.affine, plane).astype(np.float32)
    greys: NDArray[np.uint8] = np.rint(np.clip((pictures - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return greys


def _description(volume: Volume, plane: Plane, window: tuple[float, float]) -> str:
    return json.dumps(
        {
            "format_version": _FORMAT_VERSION,
            "quantity": volume.quantity.value,
            "window": list(window),
            "plane": plane.value,
            "shape": list(volume.geometry.shape),
            "affine": volume.geometry.affine.tolist(),
        },
        indent=1,
    )


def write_picture(volume: Volume, path: Path) -> None:
    """Write a single-slice volume as one 8-bit PNG, and what it shows as `<name>.png.json` beside it.

    Raises
    ------
    InputError : a volume of several slices.
    """
    from PIL import Image

    plane = single_plane(volume.geometry)
    if plane is None:
        raise InputError(
            f"{path} cannot hold a whole volume",
            got=f"shape {volume.geometry.shape}",
            expected="a single slice",
            remedy="name a folder to get one PNG a slice",
        )
    window = _display_window(volume)
    with atomic_file(path) as picture, atomic_file(_sidecar_path(path)) as sidecar:
        Image.fromarray(_to_greys(volume, plane, window)[0]).save(picture, format="PNG")
        sidecar.write_text(_description(volume, plane, window), encoding="utf-8")


def write_pictures(volume: Volume, path: Path) -> None:
    """Write a folder of 8-bit PNG slices, `0000.png` on, and `slices.json`, which says which values and grid they show.

    Axial slices, or those of the plane of a single-slice volume. HU of -1024 to 3071 become 0 to 255. A folder that
    mr2ct wrote before is replaced.

    Raises
    ------
    InputError : the folder exists and holds other things.
    """
    from PIL import Image

    plane = single_plane(volume.geometry) or Plane.AXIAL
    window = _display_window(volume)
    with atomic_folder(path, replace=(path / FOLDER_SIDECAR).is_file()) as folder:
        for n, picture in enumerate(_to_greys(volume, plane, window)):
            Image.fromarray(picture).save(folder / f"{n:04d}.png", format="PNG")
        (folder / FOLDER_SIDECAR).write_text(_description(volume, plane, window), encoding="utf-8")
