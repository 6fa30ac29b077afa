"""`import mr2ct` and `mr2ct --help` load nothing heavy: that is why they start at once. No time is measured here."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import mr2ct
from mr2ct.cli.main import VERBS

HEAVY = ("torch", "numpy", "scipy", "SimpleITK", "matplotlib", "nibabel", "pydicom", "monai", "pydantic", "tensorboard")


def modules_after(code: str) -> set[str]:
    """Run `code` in a new interpreter and return the names of all modules it then holds."""
    program = f"{code}\nimport sys\nprint('modules:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.rsplit("modules:", 1)[1].split())


HELP = """
import sys
from mr2ct.cli.main import main
try:
    main([{arguments}])
except SystemExit as done:
    if done.code:
        raise
"""


def test_importing_mr2ct_loads_nothing_heavy():
    assert modules_after("import mr2ct") & set(HEAVY) == set()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_help_loads_nothing_heavy_and_no_verb(option: str):
    loaded = modules_after(HELP.format(arguments=repr(option)))
    assert loaded & {*HEAVY, *(verb.module for verb in VERBS.values())} == set()


@pytest.mark.parametrize("verb", list(VERBS))
def test_a_verb_s_help_does_not_load_torch(verb: str):
    assert "torch" not in modules_after(HELP.format(arguments=f"{verb!r}, '--help'"))


@pytest.mark.parametrize("name", [name for name in mr2ct.__all__ if name != "__version__"])
def test_every_public_name_can_be_had(name: str):
    assert getattr(mr2ct, name) is getattr(importlib.import_module(mr2ct._HOMES[name]), name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mr2ct.no_such_name


def test_python_dash_m_runs_the_command():
    done = subprocess.run([sys.executable, "-m", "mr2ct", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"mr2ct {mr2ct.__version__}"
