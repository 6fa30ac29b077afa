"""The parts of an MAE: each voxel in one tissue's part and one range's, and what they add up to."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from mr2ct.datasets.cases import find_synthrad
from mr2ct.volume import Quantity, Volume


@pytest.fixture
def where(benchmarks):
    return importlib.import_module("where_errors_lie")


def test_the_parts_of_each_kind_cover_every_voxel_once(where):
    rng = np.random.default_rng(1)
    sct, ct = rng.integers(-1024, 3072, (2, 5000)).astype(float)
    found = dict(where.parts(sct, ct, rng.random(5000) < 0.1))
    for kind in ("shown as", "CT of"):
        covered = sum(chosen.astype(int) for name, chosen in found.items() if kind in name and "no MR" not in name)
        assert (covered == 1).all()
    assert not (
        found["no MR: tissue, shown as air"] & ~found["bone, shown as air"] & ~found["soft tissue, shown as air"]
    ).any()


def test_a_model_that_answers_air_errs_by_all_tissue(where, phantom_set):
    class Air:
        def translate(self, mr):
            class Answer:
                sct = Volume(np.full(mr.voxels.shape, -1000, np.int16), mr.geometry, Quantity.HU)

            return Answer

    cases = find_synthrad(phantom_set.data)[:2]
    sums = where.measure(cases, Air())
    total = sums["all"]
    assert total.absolute == pytest.approx(sum(own.absolute for name, own in sums.items() if name.startswith("CT of")))
    assert sums["bone, shown as air"].signed < 0
    assert sums["bone, shown as bone"].voxels == 0
    lines = where.table(sums)
    assert len(lines) == 2 + len(sums)
    assert lines[2].startswith("| all | 100.0 |")
