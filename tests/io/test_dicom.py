"""DICOM series against SimpleITK, and every way a folder can be bad."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from mr2ct.errors import GeometryError, InputError
from mr2ct.io import read_volume
from mr2ct.io.dicom import is_dicom_file, list_series
from mr2ct.io.dicom_unpack import unpacked
from mr2ct.volume import Quantity


def simpleitk_series(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (i, j, k) and RAS affine as SimpleITK's series reader gives them."""
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ affine


def test_a_series_is_sorted_by_position(make_series: Any):
    volume = read_volume(make_series())
    np.testing.assert_array_equal(volume.voxels, make_series.stored)
    assert volume.voxels.dtype == np.int16
    assert volume.geometry.spacing_mm == pytest.approx((0.5, 0.75, 2.5))
    assert volume.geometry.frame_of_reference_uid == "1.2.826.0.1.3680043.8.498.1"
    voxels, affine = simpleitk_series(make_series.folder)
    np.testing.assert_array_equal(volume.voxels, voxels)
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-6)


@pytest.mark.parametrize(("name", "n_slices"), [("phantom-mr-ct/t2-dicom", 94), ("head-t1-dicom", 40)])
def test_real_series_are_what_simpleitk_reads(shared_data: Path, tmp_path: Path, name: str, n_slices: int):
    for file in sorted((shared_data / name).glob("*.dcm"))[:n_slices]:
        (tmp_path / file.name).symlink_to(file)
    volume = read_volume(tmp_path)
    voxels, affine = simpleitk_series(tmp_path)
    assert volume.geometry.shape[2] == n_slices
    np.testing.assert_array_equal(volume.voxels, voxels)
    # ITK lays slices along the normal; the positions in the files are a little off it
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-5)


def test_a_whole_real_head(shared_data: Path):
    volume = read_volume(shared_data / "head-t1-dicom")
    assert volume.geometry.shape == (274, 384, 384)
    assert volume.geometry.spacing_mm == pytest.approx((0.7, 0.6667, 0.6667), abs=1e-3)
    assert volume.voxels.dtype == np.int16


def test_slope_and_intercept_are_each_slice_s_own(make_series: Any):
    def scale(n: int, image: FileDataset) -> None:
        image.RescaleSlope, image.RescaleIntercept = 1 + n, -7

    volume = read_volume(make_series(edit=scale))
    np.testing.assert_array_equal(volume.voxels, make_series.stored * np.arange(1.0, 5) - 7)
    assert volume.voxels.dtype == np.float32


def test_a_ct_stays_int16(make_series: Any):
    folder = make_series(Modality="CT", RescaleSlope=1, RescaleIntercept=-1024)
    volume = read_volume(folder, quantity=Quantity.HU)
    np.testing.assert_array_equal(volume.voxels, make_series.stored.astype(int) - 1024)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, simpleitk_series(folder)[0])


def test_signed_and_16_bit_numbers(make_series: Any):
    make_series.stored = (make_series.stored.astype(np.int32) - 2000).astype(np.int16)
    signed = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    np.testing.assert_array_equal(read_volume(make_series(**signed)).voxels, make_series.stored)
    make_series.stored = make_series.stored.astype(np.uint16)
    unsigned = read_volume(make_series(BitsStored=16, HighBit=15))
    assert unsigned.voxels.max() > 40000
    np.testing.assert_array_equal(unsigned.voxels, make_series.stored)


def test_monochrome1_is_turned_over_for_mr_only(make_series: Any):
    folder = make_series(PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=1)
    np.testing.assert_array_equal(read_volume(folder).voxels, (4095 - make_series.stored.astype(int)) * 2 + 1)
    hu = read_volume(folder, quantity=Quantity.HU, force=True)
    np.testing.assert_array_equal(hu.voxels, make_series.stored.astype(int) * 2 + 1)


