"""MetaImage and NRRD against SimpleITK, whose geometry is LPS and whose arrays are (z, y, x)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.io import read_volume, write_volume
from mr2ct.volume import Quantity, Volume

SUFFIXES = [".mha", ".mhd", ".nrrd"]


def save(path: Path, voxels_zyx: np.ndarray, **options: bool) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(voxels_zyx, **options), str(path))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path: Path, awkward_affine: np.ndarray, suffix: str):
    voxels = np.random.default_rng(0).normal(100, 30, (5, 6, 7)).astype(np.float32)
    mr = Volume(voxels, Geometry((5, 6, 7), awkward_affine), Quantity.MR)
    again = read_volume(write_volume(mr, tmp_path / f"mr{suffix}"))
    np.testing.assert_array_equal(again.voxels, mr.voxels)
    np.testing.assert_allclose(again.geometry.affine, awkward_affine, rtol=1e-12, atol=1e-12)
    hidden = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert hidden == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_voxel_lies_where_simpleitk_puts_it(tmp_path: Path, oblique_affine: np.ndarray, suffix: str):
    voxels = np.zeros((5, 6, 7), np.int16)
    voxels[3, 1, 4] = 9
    path = write_volume(Volume(voxels, Geometry((5, 6, 7), oblique_affine), Quantity.HU), tmp_path / f"ct{suffix}")
    image = sitk.ReadImage(str(path))
    assert image.GetPixel(3, 1, 4) == 9
    assert image.GetPixelID() == sitk.sitkInt16
    left, posterior, superior = image.TransformIndexToPhysicalPoint((3, 1, 4))
    np.testing.assert_allclose(voxel_to_world(oblique_affine, [3, 1, 4]), [-left, -posterior, superior])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
def test_reads_what_simpleitk_wrote(tmp_path: Path, suffix: str, compressed: bool):
    voxels = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1, 2, 3))
    image.SetOrigin((10, 20, 30))
    sitk.WriteImage(image, str(tmp_path / f"x{suffix}"), compressed)
    volume = read_volume(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(volume.voxels, voxels.T)
    np.testing.assert_array_equal(volume.geometry.affine[:3, 3], [-10, -20, 30])
    assert volume.geometry.axis_codes == ("L", "P", "S")
    assert volume.geometry.spacing_mm == (1, 2, 3)


def test_two_axes_are_one_axial_slice(tmp_path: Path):
    volume = read_volume(save(tmp_path / "x.mha", np.ones((4, 5), np.float32)))
    assert volume.geometry.shape == (5, 4, 1)


def test_header_and_data_of_an_mhd_move_together(tmp_path: Path, small_ct: Volume):
    write_volume(small_ct, tmp_path / "new" / "ct.mhd")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["ct.mhd", "ct.zraw"]
    write_volume(small_ct, tmp_path / "new" / "ct.mhd")
    np.testing.assert_array_equal(
        read_volume(tmp_path / "new" / "ct.mhd", quantity=Quantity.HU).voxels, small_ct.voxels
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_voxels_are_refused(tmp_path: Path, suffix: str, compressed: bool):
    noise = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), compressed)
    raw = next((p for p in tmp_path.iterdir() if p.suffix in (".raw", ".zraw")), path)
    raw.write_bytes(raw.read_bytes()[:-300])
    with pytest.raises(InputError, match="cannot read"):
        read_volume(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_compressed_voxels_are_refused(tmp_path: Path, suffix: str):
    noise = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), True)
    raw = next((p for p in tmp_path.iterdir() if p.suffix == ".zraw"), path)
    content = bytearray(raw.read_bytes())
    content[2000:2008] = bytes(byte ^ 255 for byte in content[2000:2008])
    raw.write_bytes(content)
    with pytest.raises(InputError, match="cannot read"):
        read_volume(path)


def test_a_header_without_its_data_is_refused(tmp_path: Path):
    save(tmp_path / "x.mhd", np.ones((4, 5, 6), np.float32))
    (tmp_path / "x.raw").unlink()
    with pytest.raises(InputError, match="cannot read"):
        read_volume(tmp_path / "x.mhd")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"hello", b"ObjectType = Image\nNDims = 3\n", b"NRRD0004\ntype: float\n"])
def test_what_is_no_image_is_refused(tmp_path: Path, suffix: str, content: bytes):
    (tmp_path / f"x{suffix}").write_bytes(content)
    with pytest.raises(InputError, match="cannot read"):
        read_volume(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nan_is_refused(tmp_path: Path, suffix: str):
    voxels = np.ones((4, 5, 6), np.float32)
    voxels[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or infinite voxels; got 1 of 120"):
        read_volume(save(tmp_path / f"x{suffix}", voxels))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colour_vectors_complex_and_4d_are_refused(tmp_path: Path, suffix: str):
    with pytest.raises(InputError, match="3 numbers a voxel"):
        read_volume(save(tmp_path / f"rgb{suffix}", np.ones((4, 5, 6, 3), np.uint8), isVector=True))
    with pytest.raises(InputError, match="has 4 axes"):
        read_volume(save(tmp_path / f"4{suffix}", np.ones((3, 4, 5, 6), np.float32), isVector=False))
    if suffix == ".nrrd":
        with pytest.raises(InputError, match="2 numbers a voxel"):
            read_volume(save(tmp_path / "c.nrrd", np.ones((4, 5, 6), np.complex64)))


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".mha", b"TransformMatrix = 1 0 0", b"TransformMatrix = 0 0 0"),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = 0 1 1"),
        (".nrrd", b"(1,0,0)", b"(0,1,0)"),
    ],
)
def test_a_singular_affine_is_refused(tmp_path: Path, suffix: str, old: bytes, new: bytes):
    path = save(tmp_path / f"x{suffix}", np.ones((4, 5, 6), np.float32))
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(GeometryError, match="singular affine"):
        read_volume(path)


def test_zero_size_axis_is_refused(tmp_path: Path):
    path = save(tmp_path / "x.mha", np.ones((4, 5, 6), np.float32))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 6 5 4", b"DimSize = 6 0 4"))
    with pytest.raises(InputError):
        read_volume(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path, small_ct: Volume):
    (tmp_path / "file").write_text("")
    for suffix in SUFFIXES:
        with pytest.raises(InputError, match="cannot write"):
            write_volume(small_ct, tmp_path / "file" / f"ct{suffix}")
