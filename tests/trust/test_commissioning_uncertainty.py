"""Coverage of an interval, against a plain loop over voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mr2ct.trust.commissioning_uncertainty import coverage_figures

hu = arrays(np.int16, (4, 3, 2), elements=st.integers(-1024, 3000))


def tissue_of(value):
    return "air" if value < -250 else "bone" if value > 250 else "soft_tissue"


@given(hu, hu, arrays(np.int16, (4, 3, 2), elements=st.integers(0, 500)), arrays(bool, (4, 3, 2)))
def test_against_a_loop(sct, ct, half_width, inside):
    found = coverage_figures(sct, half_width, ct, inside, promised=0.9)
    held: dict[str, list[bool]] = {}
    for voxel in np.ndindex(ct.shape):
        if inside[voxel]:
            holds = abs(int(sct[voxel]) - int(ct[voxel])) <= half_width[voxel]
            held.setdefault("", []).append(holds)
            held.setdefault(f"{tissue_of(ct[voxel])}_", []).append(holds)
    assert found.keys() == {f"coverage_{off}{name}percent" for name in held for off in ("", "off_")}
    for name, holds in held.items():
        assert found[f"coverage_{name}percent"] == pytest.approx(100 * np.mean(holds))
        assert found[f"coverage_off_{name}percent"] == pytest.approx(100 * np.mean(holds) - 90)


def test_an_endless_interval_holds_everything():
    shape = (3, 3, 3)
    found = coverage_figures(
        np.zeros(shape), np.full(shape, np.inf), np.full(shape, 900), np.ones(shape, bool), promised=1
    )
    assert set(found.values()) == {100.0, 0.0}
