"""Levels that hold by true tissue, on voxels whose truth is drawn from known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.errors import DataSetError
from mr2ct.trust.hu_distribution import EDGES_HU, N_BINS, TISSUE_OF_BIN, TISSUES, bin_of
from mr2ct.trust.levels import CalibrationVoxels, Levels, find_levels

INTERVAL = 0.9


def voxels(n=6000, *, patients=12, seed=0, luck_of_training=1.0):
    """Voxels of several kinds (brain, edge of bone, sinus), each with its own distribution of HU."""
    rng = np.random.default_rng(seed)
    kinds = np.stack([_kind((40, 20, 0.997), (600, 200, 0.003)), _kind((40, 60, 0.5), (800, 300, 0.5)),
                      _kind((-900, 80, 0.6), (0, 100, 0.4))])  # fmt: skip
    centres = np.array([40.0, 350.0, -500.0])
    kind = rng.choice(3, n, p=[0.7, 0.15, 0.15])
    bins = np.array([rng.choice(N_BINS, p=kinds[k]) for k in kind])
    ct = EDGES_HU[bins] + rng.random(n) * (EDGES_HU[bins + 1] - EDGES_HU[bins])
    patient = rng.integers(0, patients, n)
    held_out = patient < patients // 2
    error = (ct - centres[kind]) * np.where(held_out, 1.0, luck_of_training)
    return CalibrationVoxels(
        kinds[kind].astype(np.float32),
        centres[kind].astype(np.float32),
        (centres[kind] + error).astype(np.float32),
        patient,
        held_out,
    )


def _kind(*parts):
    edges = EDGES_HU.astype(float)
    middles = (edges[:-1] + edges[1:]) / 2
    density = sum(share * np.exp(-0.5 * ((middles - mean) / sd) ** 2) / sd for mean, sd, share in parts)
    p = density * np.diff(edges)
    return p / p.sum()


def covered(levels, of):
    inside = np.abs(of.ct_hu - of.sct_hu) <= levels.half_widths_hu(of.probabilities, of.sct_hu)
    tissue = TISSUE_OF_BIN[bin_of(of.ct_hu)]
    return [inside[(tissue == t) & of.held_out].mean() for t in range(len(TISSUES))]


def test_each_true_tissue_is_covered_in_new_voxels():
    levels = find_levels(voxels(12_000), interval=INTERVAL)
    assert covered(levels, voxels(12_000, seed=5)) == pytest.approx([INTERVAL] * 3, abs=0.03)


def test_one_probability_for_all_would_not_do():
    plain = covered(Levels((1, 1, 1), (INTERVAL,) * 3), voxels(12_000))
    assert min(plain) < INTERVAL - 0.1


def test_better_errors_on_training_patients_do_not_mislead():
    found = find_levels(voxels(12_000, luck_of_training=0.6), interval=INTERVAL)
    assert min(covered(found, voxels(12_000, seed=5))) > INTERVAL - 0.05


def test_the_same_seed_gives_the_same_levels():
    assert find_levels(voxels(3000), seed=1) == find_levels(voxels(3000), seed=1)


def test_tissues_that_look_alike_are_an_error_and_not_a_false_promise():
    rng = np.random.default_rng(0)
    ct = rng.choice([-900.0, 40.0, 800.0], 3000).astype(np.float32)
    same = np.tile(_kind((-900, 40, 0.33), (40, 20, 0.34), (800, 40, 0.33)), (3000, 1)).astype(np.float32)
    alike = CalibrationVoxels(same, np.full(3000, 40, np.float32), ct, np.arange(3000) % 8, np.ones(3000, bool))
    with pytest.raises(DataSetError, match="no levels hold"):
        find_levels(alike)


def test_without_held_out_patients_there_is_nothing_to_find():
    of = voxels(500)
    with pytest.raises(DataSetError, match="no held-out patient"):
        find_levels(CalibrationVoxels(of.probabilities, of.sct_hu, of.ct_hu, of.patient, np.zeros(500, bool)))


def test_a_tissue_that_is_not_there_is_named():
    of = voxels(500)
    soft = np.full(500, 40, np.float32)
    with pytest.raises(DataSetError, match="no held-out voxel of air"):
        find_levels(CalibrationVoxels(of.probabilities, of.sct_hu, soft, of.patient, of.held_out))
