"""Decompression of what pydicom has no decoder for (JPEG lossless, the most common one in archives, and JPEG-LS).

SimpleITK's GDCM can, but damaged JPEG data may corrupt the memory of the process it runs in. So it has one of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError

_PROGRAM = """
import json, sys
import numpy as np
import SimpleITK as sitk
target, *paths = json.load(sys.stdin)
pixels = []
for path in paths:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path)
    pixels.append(sitk.GetArrayFromImage(reader.Execute())[0])
np.save(target, np.stack(pixels))
"""


def needs_unpacking(header: Any) -> bool:
    """Whether pydicom lacks a decoder for the pixels of a file, by the header of it (a pydicom Dataset)."""
    from pydicom.pixels import get_decoder

    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    if syntax is None or not syntax.is_compressed:
        return False
    try:
        return not get_decoder(syntax).is_available
    except NotImplementedError:
        return True


def unpack(paths: Sequence[Path]) -> dict[Path, NDArray[Any]]:
    """Path -> (rows, columns) of single-frame images of one size, slope and intercept applied.

    Raises
    ------
    InputError : damaged, or compressed in a way that GDCM does not know either.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "pixels.npy"
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=json.dumps([str(target), *map(str, paths)]),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and target.is_file():
            return dict(zip(paths, np.load(target), strict=True))
    said = done.stderr.strip().rpartition("\n")[2][:200]
    raise InputError(
        f"cannot decompress the DICOM images in {paths[0].parent}",
        got=said or f"exit code {done.returncode}",
        expected="undamaged pixels in a compression that pydicom or GDCM knows",
        remedy="export the series uncompressed (Explicit VR Little Endian)",
    )
