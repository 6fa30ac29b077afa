"""A coarse head that the tests of this room share; 3 mm is enough for all but the thinnest bone."""

from __future__ import annotations

import pytest

from mr2ct.phantom import HeadPhantom, head_phantom


@pytest.fixture(scope="session")
def head() -> HeadPhantom:
    """A head at 3 mm whose field of view reaches below the jaw."""
    return head_phantom(1, spacing_mm=3.0, shape=(66, 84, 88))