def test_files_without_suffix_and_other_files_beside(make_series: Any):
    folder = make_series(suffix="")
    (folder / "README.txt").write_text("not a slice")
    (folder / ".DS_Store").write_bytes(b"\0" * 300)
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    report = make_series.dicom_file(folder / "report.dcm", BasicTextSRStorage, Modality="SR")
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(folder).voxels, make_series.stored)
    np.testing.assert_array_equal(read_volume(folder.parent).voxels, make_series.stored)
    # a CD has its index above the folders of its series
    (folder / "DICOMDIR").rename(folder.parent / "DICOMDIR")
    np.testing.assert_array_equal(read_volume(folder.parent).voxels, make_series.stored)


def test_a_file_without_preamble_is_read(make_series: Any):
    folder = make_series(heights_mm=[0])
    path = next(folder.iterdir())
    bare = pydicom.dcmread(path)
    bare.preamble = None
    bare.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True)
    assert not is_dicom_file(path)
    assert read_volume(folder).voxels.shape == (6, 5, 1)


def test_one_slice_is_as_thick_as_it_says(make_series: Any):
    folder = make_series(heights_mm=[0])
    assert read_volume(folder).geometry.spacing_mm == pytest.approx((0.5, 0.75, 2.0))
    volume = read_volume(next(folder.iterdir()))
    np.testing.assert_array_equal(volume.voxels, make_series.stored[..., :1])
    make_series(heights_mm=[0], SliceThickness=None)
    assert read_volume(folder).geometry.spacing_mm == pytest.approx((0.5, 0.75, 1.0))


def test_gantry_tilt_keeps_its_shear(make_series: Any):
    def tilt(n: int, image: FileDataset) -> None:
        image.ImagePositionPatient = [0, n * 0.5, n * 2.5]

    volume = read_volume(make_series(orientation=(1, 0, 0, 0, 1, 0), edit=tilt))
    np.testing.assert_allclose(volume.geometry.affine[:3, 2], [0, -0.5, 2.5])


def two_series(make_series: Any) -> Path:
    make_series(
        heights_mm=[0, 1, 2], prefix="scout", SeriesInstanceUID="1.2.3", SeriesDescription="scout", SeriesNumber=1
    )
    return make_series(SeriesInstanceUID="1.2.4", SeriesNumber=2)


def test_several_series_are_listed(make_series: Any):
    folder = two_series(make_series)
    assert [str(series) for series in list_series(folder)] == [
        "MR 'scout', 3 slices, 1.2.3",
        "MR 'T1', 4 slices, 1.2.4",
    ]
    with pytest.raises(InputError, match=r"holds 2 series; got 1\) MR 'scout', 3 slices, 1\.2\.3; 2\) .*--series"):
        read_volume(folder)


@pytest.mark.parametrize("wanted", ["1.2.4", 2, "2", "T1"])
def test_a_series_is_chosen_by_uid_number_or_description(make_series: Any, wanted: str | int):
    assert read_volume(two_series(make_series), series=wanted).geometry.shape == (6, 5, 4)


@pytest.mark.parametrize("wanted", ["1.2.5", 0, 3, "T2"])
def test_a_series_that_is_not_there(make_series: Any, wanted: str | int):
    with pytest.raises(InputError, match=r"no series '.*' in .*1\) MR 'scout'"):
        read_volume(two_series(make_series), series=wanted)


def test_a_description_that_is_not_unique(make_series: Any):
    make_series(prefix="first")
    with pytest.raises(InputError, match="several series 'T1'"):
        read_volume(make_series(prefix="second"), series="T1")


