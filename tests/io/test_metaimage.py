"""MetaImage and NRRD against SimpleITK, whose geometry is LPS and whose arrays are (z, y, x)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.io import read_volume, write_volume
from mr2ct.io.formats import read_geometry
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


def test_the_data_of_an_mhd_are_in_place_before_its_header(
    tmp_path: Path, small_ct: Volume, monkeypatch: pytest.MonkeyPatch
):
    put, replace = [], Path.replace

    def noted(self: Path, target: Path) -> Path:
        put.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    write_volume(small_ct, tmp_path / "ct.mhd")
    assert put == ["ct.zraw", "ct.mhd"]


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


def nrrd(encoding: str, voxels: bytes) -> bytes:
    """5 x 4 x 3 voxels of int16, as other programs write them."""
    header = f"""NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 5 4 3
space directions: (1,0,0) (0,1,0) (0,0,1)
endian: little
encoding: {encoding}

"""
    return header.encode() + voxels


def metaimage(voxels: bytes, **entries: object) -> bytes:
    """Compressed 5 x 4 x 3 voxels of int16, as other programs write them."""
    usual = {"NDims": 3, "BinaryData": "True", "CompressedData": "True", "CompressedDataSize": len(voxels)}
    usual |= {"DimSize": "5 4 3", "ElementSpacing": "1 1 1", "ElementType": "MET_SHORT"} | entries
    lines = [f"{key} = {value}" for key, value in usual.items() if value is not None]
    return "\n".join(["ObjectType = Image", *lines, "ElementDataFile = LOCAL\n"]).encode() + voxels


NUMBERS = np.arange(60, dtype="<i2").reshape(3, 4, 5)


@pytest.mark.parametrize(
    "content",
    [
        nrrd("GZ\ndata file: voxels.gz", b""),
        nrrd("gzip", gzip.compress(NUMBERS.tobytes()[:50]) + gzip.compress(NUMBERS.tobytes()[50:])),
        nrrd("gzip\nline skip: 1\nbyte skip: 4", b"a line\n" + gzip.compress(b"skip" + NUMBERS.tobytes())),
        nrrd("gzip", gzip.compress(NUMBERS.astype(">i2").tobytes())).replace(b"endian: little", b"endian: big"),
        nrrd("ascii", " ".join(map(str, NUMBERS.ravel())).encode()),
        metaimage(zlib.compress(NUMBERS.tobytes())),
        metaimage(gzip.compress(NUMBERS.tobytes())),
        metaimage(zlib.compress(NUMBERS.astype(">i2").tobytes()), ElementByteOrderMSB="True"),
    ],
    ids=["beside", "two members", "skips", "big-endian NRRD", "text", "zlib", "gzip", "big-endian MetaImage"],
)
def test_reads_what_other_programs_compress(tmp_path: Path, content: bytes):
    path = tmp_path / ("x.nrrd" if content.startswith(b"NRRD") else "x.mha")
    path.write_bytes(content)
    (tmp_path / "voxels.gz").write_bytes(gzip.compress(NUMBERS.tobytes()))
    np.testing.assert_array_equal(read_volume(path).voxels, NUMBERS.T)


@pytest.mark.parametrize(
    "content",
    [
        nrrd("gzip", gzip.compress(NUMBERS.tobytes() * 2)),
        nrrd("gzip", gzip.compress(NUMBERS.tobytes())[:-8] + bytes(8)),
        nrrd("gzip", NUMBERS.tobytes()),
        nrrd("gzip\ndata file: LIST\nvoxels.gz", b""),
        nrrd("bzip2", b"BZh9"),
        nrrd("raw", NUMBERS.tobytes()[:-1]),
        nrrd("ascii", " ".join(map(str, NUMBERS.ravel())).encode()[:-20]),
        metaimage(zlib.compress(NUMBERS.tobytes()[:-21])),
        metaimage(zlib.compress(NUMBERS.tobytes() * 2)),
        metaimage(zlib.compress(NUMBERS.tobytes()[:-20]), CompressedData="1"),
        metaimage(zlib.compress(NUMBERS.tobytes()), CompressedDataSize=None),
        metaimage(zlib.compress(NUMBERS.tobytes()), CompressedDataSize=30),
        metaimage(zlib.compress(NUMBERS.tobytes()), ElementType="MET_FOO"),
    ],
    ids=[
        *("NRRD long", "NRRD checksum", "NRRD not packed", "NRRD list", "NRRD bzip2", "NRRD raw", "NRRD text"),
        *("short", "long", "short, by 1", "no size", "wrong size", "no type"),
    ],
)
def test_voxels_that_are_not_what_the_header_says_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / ("x.nrrd" if content.startswith(b"NRRD") else "x.mha")
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot read"):
        read_volume(path)


@pytest.mark.parametrize("axes", ["-3", "100", "99999", "x"])
def test_a_header_that_would_end_the_process_is_refused(tmp_path: Path, axes: str):
    (tmp_path / "x.mha").write_bytes(metaimage(zlib.compress(NUMBERS.tobytes()), NDims=axes))
    for read in (read_volume, read_geometry):
        with pytest.raises(InputError, match=f"cannot read .*NDims = {axes}"):
            read(tmp_path / "x.mha")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_fourth_axis_of_length_1_is_dropped(tmp_path: Path, suffix: str):
    image = sitk.GetImageFromArray(NUMBERS[np.newaxis], isVector=False)
    image.SetSpacing((1, 2, 3, 4))
    image.SetOrigin((10, 20, 30, 40))
    sitk.WriteImage(image, str(tmp_path / f"x{suffix}"), True)
    volume = read_volume(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(volume.voxels, NUMBERS.T)
    np.testing.assert_array_equal(volume.geometry.affine[:3], [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30]])
    assert read_geometry(tmp_path / f"x{suffix}") == volume.geometry


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
