"""A checkpoint is whole or not there, survives a SIGKILL at any moment, and executes nothing when read."""

from __future__ import annotations

import errno
import io
import os
import pickle
import signal
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mr2ct.errors import DiskSpaceError, RecipeError
from mr2ct.io.atomic import TEMPORARY_PREFIX
from mr2ct.training.checkpoint import read_checkpoint, write_checkpoint


def test_what_was_written_is_read(tmp_path):
    state = {
        "weights": torch.arange(5.0),
        "step": 3,
        "name": "a",
        "nested": {"list": [1, torch.zeros(2)], "no": None},
    }
    write_checkpoint(tmp_path / "last.pt", state)
    read = read_checkpoint(tmp_path / "last.pt")
    assert torch.equal(read["weights"], state["weights"])
    assert torch.equal(read["nested"]["list"][1], torch.zeros(2))
    assert (read["step"], read["name"], read["nested"]["no"]) == (3, "a", None)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_memory_layouts_survive(tmp_path):
    weights = torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last)
    write_checkpoint(tmp_path / "last.pt", {"weights": weights})
    assert read_checkpoint(tmp_path / "last.pt")["weights"].stride() == weights.stride()


def test_a_new_one_replaces_the_old(tmp_path):
    for step in (1, 2):
        write_checkpoint(tmp_path / "last.pt", {"step": step})
    assert read_checkpoint(tmp_path / "last.pt") == {"step": 2}


class FileOnAFullDisk(io.FileIO):
    """Takes so many bytes and no more."""

    room = 1000

    def write(self, content):
        if self.tell() + len(content) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


# torch's writer meets a full disk at once, or half way and then again as it ends its archive, over which it fails
@pytest.mark.parametrize("room", [0, 1000])
def test_a_full_disk_is_said_and_leaves_the_old_one_alone(tmp_path, monkeypatch, room):
    path = tmp_path / "last.pt"
    write_checkpoint(path, {"step": 1})
    monkeypatch.setattr(FileOnAFullDisk, "room", room)
    monkeypatch.setattr(Path, "open", lambda path, _: FileOnAFullDisk(path, "wb"))
    with pytest.raises(DiskSpaceError, match=r"no room left on disk for .*last\.pt; free some space"):
        write_checkpoint(path, {"step": 2, "weights": torch.zeros(10_000)})
    monkeypatch.undo()
    assert [left.name for left in tmp_path.iterdir()] == ["last.pt"]
    assert read_checkpoint(path) == {"step": 1}


def test_an_error_of_another_kind_stays_what_it_is(tmp_path, monkeypatch):
    def fails(content, file):
        raise RuntimeError("not of the disk")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RuntimeError, match="not of the disk"):
        write_checkpoint(tmp_path / "last.pt", {"step": 2})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_process_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "last.pt"

    def partials() -> list[Path]:
        return list(tmp_path.glob(f"{TEMPORARY_PREFIX}*-last.pt"))

    # big enough that most moments fall into a write
    weights = torch.zeros(1_500_000)
    write_checkpoint(path, {"step": 0, "weights": weights})
    cut_short, steps = 0, []
    for round_ in range(12):
        for partial in partials():
            partial.unlink()
        child = os.fork()
        if child == 0:
            for step in range(1, 1_000_000):
                write_checkpoint(path, {"step": step, "weights": weights + step})
            os._exit(0)
        begun_by = time.monotonic() + 60
        while not partials() and time.monotonic() < begun_by:
            time.sleep(0.0005)
        # moments spread over a few writes, whatever the machine's speed
        time.sleep(0.002 * round_)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        cut_short += len(partials())
        state = read_checkpoint(path)
        assert (state["weights"] == state["step"]).all()
        steps.append(state["step"])
    assert cut_short, "no kill fell into a write"
    write_checkpoint(path, {"step": -1})
    assert [left.name for left in tmp_path.iterdir()] == ["last.pt"]


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["pickle", "torch", "old torch"])
def test_a_malicious_checkpoint_is_refused_and_nothing_runs(tmp_path, how):
    trap, path = tmp_path / "executed", tmp_path / "last.pt"
    content = {"format_version": 1, "state": _Malicious(trap)}
    if "torch" in how:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(RecipeError, match="is damaged"):
        read_checkpoint(path)
    assert not trap.exists()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"nothing to resume; got no file .*last.pt; start the run without --resume"):
        read_checkpoint(tmp_path / "last.pt")


def test_a_folder_in_its_place_is_named(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [[1], {"state": {}}, {"format_version": 2, "state": {}}, {"format_version": 1}])
def test_another_file_of_torch_is_not_a_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(RecipeError, match="not a checkpoint of this version of mr2ct; expected format 1"):
        read_checkpoint(tmp_path / "last.pt")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "last.pt"
    write_checkpoint(path, {"weights": torch.arange(64.0), "step": 7, "names": ["a", "b"]})
    return path.read_bytes()


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_checkpoint_is_read_whole_or_refused_in_words(tmp_path, whole, data):
    damaged = bytearray(whole)
    if data.draw(st.booleans(), label="cut short"):
        damaged = damaged[: data.draw(st.integers(0, len(whole) - 1), label="length")]
    else:
        place = data.draw(st.integers(0, len(whole) - 1), label="place")
        damaged[place] ^= data.draw(st.integers(1, 255), label="bits")
    path = tmp_path / "damaged.pt"
    path.write_bytes(damaged)
    try:
        state = read_checkpoint(path)
    except RecipeError:
        return
    assert torch.equal(state["weights"], torch.arange(64.0))
    assert state["step"] == 7
