"""Written completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from mr2ct.errors import DiskSpaceError, InputError
from mr2ct.io.atomic import (
    TEMPORARY_PREFIX,
    atomic_file,
    atomic_folder,
    remove_unfinished,
    require_disk_space,
    require_writable,
)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_parents(tmp_path: Path):
    path = tmp_path / "a" / "b" / "mr.nii.gz"
    with atomic_file(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith("mr.nii.gz")
        assert temporary.name.startswith(".")
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert listing(path.parent) == ["mr.nii.gz"]


def test_a_failed_file_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="in the middle"), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("in the middle")
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["note.txt"]


def test_what_killed_writers_of_a_file_left_goes_and_nothing_else(tmp_path: Path):
    others = [f"{TEMPORARY_PREFIX}1-other.txt", "1-note.txt", "note.txt"]
    for name in (*others, f"{TEMPORARY_PREFIX}1-note.txt", f"{TEMPORARY_PREFIX}2-note.txt"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "note.txt")
    assert listing(tmp_path) == sorted(others)


def test_a_full_disk_is_a_disk_space_error(tmp_path: Path):
    with (
        pytest.raises(DiskSpaceError, match=r"no room left on disk for .*note\.txt"),
        atomic_file(tmp_path / "note.txt"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert listing(tmp_path) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"), atomic_file(tmp_path / "out" / "mr.nii"):
        pytest.fail("must not come here")
    with pytest.raises(InputError, match="cannot write"), atomic_file(tmp_path) as temporary:
        temporary.write_text("a file cannot replace a folder")


def test_where_nothing_can_be_written_is_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    require_writable(tmp_path / "new" / "folder")
    assert listing(tmp_path) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write to .*out; got .*file is a file"):
        require_writable(tmp_path / "file" / "out")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="no permission"):
        require_writable(tmp_path)


def test_a_folder_appears_whole(tmp_path: Path):
    with atomic_folder(tmp_path / "cases" / "1") as temporary:
        (temporary / "mr.npy").write_text("whole")
        assert not (tmp_path / "cases" / "1").exists()
    assert listing(tmp_path / "cases") == ["1"]
    assert listing(tmp_path / "cases" / "1") == ["mr.npy"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyError), atomic_folder(tmp_path / "case") as temporary:
        (temporary / "mr.npy").write_text("half")
        raise KeyError
    assert listing(tmp_path) == []


def test_a_folder_of_the_user_is_not_replaced_unless_asked(tmp_path: Path):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="exists already"), atomic_folder(tmp_path / "case"):
        pytest.fail("must not come here")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "case", replace=True):
        raise KeyError
    assert listing(tmp_path / "case") == ["thesis.tex"]
    with atomic_folder(tmp_path / "case", replace=True) as temporary:
        (temporary / "new").write_text("")
    assert listing(tmp_path / "case") == ["new"]
    assert listing(tmp_path) == ["case"]


def test_an_empty_folder_and_a_file_may_give_way(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name, replace in (("empty", False), ("file", True)):
        with atomic_folder(tmp_path / name, replace=replace) as temporary:
            (temporary / "new").write_text("")
        assert listing(tmp_path / name) == ["new"]
    assert listing(tmp_path) == ["empty", "file"]


def test_the_working_folder_is_filled_and_not_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    before = (tmp_path / "out").stat().st_ino
    with pytest.raises(KeyError), atomic_folder(".") as temporary:
        (temporary / "half").write_text("")
        raise KeyError
    assert listing(tmp_path / "out") == []
    (tmp_path / "out" / f"{TEMPORARY_PREFIX}of-a-killed-run").mkdir()
    with atomic_folder(".") as temporary:
        (temporary / "parts").mkdir()
        (temporary / "new").write_text("")
        assert not (tmp_path / "out" / "new").exists()
    assert listing(tmp_path / "out") == [f"{TEMPORARY_PREFIX}of-a-killed-run", "new", "parts"]
    assert (tmp_path / "out").stat().st_ino == before
    assert listing(tmp_path) == ["out"]


def test_disk_space_is_asked_of_the_nearest_folder_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    usage = namedtuple("usage", "total used free")

    def disk_usage(path: Path) -> usage:
        asked.append(Path(path))
        return usage(10_000_000, 9_000_000, 1_000_000)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    require_disk_space(tmp_path / "not" / "yet", 1_000_000)
    assert asked == [tmp_path]
    with pytest.raises(DiskSpaceError, match=r"got 1\.0 MB free; expected 1\.1 MB; free some space"):
        require_disk_space(tmp_path, 1_100_000)
