"""DICOM series made to order: as they should be, and with what goes wrong in the field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

# 20 degrees about the left-right axis
OBLIQUE = (1.0, 0.0, 0.0, 0.0, np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20)))
FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.8.498.1"


def dicom_file(path: Path, sop_class: UID, **attributes: Any) -> FileDataset:
    """A dataset with the file meta information that a file needs, not yet saved."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def stored_voxels(columns: int, rows: int, slices: int) -> np.ndarray:
    """(i, j, k) uint16, 12 bits, every voxel its own number."""
    return (np.arange(columns * rows * slices, dtype=np.uint16) * 7 % 4096).reshape(columns, rows, slices)


class SeriesMaker:
    """Writes a series of single-frame images, 2.5 mm apart, 0.5 mm columns and 0.75 mm rows."""

    dicom_file = staticmethod(dicom_file)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored = stored_voxels(6, 5, 4)

    def __call__(
        self,
        *,
        heights_mm: Sequence[float] = (0.0, 2.5, 5.0, 7.5),
        orientation: Sequence[float] = OBLIQUE,
        prefix: str = "image",
        suffix: str = ".dcm",
        edit: Callable[[int, FileDataset], None] | None = None,
        **attributes: Any,
    ) -> Path:
        """Write one file a height, in shuffled file order; `edit` may spoil the n-th before it is saved."""
        self.folder.mkdir(exist_ok=True)
        series = attributes.pop("SeriesInstanceUID", generate_uid())
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        corner = np.array([-40.0, 30.0, -10.0])
        for n, height in enumerate(heights_mm):
            path = self.folder / f"{prefix}{(n * 5 + 3) % 7:02d}{suffix}"
            image = dicom_file(path, CTImageStorage if attributes.get("Modality") == "CT" else MRImageStorage)
            image.Modality, image.SeriesDescription, image.SeriesNumber = "MR", "T1", 3
            image.SeriesInstanceUID, image.FrameOfReferenceUID = series, FRAME_OF_REFERENCE
            image.ImageOrientationPatient = [f"{cosine:.12g}" for cosine in orientation]
            position = corner + height * np.cross(row, column)
            image.ImagePositionPatient = [f"{mm:.10g}" for mm in position]
            image.PixelSpacing, image.SliceThickness = [0.75, 0.5], 2.0
            image.Columns, image.Rows = self.stored.shape[:2]
            image.PixelData = np.ascontiguousarray(self.stored[:, :, n % 4].T).tobytes()
            for keyword, value in attributes.items():
                setattr(image, keyword, value)
            if edit is not None:
                edit(n, image)
            image.save_as(path, enforce_file_format=True)
        return self.folder


@pytest.fixture
def make_series(tmp_path: Path) -> SeriesMaker:
    """Call it to write a DICOM series into one folder; `.stored` are its numbers (i, j, k)."""
    return SeriesMaker(tmp_path / "series")


def group(**attributes: Any) -> DicomSequence:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return DicomSequence([item])


def enhanced_mr(path: Path, stored: np.ndarray, *, spacing_mm: float = 2.5, **attributes: Any) -> FileDataset:
    """An enhanced MR image of (i, j, k), its frames in descending order, each with a rescale slope of its own."""
    n_frames = stored.shape[2]
    image = dicom_file(path, EnhancedMRImageStorage, Modality="MR", SeriesDescription="3D T1", SeriesNumber=5)
    image.SeriesInstanceUID, image.FrameOfReferenceUID = generate_uid(), FRAME_OF_REFERENCE
    image.Columns, image.Rows, image.NumberOfFrames = stored.shape[0], stored.shape[1], n_frames
    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.75, 0.5], SliceThickness=spacing_mm)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[f"{cosine:.12g}" for cosine in OBLIQUE])
    image.SharedFunctionalGroupsSequence = DicomSequence([shared])
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    frames = []
    for k in reversed(range(n_frames)):
        frame = Dataset()
        position = [f"{mm:.10g}" for mm in np.array([-40.0, 30.0, -10.0]) + k * spacing_mm * normal]
        frame.PlanePositionSequence = group(ImagePositionPatient=position)
        frame.PixelValueTransformationSequence = group(RescaleIntercept=-10, RescaleSlope=1 + k, RescaleType="US")
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    image.PixelData = np.ascontiguousarray(stored[:, :, ::-1].T).tobytes()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


@pytest.fixture
def enhanced_file(tmp_path: Path) -> tuple[Path, FileDataset, np.ndarray]:
    """The path of a saved enhanced MR, its dataset (to spoil and save again), its stored numbers (i, j, k)."""
    stored = stored_voxels(6, 5, 4)
    path = tmp_path / "enhanced.dcm"
    image = enhanced_mr(path, stored)
    image.save_as(path, enforce_file_format=True)
    return path, pydicom.dcmread(path), stored
