"""What says that an input is the one that was converted before."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.inference.earlier import input_sha256
from mr2ct.io import write_volume
from mr2ct.io.images import write_pictures
from mr2ct.volume import Quantity, Volume

MR = Volume(np.arange(60, dtype=np.float32).reshape(5, 4, 3), Geometry((5, 4, 3), np.eye(4)), Quantity.MR)


def flipped(path):
    """Change the last byte of a file."""
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def test_a_file_is_known_by_its_bytes_not_by_its_name(tmp_path):
    for name in ("anna.nii.gz", "ben.nii.gz"):
        write_volume(MR, tmp_path / name)
    before = input_sha256(tmp_path / "anna.nii.gz")
    assert input_sha256(tmp_path / "ben.nii.gz") == before
    flipped(tmp_path / "anna.nii.gz")
    assert input_sha256(tmp_path / "anna.nii.gz") != before


def test_the_data_file_of_a_header_counts_and_what_lies_beside_it_does_not(tmp_path):
    write_volume(MR, tmp_path / "anna.mhd")
    before = input_sha256(tmp_path / "anna.mhd")
    write_volume(MR, tmp_path / "ben.mhd")
    (tmp_path / "anna_sct.json").write_text("{}")
    assert input_sha256(tmp_path / "anna.mhd") == before
    flipped(tmp_path / "anna.zraw")
    assert input_sha256(tmp_path / "anna.mhd") != before


@pytest.mark.parametrize("changed", ["0001.png", "slices.json"])
def test_slices_and_their_description_count_and_what_is_made_of_them_does_not(tmp_path, changed):
    write_pictures(MR, tmp_path / "head")
    before = input_sha256(tmp_path / "head")
    (tmp_path / "head" / "head_sct.nii.gz").write_bytes(b"an sCT")
    (tmp_path / "head" / "head_preview.png").write_bytes(b"a preview")
    assert input_sha256(tmp_path / "head") == before
    flipped(tmp_path / "head" / changed)
    assert input_sha256(tmp_path / "head") != before


def test_the_description_of_a_single_picture_counts(tmp_path):
    write_volume(Volume(MR.voxels[:, :, :1], Geometry((5, 4, 1), np.eye(4)), Quantity.MR), tmp_path / "a.png")
    before = input_sha256(tmp_path / "a.png")
    flipped(tmp_path / "a.png.json")
    assert input_sha256(tmp_path / "a.png") != before


def test_what_is_not_there_is_an_error_in_words(tmp_path):
    with pytest.raises(InputError, match="cannot read .*No such file"):
        input_sha256(tmp_path / "mr.nii.gz")
