"""Enhanced multi-frame MR: every frame's position and scaling are its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from mr2ct.errors import GeometryError, InputError
from mr2ct.io import read_volume
from mr2ct.io.dicom import list_series

Enhanced = tuple[Path, FileDataset, np.ndarray]


def test_frames_are_sorted_and_scaled_each_for_itself(enhanced_file: Enhanced):
    path, _, stored = enhanced_file
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, stored * np.arange(1.0, 5) - 10)
    assert volume.geometry.spacing_mm == pytest.approx((0.5, 0.75, 2.5))
    assert volume.geometry.frame_of_reference_uid == "1.2.826.0.1.3680043.8.498.1"
    np.testing.assert_allclose(volume.geometry.affine[:3, 3], [40, -30, -10])


def test_in_a_folder_it_is_a_series(enhanced_file: Enhanced):
    path, _, stored = enhanced_file
    assert [summary.n_slices for summary in list_series(path.parent)] == [4]
    assert read_volume(path.parent).geometry.shape == stored.shape


def test_the_grid_is_simpleitk_s(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    # GDCM expects frames in ascending order
    groups = list(image.PerFrameFunctionalGroupsSequence)
    image.PerFrameFunctionalGroupsSequence = groups[::-1]
    image.save_as(path)
    theirs = sitk.ReadImage(str(path))
    ours = read_volume(path).geometry
    np.testing.assert_allclose(ours.spacing_mm, theirs.GetSpacing(), atol=1e-6)
    lps = np.diag([-1, -1, 1]) @ ours.directions
    np.testing.assert_allclose(lps[:, :2], np.reshape(theirs.GetDirection(), (3, 3))[:, :2], atol=1e-6)
    np.testing.assert_allclose(ours.affine[:3, 3] * [-1, -1, 1], theirs.GetOrigin(), atol=1e-6)


def test_two_echoes_in_one_file(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    groups = list(image.PerFrameFunctionalGroupsSequence)
    image.PerFrameFunctionalGroupsSequence = groups[:2] + groups[:2]
    image.save_as(path)
    with pytest.raises(GeometryError, match=r"duplicate DICOM slices; got 3 images .* frame [0-9] and .*one echo"):
        read_volume(path)


def test_a_missing_frame(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    groups = list(image.PerFrameFunctionalGroupsSequence)
    image.PerFrameFunctionalGroupsSequence = [groups[0], *groups[2:]]
    image.NumberOfFrames = 3
    image.PixelData = image.PixelData[: 3 * 60]
    image.save_as(path)
    with pytest.raises(GeometryError, match="1 DICOM slice is missing"):
        read_volume(path)


def test_groups_and_frames_that_contradict(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    image.NumberOfFrames = 3
    image.save_as(path)
    with pytest.raises(InputError, match="got 4 functional groups; expected 3, one a frame"):
        read_volume(path)


def test_a_frame_without_position(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    del image.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    image.save_as(path)
    with pytest.raises(InputError, match="got ImagePositionPatient None"):
        read_volume(path)


def test_a_malformed_value_in_a_group(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    image.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence[0].RescaleSlope = "3.14"
    image.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"3.14", b"3,14"))
    with pytest.raises(InputError, match=r"cannot read .*enhanced\.dcm; got RescaleSlope: .*'3,14'"):
        read_volume(path)


def test_without_shared_groups(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    del image.SharedFunctionalGroupsSequence
    image.save_as(path)
    with pytest.raises(InputError, match="does not say where it lies"):
        read_volume(path)


def test_a_compression_without_decoder(enhanced_file: Enhanced):
    path, image, _ = enhanced_file
    image.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    image.PixelData = encapsulate([b"\xff\xd8\xff\xd9"] * 4)
    image["PixelData"].is_undefined_length = True
    image.save_as(path)
    with pytest.raises(InputError, match=r"no decoder for .*JPEG Lossless.*pip install pylibjpeg"):
        read_volume(path)
