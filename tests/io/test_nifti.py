"""NIfTI against nibabel, and every way a file can be bad."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.volume import Quantity, Volume

DIM, SFORM_CODE, QFORM_CODE, SROW_X = 40, 254, 252, 280


def save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def patched(path: Path, *changes: tuple[int, bytes]) -> Path:
    raw = bytearray(path.read_bytes())
    for offset, new in changes:
        raw[offset : offset + len(new)] = new
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "u2", "i4", "f4", ">f4", "f8"])
def test_reads_what_nibabel_reads(tmp_path: Path, awkward_affine: np.ndarray, suffix: str, dtype: str):
    voxels = np.arange(60).reshape(3, 4, 5).astype(dtype)
    path = save(tmp_path / f"mr{suffix}", voxels, awkward_affine)
    volume = read_volume(path)
    theirs = nibabel.load(path)
    np.testing.assert_array_equal(volume.voxels, theirs.get_fdata())
    np.testing.assert_array_equal(volume.geometry.affine, theirs.affine)
    assert volume.voxels.dtype == (np.int16 if dtype.endswith("i2") else np.float32)


def test_slope_and_intercept_are_applied(tmp_path: Path):
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "mr.nii.gz")
    raw = nibabel.load(tmp_path / "mr.nii.gz")
    volume = read_volume(tmp_path / "mr.nii.gz")
    np.testing.assert_allclose(volume.voxels, raw.get_fdata(), rtol=1e-6)
    assert raw.dataobj.slope == 0.5


def test_nifti2_and_one_extra_axis_and_two_axes(tmp_path: Path, oblique_affine: np.ndarray):
    voxels = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    nibabel.save(nibabel.Nifti2Image(voxels, oblique_affine), tmp_path / "two.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "two.nii").voxels, voxels)
    np.testing.assert_array_equal(read_volume(save(tmp_path / "4.nii", voxels[..., None, None])).voxels, voxels)
    flat = read_volume(save(tmp_path / "flat.nii", voxels[0], oblique_affine))
    assert flat.geometry.shape == (4, 5, 1)
    np.testing.assert_allclose(flat.geometry.affine, oblique_affine, atol=1e-5)


def test_two_axes_without_thickness_get_one_millimetre(tmp_path: Path):
    path = save(tmp_path / "flat.nii", np.ones((4, 5), np.float32), np.diag([2.0, 3.0, 1.0, 1.0]))
    patched(path, *((SROW_X + 8 + 16 * row, bytes(4)) for row in range(3)))
    assert read_volume(path).geometry.spacing_mm == (2, 3, 1)


def test_without_any_form_the_grid_is_centred_and_leads_left(tmp_path: Path):
    path = patched(save(tmp_path / "mr.nii", np.ones((3, 5, 7), np.float32)), (QFORM_CODE, bytes(4)))
    expected = np.array([[-1, 0, 0, 1], [0, 1, 0, -2], [0, 0, 1, -3], [0, 0, 0, 1]])
    np.testing.assert_array_equal(read_volume(path).geometry.affine, expected)


def test_the_qform_counts_where_there_is_no_sform(tmp_path: Path, oblique_affine: np.ndarray):
    image = nibabel.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4))
    image.set_sform(None, 0)
    image.set_qform(oblique_affine, 1)
    nibabel.save(image, tmp_path / "mr.nii")
    volume = read_volume(tmp_path / "mr.nii")
    np.testing.assert_allclose(volume.geometry.affine, oblique_affine, atol=1e-5)
    write_volume(volume, tmp_path / "again.nii.gz")
    again = nibabel.load(tmp_path / "again.nii.gz").affine
    np.testing.assert_array_equal(again, nibabel.load(tmp_path / "mr.nii").affine)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_written_affine_is_the_input_s_bit_for_bit(tmp_path: Path, awkward_affine: np.ndarray, suffix: str):
    original = save(tmp_path / "in.nii", np.zeros((3, 4, 5), np.int16), awkward_affine)
    volume = read_volume(original)
    sct = volume.with_voxels(np.full((3, 4, 5), -1000, np.int16), quantity=Quantity.HU)
    written = nibabel.load(write_volume(sct, tmp_path / f"sct{suffix}"))
    np.testing.assert_array_equal(written.affine, nibabel.load(original).affine)
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (1, 1)
    assert written.header.get_xyzt_units()[0] == "mm"
    assert written.get_data_dtype() == np.int16
    # programs that look at the qform only come to the same place
    np.testing.assert_allclose(written.header.get_qform(), written.affine, atol=1e-4)


def test_a_sheared_affine_goes_into_the_sform(tmp_path: Path):
    affine = np.array([[1, 0, 0.3, 5], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]).astype(np.float32).astype(float)
    volume = Volume(np.zeros((3, 4, 5), np.int16), Geometry((3, 4, 5), affine), Quantity.HU)
    np.testing.assert_array_equal(nibabel.load(write_volume(volume, tmp_path / "ct.nii")).affine, affine)


def test_types_on_disk(tmp_path: Path, small_mr: Volume):
    fractional = small_mr.with_voxels(np.full((9, 8, 7), 39.6, np.float32), quantity=Quantity.HU)
    assert nibabel.load(write_volume(fractional, tmp_path / "ct.nii")).get_fdata().flat[0] == 40
    far = small_mr.with_voxels(np.full((9, 8, 7), 1e6, np.float32), quantity=Quantity.HU)
    assert nibabel.load(write_volume(far, tmp_path / "ct.nii")).get_fdata().flat[0] == 32767
    assert nibabel.load(write_volume(small_mr, tmp_path / "mr.nii")).get_data_dtype() == np.float32
    mask = small_mr.with_voxels(small_mr.voxels > 50, quantity=Quantity.MASK)
    assert nibabel.load(write_volume(mask, tmp_path / "mask.nii")).get_data_dtype() == np.uint8


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path, small_mr: Volume):
    one, other = write_volume(small_mr, tmp_path / "1.nii.gz"), write_volume(small_mr, tmp_path / "2.nii.gz")
    assert one.read_bytes() == other.read_bytes()
    # RFC 1952: no flags, so no name, and no time, which would differ a second later
    assert one.read_bytes()[3:8] == bytes(5)


@pytest.mark.parametrize(("values", "expected"), [([0, 1], [0, 1]), ([0, 0.9999], [0, 1]), ([0, 255], [0, 255])])
def test_masks_become_labels(tmp_path: Path, values: list[float], expected: list[int]):
    voxels = np.array(values, np.float32).reshape(1, 1, 2)
    volume = read_volume(save(tmp_path / "mask.nii", voxels), quantity=Quantity.MASK)
    assert volume.voxels.ravel().tolist() == expected
    assert volume.voxels.dtype == np.uint8


@pytest.mark.parametrize("value", [-1, 300])
def test_what_is_no_mask_is_refused(tmp_path: Path, value: int):
    with pytest.raises(InputError, match="does not look like a mask"):
        read_volume(save(tmp_path / "mask.nii", np.full((2, 2, 2), value, np.int16)), quantity=Quantity.MASK)


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.999], ids="{:.1%}".format)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, keep: float):
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    raw = save(tmp_path / f"whole{suffix}", noise).read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(InputError, match=r"cannot read|truncated"):
        read_volume(tmp_path / f"cut{suffix}")


def test_a_damaged_gzip_is_refused(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    raw = bytearray(gzip.compress(save(tmp_path / "whole.nii", noise).read_bytes(), 0))
    raw[5000] ^= 255
    (tmp_path / "bad.nii.gz").write_bytes(raw)
    with pytest.raises(InputError, match="CRC check failed"):
        read_volume(tmp_path / "bad.nii.gz")


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 400], ids=["empty", "text", "zeros"])
def test_what_is_no_nifti_is_refused(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="cannot read"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.ones((4, 4, 4, 5), np.float32), "has 4 axes"),
        (np.ones((4, 4, 4, 1, 3), np.float32), "has 5 axes"),
        (np.ones((4, 4, 4), np.complex64), "complex voxels"),
        (np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "RGB colour voxels"),
        (
            np.where(np.arange(64).reshape(4, 4, 4) == 3, np.nan, 1).astype(np.float32),
            "NaN or infinite voxels; got 1 of 64",
        ),
        (np.where(np.arange(64).reshape(4, 4, 4) > 61, np.inf, 1), "NaN or infinite voxels; got 2 of 64"),
        (np.full((4, 4, 4), 1e300), "NaN or infinite voxels"),
    ],
    ids=["4-D", "5-D", "complex", "RGB", "NaN", "infinite", "beyond float32"],
)
def test_what_is_no_grey_volume_is_refused(tmp_path: Path, voxels: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        read_volume(save(tmp_path / "mr.nii", voxels))


@pytest.mark.parametrize(
    ("dim", "message"),
    [(b"\x00\x00", "zero-size axis"), (b"\xff\xff", "zero-size axis|cannot read"), (b"\xff\x7f" * 3, "truncated")],
    ids=["zero", "negative", "huge"],
)
def test_impossible_dimensions_are_refused(tmp_path: Path, dim: bytes, message: str):
    path = patched(save(tmp_path / "mr.nii", np.ones((4, 4, 4), np.float32)), (DIM + 2, dim))
    with pytest.raises(InputError, match=message):
        read_volume(path)


def test_a_singular_affine_is_refused(tmp_path: Path):
    path = save(tmp_path / "mr.nii", np.ones((4, 4, 4), np.float32))
    patched(path, (QFORM_CODE, b"\x00\x00"), (SFORM_CODE, b"\x01\x00"), (SROW_X, bytes(16)))
    with pytest.raises(GeometryError, match="singular affine"):
        read_volume(path)


def test_another_kind_of_image_by_that_name_is_refused(tmp_path: Path):
    nibabel.save(nibabel.MGHImage(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "x.mgz")
    (tmp_path / "x.mgz").rename(tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match=r"cannot read|not a NIfTI"):
        read_volume(tmp_path / "x.nii.gz")


def test_real_slices_round_trip(shared_data: Path, tmp_path: Path):
    for plane in ("axial", "coronal", "sagittal"):
        source = shared_data / "brain-slices" / f"1BA001-{plane}" / "ct.nii.gz"
        volume = read_volume(source, quantity=Quantity.HU)
        assert 1 in volume.geometry.shape
        again = nibabel.load(write_volume(volume, tmp_path / "ct.nii.gz"))
        np.testing.assert_array_equal(again.affine, nibabel.load(source).affine)
        np.testing.assert_array_equal(np.asanyarray(again.dataobj), np.asanyarray(nibabel.load(source).dataobj))