def test_real_series_mixed_and_with_a_gap(shared_data: Path, tmp_path: Path):
    slices = sorted((shared_data / "phantom-mr-ct" / "t2-dicom").glob("*.dcm"))
    # their names are not in the order of their positions: many gaps
    for file in slices[:20] + slices[23:40]:
        shutil.copy(file, tmp_path)
    with pytest.raises(GeometryError, match=r"[0-9]+ DICOM slices are missing; got .* 2\.500 mm elsewhere"):
        read_volume(tmp_path)
    for file in sorted((shared_data / "head-t1-dicom").glob("*.dcm"))[:5]:
        shutil.copy(file, tmp_path)
    with pytest.raises(InputError, match=r"holds 2 series.*anat-T1w"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("heights_mm", "message"),
    [
        ([0, 2.5, 7.5, 10], "1 DICOM slice is missing; got 5.000 mm between image0[0-9].dcm and"),
        ([0, 2.5, 12.5, 15, 17.5, 22.5, 25], "4 DICOM slices are missing"),
        ([0, 2.5, 2.5, 5], "duplicate DICOM slices"),
        ([0, 2.5, 5, 8.2], "uneven slice spacing; got 3.200 mm"),
        ([0, 2.5, 5, 8.75], "uneven slice spacing"),
        ([0, 20.6, 40, 60], "uneven slice spacing"),
        ([0, 22, 40, 60], "uneven slice spacing"),
        ([0, 2.58, 5, 7.5], "uneven slice spacing"),
    ],
)
def test_slices_that_make_no_grid(make_series: Any, heights_mm: list[float], message: str):
    with pytest.raises(GeometryError, match=message):
        read_volume(make_series(heights_mm=heights_mm))


@pytest.mark.parametrize("heights_mm", [[0, 2.52, 5.0, 7.49], [0, 20.3, 40.0, 60.0]])
def test_small_unevenness_is_tolerated(make_series: Any, heights_mm: list[float]):
    assert read_volume(make_series(heights_mm=heights_mm)).geometry.shape == (6, 5, 4)


def spoil_last(**attributes: object):
    def edit(n: int, image: FileDataset) -> None:
        if n == 3:
            for keyword, value in attributes.items():
                setattr(image, keyword, value)

    return edit


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "mixed orientations in one series"),
        ({"PixelSpacing": [0.7, 0.5]}, "mixed pixel spacings in one series"),
        ({"ImagePositionPatient": [0, 0, 100]}, "uneven slice spacing|missing"),
        ({"FrameOfReferenceUID": "1.2.3"}, "different frames of reference"),
    ],
)
def test_a_slice_that_does_not_belong(make_series: Any, attributes: dict[str, object], message: str):
    with pytest.raises(GeometryError, match=message):
        read_volume(make_series(edit=spoil_last(**attributes)))


def test_slices_of_two_patients_under_one_series(make_series: Any):
    with pytest.raises(InputError, match="of different patients; got 2 values of PatientID") as refused:
        read_volume(make_series(PatientID="anna", edit=spoil_last(PatientID="ben")))
    assert "anna" not in str(refused.value)


def beside_the_line(make_series: Any, apart_mm: float) -> Path:
    def shift(n: int, image: FileDataset) -> None:
        image.ImagePositionPatient = [apart_mm if n == 2 else 0, 0, n * 2.5]

    return make_series(orientation=(1, 0, 0, 0, 1, 0), edit=shift)


@pytest.mark.parametrize("apart_mm", [0.12, 0.5, 4.0])
def test_a_slice_beside_the_line_of_the_others(make_series: Any, apart_mm: float):
    with pytest.raises(GeometryError, match="mm off the line of the others"):
        read_volume(beside_the_line(make_series, apart_mm))


def test_a_slice_hardly_beside_the_line_is_tolerated(make_series: Any):
    assert read_volume(beside_the_line(make_series, 0.08)).geometry.shape == (6, 5, 4)


