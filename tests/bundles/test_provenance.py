"""Commands and code are recorded as they are; where there is no repository, the checksum of the sources remains."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mr2ct.bundles.provenance import (
    COMMANDS_FILE,
    Step,
    commit_of,
    read_steps,
    record_step,
    sources_sha256,
    this_step,
    with_short_paths,
)
from mr2ct.errors import BundleError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one tracked folder, `package`, at one commit."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "code.py").write_text("1\n")
    me = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for words in (["init", "-q"], ["add", "."], [*me, "commit", "-q", "-m", "first"]):
        try:
            subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("git is not installed")
    return tmp_path


def test_a_commit_is_named_and_changes_are_told(repository: Path):
    commit, clean = commit_of(repository / "package")
    assert len(commit) == 40
    assert clean is True
    (repository / "package" / "more.py").write_text("2\n")
    assert commit_of(repository / "package") == (commit, False)


def test_what_no_repository_tracks_has_no_commit(repository: Path, monkeypatch):
    (repository / "environment").mkdir()
    assert commit_of(repository / "environment") == ("", None)
    monkeypatch.setenv("PATH", "")
    assert commit_of(repository / "package") == ("", None)


def test_the_checksum_covers_names_and_contents(tmp_path: Path):
    seen = set()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "2")):
        folder = tmp_path / str(len(seen))
        folder.mkdir()
        (folder / name).write_text(text)
        (folder / "notes.txt").write_text("not code")
        seen.add(sources_sha256(folder))
    assert len(seen) == 3


def test_steps_of_a_run_are_kept_in_order(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/env/bin/mr2ct", "train", "a b.yaml"])
    first, second = this_step("CPU"), Step(command="mr2ct train --resume")
    record_step(tmp_path, first)
    record_step(tmp_path, second)
    assert read_steps(tmp_path) == (first, second)
    assert first.command == "mr2ct train 'a b.yaml'"
    assert first.device == "CPU"
    assert len(first.day) == 10


def test_a_spoilt_record_is_an_error(tmp_path: Path):
    (tmp_path / COMMANDS_FILE).write_text('{"command": 1}\n')
    with pytest.raises(BundleError, match=COMMANDS_FILE):
        read_steps(tmp_path)


def test_folders_of_a_machine_are_left_out():
    words = "train.py recipes/a.yaml data.split=/data/x/split.json --data /data/slices -o out"
    assert with_short_paths(words) == "train.py recipes/a.yaml data.split=split.json --data slices -o out"
