"""Decompression of what pydicom has no decoder for (JPEG lossless, the most common one in archives, and JPEG-LS).

SimpleITK's GDCM can, but damaged JPEG data may corrupt the memory of the process it runs in. So it has one of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.io.dicom_frames import transfer_syntax

# GDCM is shown the pixels alone, so that it neither rescales them nor turns MONOCHROME1 over
_PROGRAM = """
import json, sys
import numpy as np
import pydicom
import SimpleITK as sitk
target, bare, *paths = json.load(sys.stdin)
keywords = "Rows Columns SamplesPerPixel BitsAllocated BitsStored HighBit PixelRepresentation PixelData".split()
stored = None
for n, path in enumerate(paths):
    image = pydicom.dcmread(path)
    pixels = pydicom.Dataset()
    pixels.file_meta = image.file_meta
    for keyword in keywords:
        if keyword in image:
            pixels.add(image[keyword])
    pixels.PhotometricInterpretation = "MONOCHROME2"
    pixels.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    pixels.SOPInstanceUID = pydicom.uid.generate_uid()
    pydicom.dcmwrite(bare, pixels)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(bare)
    slice_pixels = sitk.GetArrayFromImage(reader.Execute())[0]
    if stored is None:
        stored = np.lib.format.open_memmap(target, "w+", np.float32, (len(paths), *slice_pixels.shape))
    stored[n] = slice_pixels
stored.flush()
"""


def needs_unpacking(header: Any, path: Path) -> bool:
    """Whether pydicom lacks a decoder for the pixels of a file, by the header of it (a pydicom Dataset)."""
    from pydicom.pixels import get_decoder

    syntax = transfer_syntax(header, path)
    if syntax is None or not syntax.is_compressed:
        return False
    try:
        return not get_decoder(syntax).is_available
    except NotImplementedError:
        return True


@contextmanager
def unpacked(paths: Sequence[Path]) -> Iterator[dict[Path, NDArray[Any]]]:
    """Yield path -> stored pixels (rows, columns) of single-frame images of one size, float32, on disk until it ends.

    Raises
    ------
    InputError : damaged, or compressed in a way that GDCM does not know either.
    """
    if not paths:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "pixels.npy"
        _unpack(paths, target)
        yield dict(zip(paths, np.load(target, mmap_mode="r"), strict=True))


def _unpack(paths: Sequence[Path], target: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps([str(target), str(target.with_name("bare.dcm")), *map(str, paths)]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and target.is_file():
        return
    said = done.stderr.strip().rpartition("\n")[2][:200]
    raise InputError(
        f"cannot decompress the DICOM images in {paths[0].parent}",
        got=said or f"exit code {done.returncode}",
        expected="undamaged pixels in a compression that pydicom or GDCM knows",
        remedy="export the series uncompressed (Explicit VR Little Endian)",
    )