def test_a_skewed_orientation(make_series: Any):
    with pytest.raises(GeometryError, match="singular affine"):
        read_volume(make_series(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"Rows": 6, "PixelData": bytes(72)}, "slices of different size"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "is a colour image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is a colour image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "is a mosaic"),
        ({"Rows": 0}, "zero-size axis"),
        ({"ImagePositionPatient": None}, "does not say where it lies"),
        ({"PixelSpacing": None}, "got PixelSpacing None"),
        ({"NumberOfFrames": 2, "PixelData": bytes(120)}, "holds 2 frames but not where each lies"),
        ({"PixelData": bytes(40)}, "cannot read|truncated"),
        ({"Rows": 5000}, "is truncated"),
        ({"BitsAllocated": 12}, "cannot read|truncated"),
        ({"BitsStored": 20}, "contradicts itself; got 20 bits stored of 16"),
        ({"BitsAllocated": 60000, "BitsStored": 60000}, "contradicts itself"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_slice_that_cannot_be_used(make_series: Any, attributes: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        read_volume(make_series(edit=spoil_last(**attributes)))


def spoil_value(path: Path, keyword: str, said: str) -> None:
    """Put text where a number, or another kind of text, belongs, as no writer of pydicom would."""
    image, tag = pydicom.dcmread(path), Tag(keyword)
    image[tag] = DataElement(tag, "LO", said)
    image.save_as(path)
    head = struct.pack("<HH", tag.group, tag.element)
    path.write_bytes(path.read_bytes().replace(head + b"LO", head + dictionary_VR(tag).encode()))


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("SeriesNumber", "abc"),
        ("SeriesNumber", "1\\2"),
        ("NumberOfFrames", "x"),
        ("SliceThickness", "thick"),
        ("RescaleSlope", "x"),
        ("RescaleSlope", "1\\2"),
        ("RescaleIntercept", "nan"),
        ("PixelSpacing", "a\\b"),
        ("ImagePositionPatient", "1\\2\\x"),
        ("Rows", "abcd"),
        ("BitsStored", "abcd"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_malformed_header(make_series: Any, keyword: str, said: str):
    folder = make_series()
    path = sorted(folder.iterdir())[0]
    spoil_value(path, keyword, said)
    with pytest.raises(InputError, match=rf"cannot read .*{path.name}; got {keyword}: "):
        read_volume(folder)


def test_a_header_whose_bytes_are_no_attributes(make_series: Any):
    folder = make_series()
    path = sorted(folder.iterdir())[0]
    path.write_bytes(path.read_bytes().replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00U\x01"))
    with pytest.raises(InputError, match=rf"cannot read .*{path.name}"):
        read_volume(folder)


def test_an_empty_slope_is_none(make_series: Any):
    folder = make_series(heights_mm=[0])
    spoil_value(next(folder.iterdir()), "RescaleSlope", " ")
    np.testing.assert_array_equal(read_volume(folder).voxels, make_series.stored[..., :1])


@pytest.mark.parametrize("syntax", [b"1.2.840.113619.5.2", b"1.2.3.4"])
def test_a_transfer_syntax_that_no_one_knows(make_series: Any, syntax: bytes):
    folder = make_series(heights_mm=[0])
    path = next(folder.iterdir())
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", syntax.ljust(20, b"\0")))
    with pytest.raises(InputError, match=rf"no decoder for .*; got transfer syntax {syntax.decode()}"):
        read_volume(folder)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_files_that_begin_with_their_attributes(make_series: Any, syntax: UID):
    folder = make_series()
    big = syntax == ExplicitVRBigEndian
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        if big:
            image.PixelData = image.pixel_array.astype(">u2").tobytes()
            image["PixelData"].VR = "OW"
        with DicomBytesIO() as attributes:
            attributes.is_implicit_VR, attributes.is_little_endian = syntax.is_implicit_VR, not big
            write_dataset(attributes, pydicom.Dataset(image))
            path.write_bytes(attributes.getvalue())
    np.testing.assert_array_equal(read_volume(folder).voxels, make_series.stored)


def test_compressed_pixels_that_do_not_say_how(make_series: Any):
    folder = make_series(heights_mm=[0], edit=lambda n, image: image.compress(RLELossless))
    path = next(folder.iterdir())
    content = path.read_bytes()
    path.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    with pytest.raises(InputError, match="compressed pixels without a transfer syntax"):
        read_volume(folder)


@pytest.mark.parametrize("keep", [0, 100, 300, -30])
def test_a_truncated_slice(make_series: Any, keep: int):
    folder = make_series()
    path = sorted(folder.iterdir())[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((InputError, GeometryError)):
        read_volume(folder)


def test_text_by_the_name_of_a_slice(make_series: Any):
    folder = make_series()
    (folder / "notes.dcm").write_text("this is no DICOM file, whatever its name says")
    with pytest.raises(InputError, match=r"notes\.dcm"):
        read_volume(folder)


def test_a_folder_without_images(tmp_path: Path):
    with pytest.raises(InputError, match="no images in"):
        read_volume(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no images in"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("modality", "quantity", "belongs"),
    [("CT", Quantity.MR, "MR"), ("MR", Quantity.HU, "CT"), ("PT", Quantity.MR, "MR")],
)
def test_another_modality_needs_force(make_series: Any, modality: str, quantity: Quantity, belongs: str):
    folder = make_series(Modality=modality)
    with pytest.raises(InputError, match=f"modality {modality} where {belongs} belongs.*--force"):
        read_volume(folder, quantity=quantity)
    assert read_volume(folder, quantity=quantity, force=True).quantity is quantity
    assert read_volume(make_series(Modality=""), quantity=quantity).quantity is quantity


def test_run_length_coding(make_series: Any):
    np.testing.assert_array_equal(
        read_volume(make_series(edit=lambda n, image: image.compress(RLELossless))).voxels, make_series.stored
    )


def pack(source: Path, path: Path) -> Path:
    """In JPEG lossless, which pydicom alone does not read."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(path))
    writer.Execute(sitk.ReadImage(str(source)))
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return path


@pytest.fixture
def packed_ct(make_series: Any, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A CT slice in JPEG lossless, and its HU (i, j, k)."""
    folder = make_series(heights_mm=[0], Modality="CT", RescaleSlope=1, RescaleIntercept=-1024)
    expected = read_volume(folder, quantity=Quantity.HU).voxels
    return pack(next(folder.iterdir()), tmp_path / "packed.dcm"), expected


def test_what_pydicom_cannot_unpack_gdcm_does(packed_ct: tuple[Path, np.ndarray]):
    path, expected = packed_ct
    volume = read_volume(path, quantity=Quantity.HU, force=True)
    np.testing.assert_array_equal(volume.voxels, expected)


@pytest.mark.parametrize(("modality", "quantity"), [("MR", Quantity.MR), ("CT", Quantity.HU)])
def test_packed_and_plain_pixels_have_the_same_values(make_series: Any, modality: str, quantity: Quantity):
    plain = make_series(Modality=modality, RescaleSlope=1, RescaleIntercept=0, BitsStored=16, HighBit=15)
    attributes = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": 1.3, "RescaleIntercept": -7}
    packed = plain.with_name("packed")
    packed.mkdir()
    for path in plain.iterdir():
        for image in pydicom.dcmread(pack(path, packed / path.name)), pydicom.dcmread(path):
            original = pydicom.dcmread(path)
            for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SeriesInstanceUID"):
                image[keyword] = original[keyword]
            for keyword, value in attributes.items():
                setattr(image, keyword, value)
            image.save_as(image.filename)
    volume = read_volume(packed, quantity=quantity, force=True)
    assert volume.geometry.shape == (6, 5, 4)
    np.testing.assert_array_equal(volume.voxels, read_volume(plain, quantity=quantity).voxels)


def test_unpacked_pixels_stay_on_disk_and_no_longer_than_needed(packed_ct: tuple[Path, np.ndarray]):
    with unpacked([packed_ct[0]]) as pixels:
        held = pixels[packed_ct[0]]
        file = Path(held.base.filename)
        assert isinstance(held, np.memmap)
        assert file.is_file()
    assert not file.parent.exists()


def test_packed_pixels_that_are_damaged(packed_ct: tuple[Path, np.ndarray]):
    path = packed_ct[0]
    image = pydicom.dcmread(path)
    image.PixelData = image.PixelData[:60] + bytes(len(image.PixelData) - 60)
    image.save_as(path)
    with pytest.raises(InputError, match="cannot decompress the DICOM images"):
        read_volume(path, quantity=Quantity.HU, force=True)


def test_damage_within_what_pydicom_unpacks(make_series: Any):
    def damage(n: int, image: FileDataset) -> None:
        image.compress(RLELossless)
        image.PixelData = image.PixelData[:80] + bytes(4)

    with pytest.raises(InputError, match="cannot read"):
        read_volume(make_series(edit=damage))
