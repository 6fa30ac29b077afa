"""The habits of CONTRIBUTING.md that can be counted: sizes, names, docstrings, no assert in the package."""

from __future__ import annotations

import ast
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mr2ct

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "mr2ct"
MODULES = sorted(SOURCE.rglob("*.py"))

LINES_A_FILE, LINES_A_FUNCTION, MEGABYTES_A_FILE = 400, 40, 15
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(module: Path) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, Function))


def lines_of_code(function: Function) -> int:
    """Lines from the signature to the end, its docstring left out."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    return function.end_lineno - function.lineno + 1 - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)


def test_no_file_is_longer_than_one_sitting():
    lengths = {str(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {name: length for name, length in lengths.items() if length > LINES_A_FILE} == {}


def test_no_function_is_longer_than_a_screen():
    lengths = {f"{m.name}:{f.name}": lines_of_code(f) for m in MODULES for f in functions(m)}
    assert {name: length for name, length in lengths.items() if length > LINES_A_FUNCTION} == {}


def test_every_file_is_named_after_its_concept():
    assert [str(module) for module in MODULES if module.stem.strip("_") in NAMELESS] == []


def test_every_module_says_why_it_exists():
    assert [
        str(module) for module in MODULES if not ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    ] == []


def test_every_public_function_and_class_has_a_docstring():
    bare = [
        f"{module.name}:{node.name}"
        for module in MODULES
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert bare == []


def test_bad_input_raises_and_never_asserts():
    asserting = [
        m.name
        for m in MODULES
        for node in ast.walk(ast.parse(m.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert asserting == []


def test_the_version_is_stated_once_and_the_same():
    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == mr2ct.__version__
    )


def test_no_committed_file_is_large():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git work tree")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert [str(file) for file in files if file.stat().st_size > MEGABYTES_A_FILE * 1_000_000] == []
