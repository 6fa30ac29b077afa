"""Parcels: the same files come out, parts stay small, and what is missing or changed is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mr2ct.errors import RecipeError
from mr2ct.training.parcel import parts_of, read_parcel, write_parcel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, one of them of an odd length and one in a folder."""
    root = tmp_path / "run"
    (root / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    (root / "last.pt").write_bytes(rng.normal(size=3000).astype(np.float32).tobytes() + b"odd")
    (root / "deeper" / "metrics.csv").write_text("step,loss\n1,2\n")
    (root / "empty").touch()
    return root


def files_in(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("part_bytes", [700, 4096, 10**6])
def test_the_same_files_come_out(folder, tmp_path, part_bytes):
    packed = [path for path in folder.rglob("*") if path.is_file()]
    parts = write_parcel(packed, folder, tmp_path / "state", part_bytes=part_bytes)
    assert all(part.stat().st_size < part_bytes + 200 for part in parts)
    names = read_parcel(tmp_path / "state", tmp_path / "back")
    assert sorted(names) == sorted(files_in(folder))
    assert files_in(tmp_path / "back") == files_in(folder)


def test_weights_shrink(folder, tmp_path):
    parts = write_parcel([folder / "last.pt"], folder, tmp_path / "state")
    assert sum(part.stat().st_size for part in parts) < 0.95 * (folder / "last.pt").stat().st_size


def test_a_new_parcel_takes_the_place_of_the_old(folder, tmp_path):
    old = write_parcel([folder / "last.pt"], folder, tmp_path / "state", part_bytes=2000)
    beside = tmp_path / "state.txt"
    beside.touch()
    new = write_parcel([folder / "last.pt"], folder, tmp_path / "state", part_bytes=5000)
    assert 1 < len(new) < len(old)
    assert parts_of(tmp_path / "state") == new
    assert beside.exists()


def test_a_name_that_begins_alike_is_another_parcel(folder, tmp_path):
    (other,) = write_parcel([folder / "last.pt"], folder, tmp_path / "state.v2")
    (own,) = write_parcel([folder / "last.pt"], folder, tmp_path / "state")
    assert parts_of(tmp_path / "state") == [own]
    assert parts_of(tmp_path / "state.v2") == [other]
    assert other.exists()


@pytest.mark.parametrize("harm", ["missing", "changed", "foreign", "another"])
def test_damage_is_found(folder, tmp_path, harm):
    parts = write_parcel([folder / "last.pt"], folder, tmp_path / "state", part_bytes=2000)
    if harm == "missing":
        parts[1].unlink()
    elif harm == "changed":
        content = bytearray(parts[1].read_bytes())
        content[-1] ^= 1
        parts[1].write_bytes(content)
    elif harm == "foreign":
        parts[1].write_text("not a part")
    else:
        (folder / "last.pt").write_bytes(b"other" * 3000)
        others = write_parcel([folder / "last.pt"], folder, tmp_path / "other", part_bytes=2000)
        others[0].replace(tmp_path / "state.1of2")
    with pytest.raises(RecipeError, match="parcel"):
        read_parcel(tmp_path / "state", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match="no part"):
        read_parcel(tmp_path / "state", tmp_path / "back")
