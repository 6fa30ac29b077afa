"""PNG and JPG slices, in and out."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.io.display import Plane, picture_spacing_mm
from mr2ct.volume import Quantity, Volume

RAMP = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8


def save(path: Path, picture: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def test_one_picture_is_an_axial_slice(tmp_path: Path):
    volume = read_volume(save(tmp_path / "mr.png", RAMP), spacing_mm=0.9)
    np.testing.assert_array_equal(volume.voxels[..., 0], RAMP.T)
    assert volume.voxels.dtype == np.float32
    assert volume.geometry.axis_codes == ("L", "P", "S")
    assert volume.geometry.spacing_mm == (0.9, 0.9, 0.9)


def test_a_folder_is_a_stack_in_natural_order(tmp_path: Path):
    for n in (1, 2, 10):
        save(tmp_path / "stack" / f"slice{n}.png", np.full((5, 6), n, np.uint8))
    (tmp_path / "stack" / "notes.txt").write_text("not a slice")
    volume = read_volume(tmp_path / "stack", spacing_mm=(0.5, 0.75, 3))
    assert volume.voxels[0, 0].tolist() == [1, 2, 10]
    assert volume.geometry.shape == (6, 5, 3)
    assert volume.geometry.spacing_mm == (0.5, 0.75, 3)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_ct_needs_the_hu_that_its_greys_stand_for(tmp_path: Path, bits: int):
    white = 2**bits - 1
    path = save(tmp_path / "ct.png", np.array([[0, white // 3], [white, white]], f"u{bits // 8}"))
    volume = read_volume(path, quantity=Quantity.HU, spacing_mm=1, hu_window=(-1000, 2000))
    np.testing.assert_allclose(volume.voxels[..., 0], [[-1000, 2000], [0, 2000]], atol=1e-3)
    with pytest.raises(InputError, match="--hu-window"):
        read_volume(path, quantity=Quantity.HU, spacing_mm=1)
    with pytest.raises(InputError, match="unusable HU window"):
        read_volume(path, quantity=Quantity.HU, spacing_mm=1, hu_window=(100, 100))
    # an MR has no such window
    assert read_volume(path, spacing_mm=1, hu_window=(-1000, 2000)).voxels.max() == white


def test_masks(tmp_path: Path):
    path = save(tmp_path / "mask.png", (RAMP > 99).astype(np.uint8) * 255)
    assert np.unique(read_volume(path, quantity=Quantity.MASK, spacing_mm=1).voxels).tolist() == [0, 255]


def test_grey_in_colour_clothes(tmp_path: Path):
    plain = read_volume(save(tmp_path / "grey.png", RAMP), spacing_mm=1).voxels
    colour = np.stack([RAMP] * 3, axis=-1)
    palette = Image.fromarray(RAMP).convert("P")
    palette.save(tmp_path / "palette.png")
    paths = [
        save(tmp_path / "rgb.png", colour),
        save(tmp_path / "rgba.png", np.dstack([colour, np.full((5, 6), 200, np.uint8)])),
        save(tmp_path / "la.png", np.dstack([RAMP, np.full((5, 6), 200, np.uint8)])),
        tmp_path / "palette.png",
    ]
    for path in paths:
        np.testing.assert_array_equal(read_volume(path, spacing_mm=1).voxels, plain)
    jpeg = read_volume(save(tmp_path / "rgb.JPG", colour, quality=100), spacing_mm=1)
    np.testing.assert_allclose(jpeg.voxels, plain, atol=4)
    bilevel = Image.fromarray(RAMP > 99)
    bilevel.save(tmp_path / "one.png")
    assert np.unique(read_volume(tmp_path / "one.png", spacing_mm=1).voxels).tolist() == [0, 255]


def test_colour_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is a colour picture"):
        read_volume(save(tmp_path / "c.png", np.stack([RAMP, RAMP, 255 - RAMP], axis=-1)), spacing_mm=1)


def png16(path: Path, picture: np.ndarray, kind: int) -> Path:
    """A 16-bit PNG of colour type 2 (RGB), 4 (grey and alpha) or 6 (RGBA), which Pillow does not write."""
    rows, columns, _ = picture.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, kind, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bits_are_not_cut_to_8(tmp_path: Path, kind: int, channels: int):
    path = png16(tmp_path / "mr.png", np.dstack([RAMP.astype(np.uint16) * 257 + 1] * channels), kind)
    with pytest.raises(InputError, match="16-bit picture with colour or transparency.*save it as 16-bit grey"):
        read_volume(path, spacing_mm=1)


@pytest.mark.parametrize("spacing", [None, 0, -1, (1, 2), (1, 2, 3, 4), float("nan")])
def test_spacing_must_be_given(tmp_path: Path, spacing: object):
    with pytest.raises(InputError, match=r"--spacing-mm|unusable spacing"):
        read_volume(save(tmp_path / "mr.png", RAMP), spacing_mm=spacing)  # type: ignore[arg-type]


def test_pictures_of_one_stack_are_alike(tmp_path: Path):
    save(tmp_path / "size" / "1.png", RAMP)
    save(tmp_path / "size" / "2.png", RAMP[:4])
    with pytest.raises(InputError, match=r"pictures of one stack differ; got 6 x 5, 8 bits in .*1\.png, 6 x 4"):
        read_volume(tmp_path / "size", spacing_mm=1)
    save(tmp_path / "depth" / "1.png", RAMP)
    save(tmp_path / "depth" / "2.png", RAMP.astype(np.uint16))
    with pytest.raises(InputError, match="6 x 5, 16 bits"):
        read_volume(tmp_path / "depth", spacing_mm=1)


def test_damaged_pictures_are_refused(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (50, 50)).astype(np.uint8)
    for name in ("a.png", "a.jpg"):
        raw = save(tmp_path / name, noise).read_bytes()
        (tmp_path / name).write_bytes(raw[: len(raw) // 2])
        with pytest.raises(InputError, match="cannot read"):
            read_volume(tmp_path / name, spacing_mm=1)
        (tmp_path / name).write_text("hello")
        with pytest.raises(InputError, match="cannot read"):
            read_volume(tmp_path / name, spacing_mm=1)


def test_a_huge_picture_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save(tmp_path / "mr.png", RAMP)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(InputError, match="cannot read"):
        read_volume(path, spacing_mm=1)


def test_a_written_ct_reads_back_onto_its_own_grid(tmp_path: Path, awkward_affine: np.ndarray):
    rng = np.random.default_rng(0)
    ct = Volume(
        rng.integers(-1024, 3071, (5, 6, 7)).astype(np.int16), Geometry((5, 6, 7), awkward_affine, "1.2.3"), Quantity.HU
    )
    write_volume(ct, tmp_path / "slices")
    again = read_volume(tmp_path / "slices", quantity=Quantity.HU)
    assert again.geometry == Geometry((5, 6, 7), awkward_affine)
    np.testing.assert_allclose(again.voxels, ct.voxels, atol=4095 / 255 / 2 + 0.01)
    # pictures are handed round: they tie to no patient
    assert "1.2.3" not in (tmp_path / "slices" / "slices.json").read_text()
    # pictures without their JSON file can still be read, on a grid of their own
    (tmp_path / "slices" / "slices.json").unlink()
    bare = read_volume(tmp_path / "slices", quantity=Quantity.HU, spacing_mm=1, hu_window=(-1024, 3071))
    assert sorted(bare.geometry.shape) == [5, 6, 7]


def test_pictures_in_and_out_are_the_same_pictures(tmp_path: Path):
    for n in range(3):
        save(tmp_path / "in" / f"{n}.png", RAMP + np.uint8(n))
    write_volume(read_volume(tmp_path / "in", spacing_mm=(0.5, 0.75, 3)), tmp_path / "out")
    for n in range(3):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / f"000{n}.png")), RAMP + n)
    again = read_volume(tmp_path / "out")
    assert again.geometry.spacing_mm == (0.5, 0.75, 3)
    np.testing.assert_array_equal(again.voxels, read_volume(tmp_path / "in", spacing_mm=1).voxels)


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_single_slice_is_one_picture_in_its_plane(tmp_path: Path, oblique_affine: np.ndarray, thin: int):
    shape = [6, 5, 4]
    shape[thin] = 1
    voxels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    labels = Volume(voxels, Geometry((shape[0], shape[1], shape[2]), oblique_affine), Quantity.MASK)
    write_volume(labels, tmp_path / "mask.png")
    assert json.loads((tmp_path / "mask.png.json").read_text())["plane"] == ("sagittal", "coronal", "axial")[thin]
    again = read_volume(tmp_path / "mask.png", quantity=Quantity.MASK)
    np.testing.assert_array_equal(again.voxels, voxels)
    assert again.geometry == labels.geometry


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_another_spacing_changes_the_size_of_written_pictures_alone(
    tmp_path: Path, oblique_affine: np.ndarray, thin: int
):
    shape = [6, 5, 4]
    shape[thin] = 1
    voxels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    labels = Volume(voxels, Geometry((shape[0], shape[1], shape[2]), oblique_affine), Quantity.MASK)
    write_volume(labels, tmp_path / "mask.png")
    again = read_volume(tmp_path / "mask.png", quantity=Quantity.MASK, spacing_mm=(0.5, 0.75, 3))
    np.testing.assert_array_equal(again.voxels, voxels)
    np.testing.assert_allclose(again.geometry.directions, labels.geometry.directions)
    np.testing.assert_array_equal(again.geometry.affine[:3, 3], oblique_affine[:3, 3])
    assert picture_spacing_mm(again.geometry, list(Plane)[2 - thin]) == pytest.approx((3, 0.75, 0.5))


def test_pictures_whose_json_file_names_a_frame_of_reference(tmp_path: Path, small_ct: Volume):
    write_volume(small_ct, tmp_path / "ct")
    sidecar = tmp_path / "ct" / "slices.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"frame_of_reference_uid": "1.2.3"}))
    assert read_volume(tmp_path / "ct", quantity=Quantity.HU).geometry.shape == small_ct.geometry.shape


def test_a_volume_is_no_single_picture(tmp_path: Path, small_ct: Volume):
    with pytest.raises(InputError, match="name a folder"):
        write_volume(small_ct, tmp_path / "ct.png")
    assert list(tmp_path.iterdir()) == []


def test_an_mr_beyond_8_bits_is_stretched(tmp_path: Path, small_mr: Volume):
    write_volume(small_mr.with_voxels(small_mr.voxels * 10 - 3), tmp_path / "mr")
    again = read_volume(tmp_path / "mr")
    np.testing.assert_allclose(again.voxels, small_mr.voxels * 10 - 3, atol=2600 / 255 / 2)
    flat = small_mr.with_voxels(np.full((9, 8, 7), 700.0))
    np.testing.assert_array_equal(read_volume(write_volume(flat, tmp_path / "flat")).voxels, 700)


def test_pictures_know_what_they_show(tmp_path: Path, small_ct: Volume):
    write_volume(small_ct, tmp_path / "ct")
    with pytest.raises(InputError, match=r"holds hu, not mr; --force"):
        read_volume(tmp_path / "ct")
    assert read_volume(tmp_path / "ct", force=True).quantity is Quantity.MR


def test_a_folder_of_slices_is_replaced_and_no_other(tmp_path: Path, small_ct: Volume):
    write_volume(small_ct, tmp_path / "ct")
    first = sorted(path.name for path in (tmp_path / "ct").iterdir())
    write_volume(small_ct, tmp_path / "ct")
    assert sorted(path.name for path in (tmp_path / "ct").iterdir()) == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        write_volume(small_ct, tmp_path / "mine")


def test_pictures_lost_or_a_damaged_json_file(tmp_path: Path, small_ct: Volume):
    write_volume(small_ct, tmp_path / "ct")
    (tmp_path / "ct" / "0002.png").unlink()
    with pytest.raises(InputError, match="not those that its slices.json describes"):
        read_volume(tmp_path / "ct", quantity=Quantity.HU)
    for content in ("{", "{}", '{"format_version": 1, "window": 3}', '{"format_version": 2}'):
        (tmp_path / "ct" / "slices.json").write_text(content)
        with pytest.raises(InputError, match=r"cannot read .*slices\.json"):
            read_volume(tmp_path / "ct", quantity=Quantity.HU)
