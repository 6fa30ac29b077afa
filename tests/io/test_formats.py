"""The registry: names, suffixes, dispatch, and room on disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mr2ct.errors import DiskSpaceError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io import is_volume_path, read_geometry, read_volume, volume_name, write_volume
from mr2ct.io.formats import READERS, WRITERS, volume_suffix
from mr2ct.volume import Quantity, Volume


@pytest.mark.parametrize("suffix", sorted(READERS))
def test_every_format_that_is_read_is_written(tmp_path: Path, suffix: str, small_ct: Volume):
    assert suffix in WRITERS
    path = write_volume(small_ct, tmp_path / "new" / f"ct{suffix}")
    assert path == tmp_path / "new" / f"ct{suffix}"
    again = read_volume(str(path), quantity=Quantity.HU)
    np.testing.assert_array_equal(again.voxels, small_ct.voxels)
    assert again.voxels.dtype == np.int16
    np.testing.assert_allclose(again.geometry.affine, small_ct.geometry.affine, atol=1e-5)
    assert is_volume_path(path)


@pytest.mark.parametrize("suffix", sorted(READERS))
def test_the_grid_is_read_without_the_voxels(tmp_path: Path, suffix: str, small_ct: Volume):
    path = write_volume(small_ct, tmp_path / f"ct{suffix}")
    assert read_geometry(path) == read_volume(path, quantity=Quantity.HU).geometry


@pytest.mark.parametrize("suffix", [".nii", ".mha"])
def test_the_grid_is_there_where_the_voxels_are_not(tmp_path: Path, suffix: str):
    large = Volume(np.zeros((30, 30, 30), np.int16), Geometry((30, 30, 30), np.eye(4)), Quantity.HU)
    path = write_volume(large, tmp_path / f"ct{suffix}")
    path.write_bytes(path.read_bytes()[:1000])
    assert read_geometry(path) == large.geometry


def test_what_has_no_grid_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"nope\.mha does not exist"):
        read_geometry(tmp_path / "nope.mha")
    for name in ("ct.mha", "ct.nii.gz"):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises(InputError, match="cannot read"):
            read_geometry(tmp_path / name)
    (tmp_path / "ct.png").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"no header that says where its voxels lie; got suffix '\.png'"):
        read_geometry(tmp_path / "ct.png")


def test_a_missing_file():
    with pytest.raises(InputError, match=r"nope\.nii\.gz does not exist"):
        read_volume("nope.nii.gz")


def test_an_unknown_format(tmp_path: Path, small_ct: Volume):
    (tmp_path / "ct.foo").write_text("hello")
    with pytest.raises(InputError, match=r"is of no known format; got suffix '\.foo'; expected \.nii, "):
        read_volume(tmp_path / "ct.foo")
    with pytest.raises(InputError, match=r"cannot write .*ct\.foo; got suffix '\.foo'"):
        write_volume(small_ct, tmp_path / "ct.foo")
    with pytest.raises(InputError, match="cannot write"):
        write_volume(small_ct, tmp_path / "ct.jpg")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ""])
def test_too_little_room_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_ct: Volume, suffix: str):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(1000))
    with pytest.raises(DiskSpaceError, match="not enough disk space"):
        write_volume(small_ct, tmp_path / f"ct{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/mr.nii.gz", "mr"),
        ("mr.NII", "mr"),
        ("anna.1.mha", "anna.1"),
        ("scan.dcm", "scan"),
        ("slice.PNG", "slice"),
        ("1.2.840.10008", "1.2.840.10008"),
        ("folder/", "folder"),
        (".nii.gz", ".nii.gz"),
    ],
)
def test_names(path: str, name: str):
    assert volume_name(path) == name


def test_a_folder_keeps_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "head.mha").mkdir()
    assert volume_name(tmp_path / "head.mha") == "head.mha"
    monkeypatch.chdir(tmp_path)
    assert volume_name(".") == tmp_path.name


@pytest.mark.parametrize(("path", "suffix"), [("A.NII.GZ", ".nii.gz"), ("a.gz", ".gz"), ("a.Mha", ".mha"), ("a", "")])
def test_suffixes(path: str, suffix: str):
    assert volume_suffix(path) == suffix


def test_what_may_be_a_volume(tmp_path: Path, make_series: Any, small_ct: Volume):
    series = make_series(suffix="")
    assert is_volume_path(series)
    assert is_volume_path(next(series.iterdir()))
    assert not is_volume_path(series.parent)
    write_volume(small_ct, tmp_path / "slices")
    assert is_volume_path(tmp_path / "slices")
    assert is_volume_path(tmp_path / "slices" / "0000.png")
    for name in ("notes.txt", ".mr2ct-tmp-1-ct.nii.gz"):
        (tmp_path / name).write_text("hello")
        assert not is_volume_path(tmp_path / name)
    assert not is_volume_path(tmp_path / "missing.nii.gz")


def test_pictures_among_dicom_files_are_not_the_volume(make_series: Any):
    folder = make_series()
    (folder / "thumbnail.png").write_bytes(b"whatever")
    assert read_volume(folder).geometry.shape == (6, 5, 4)


def test_importing_io_imports_no_reader():
    program = "import sys, mr2ct.io, mr2ct.io.checks, mr2ct.io.preview; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"nibabel", "SimpleITK", "pydicom", "PIL", "matplotlib", "torch"} & set(done.stdout.split())
