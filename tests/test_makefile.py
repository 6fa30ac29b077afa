"""`make` fails with one clear line where something is missing, and does nothing twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def run_make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # a `make test` that runs this test hands its own variables down
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_help_is_the_default_and_names_the_two_commands():
    said = run_make().stdout
    assert "make demo" in said
    assert "make test" in said


@pytest.mark.parametrize("target", ["demo", "test", "install"])
def test_no_python_is_said_in_one_line(tmp_path: Path, target: str):
    done = run_make(target, "PYTHON=no-such-python", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "error: there is no no-such-python; apt-get install python3 python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_old_python_is_said_in_one_line(tmp_path: Path):
    old = script(tmp_path / "python3.9", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    done = run_make("install", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "is Python 3.9.2; mr2ct needs 3.11 or newer" in done.stderr


def test_a_python_without_venv_names_the_package(tmp_path: Path):
    bare = script(tmp_path / "python3", 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    done = run_make("install", f"PYTHON={bare}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "has no venv module; apt-get install python3-venv" in done.stderr


def test_a_broken_environment_is_not_overwritten(tmp_path: Path):
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to("nowhere")
    done = run_make("install", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "holds no working Python of 3.11 or newer" in done.stderr


def test_what_is_installed_is_not_installed_again(tmp_path: Path):
    venv = tmp_path / "venv"
    script(venv / "bin" / "python", f'exec {sys.executable} "$@"')
    (venv / ".mr2ct-installed-dev").touch()
    done = run_make("install", "install-dev", f"VENV={venv}")
    assert done.returncode == 0, done.stderr
    assert "pip" not in done.stdout


def test_the_demo_runs_with_and_without_the_user_s_mr(tmp_path: Path):
    venv = tmp_path / "venv"
    script(venv / "bin" / "python", f'exec {sys.executable} "$@"')
    script(venv / "bin" / "mr2ct", 'echo "ran: $# $*"')
    (venv / ".mr2ct-installed").touch()
    assert "ran: 3 demo -o demo" in run_make("demo", f"VENV={venv}").stdout
    assert "ran: 4 demo my head.nii.gz -o demo" in run_make("demo", f"VENV={venv}", "MRI=my head.nii.gz").stdout
