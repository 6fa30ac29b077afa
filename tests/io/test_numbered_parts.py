"""Parts are told by their whole name, and come in the order of their numbers."""

from __future__ import annotations

import pytest

from mr2ct.io.numbered_parts import numbered_parts, part_path


@pytest.mark.parametrize("stem", ["brain", "brain.v2", "brain[1]", "b*"])
@pytest.mark.parametrize("ending", ["", ".npz"])
def test_parts_are_those_of_exactly_this_name(tmp_path, stem, ending):
    own = [part_path(tmp_path / stem, number, 11, ending=ending) for number in range(1, 12)]
    others = [f"{stem}.v3.1of1{ending}", f"{stem}.1of1{ending}.old", f"{stem}s.1of1{ending}", f"{stem}.aof1{ending}"]
    for path in (*reversed(own), *(tmp_path / name for name in others)):
        path.touch()
    assert numbered_parts(tmp_path / stem, ending=ending) == [(11, n, path) for n, path in enumerate(own, start=1)]
