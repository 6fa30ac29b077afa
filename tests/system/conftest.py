"""The files of scripts/ as modules, for tests that run them without a process of their own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Called with a file's name without its ending."""

    def loaded(name: str) -> ModuleType:
        specification = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(specification)
        # dataclasses look their module up there
        sys.modules[name] = module
        specification.loader.exec_module(module)
        return module

    return loaded
