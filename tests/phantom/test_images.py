"""MR and CT of a head: one grid, seeded, and the numbers of their tissues."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mr2ct.phantom import CONTRASTS, TISSUES, HeadPhantom, Label, simulate_ct, simulate_mr
from mr2ct.volume import Quantity

HU_RANGES = {
    Label.OUTSIDE: (-1024, -980),
    Label.FAT: (-130, -70),
    Label.WHITE_MATTER: (20, 36),
    Label.GREY_MATTER: (30, 46),
    Label.CSF: (0, 18),
    Label.MUSCLE: (38, 72),
    Label.DIPLOE: (250, 1000),
    Label.CORTICAL_BONE: (1000, 1800),
    Label.TOOTH: (1500, 2800),
}


def deep_inside(head: HeadPhantom, label: Label) -> np.ndarray:
    """Voxels whose neighbours are all of the same tissue, or all its voxels where it is too thin for that."""
    own = head.labels == label
    core = ndimage.binary_erosion(own)
    return core if core.sum() > 5 else own


@pytest.fixture(scope="module")
def ct(head: HeadPhantom) -> np.ndarray:
    return simulate_ct(head, 3).voxels


def test_mr_and_ct_share_the_grid_of_the_head(head: HeadPhantom):
    mr, ct = simulate_mr(head, CONTRASTS["t1_mprage"], seed=1), simulate_ct(head, 1)
    assert mr.geometry == ct.geometry == head.geometry
    assert (mr.quantity, ct.quantity) == (Quantity.MR, Quantity.HU)
    assert (mr.voxels.dtype, ct.voxels.dtype) == (np.float32, np.int16)
    assert np.isfinite(mr.voxels).all()
    assert mr.voxels.min() >= 0


@pytest.mark.parametrize("label", HU_RANGES, ids=str)
def test_tissues_have_their_hu(head: HeadPhantom, ct: np.ndarray, label: Label):
    low, high = HU_RANGES[label]
    assert low <= ct[deep_inside(head, label)].mean() <= high


def test_hu_stay_within_what_a_file_holds(ct: np.ndarray):
    assert ct.min() >= -1024
    assert ct.max() <= 3071


def test_images_are_seeded(head: HeadPhantom):
    contrast = CONTRASTS["t1_spin_echo"]
    assert np.array_equal(simulate_ct(head, 2).voxels, simulate_ct(head, 2).voxels)
    assert not np.array_equal(simulate_ct(head, 2).voxels, simulate_ct(head, 3).voxels)
    one, again, other = (simulate_mr(head, contrast, seed=s).voxels for s in (2, 2, 3))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def median_mr(head: HeadPhantom, name: str, *labels: Label) -> list[float]:
    mr = simulate_mr(head, CONTRASTS[name], seed=1, noise=0.01, bias=0.0).voxels
    return [float(np.median(mr[deep_inside(head, label)])) for label in labels]


@pytest.mark.parametrize("name", ["t1_spin_echo", "t1_mprage", "t1_gradient_echo"])
def test_t1_images_show_fat_bright_and_fluid_dark(head: HeadPhantom, name: str):
    fat, white, deep_grey, csf = median_mr(head, name, Label.FAT, Label.WHITE_MATTER, Label.DEEP_GREY, Label.CSF)
    assert fat > white > deep_grey > csf


def test_t2_images_show_fluid_bright(head: HeadPhantom):
    white, deep_grey, csf = median_mr(head, "t2", Label.WHITE_MATTER, Label.DEEP_GREY, Label.CSF)
    assert csf > deep_grey > white


def test_bone_cannot_be_told_from_air_by_mr_alone(head: HeadPhantom):
    air, dense, white = median_mr(head, "t1_mprage", Label.AIR, Label.DENSE_BONE, Label.WHITE_MATTER)
    assert air < 0.4 * white
    assert dense < 0.4 * white


def test_a_contrast_agent_brightens_veins(head: HeadPhantom):
    (plain,), (agent,) = (median_mr(head, n, Label.VEIN) for n in ("t1_mprage", "t1_contrast_agent"))
    assert agent > 1.5 * plain


def test_noise_in_air_is_rayleigh(head: HeadPhantom):
    mr = simulate_mr(head, CONTRASTS["t1_mprage"], seed=1, noise=0.05, bias=0.0).voxels
    air = mr[ndimage.binary_erosion(head.labels == Label.OUTSIDE, iterations=3)]
    # mean over standard deviation of a Rayleigh distribution: sqrt(pi / (4 - pi))
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.03)


def test_without_noise_air_is_zero(head: HeadPhantom):
    mr = simulate_mr(head, CONTRASTS["t2"], seed=1, noise=0.0, bias=0.0).voxels
    assert mr[ndimage.binary_erosion(head.labels == Label.OUTSIDE, iterations=2)].max() < 1e-6


def test_the_bias_field_is_smooth_and_leaves_the_mean_alone(head: HeadPhantom):
    flat = simulate_mr(head, CONTRASTS["pd"], seed=4, noise=0.0, bias=0.0).voxels
    biased = simulate_mr(head, CONTRASTS["pd"], seed=4, noise=0.0, bias=0.3).voxels
    inside = flat > 0.2 * flat.max()
    ratio = biased[inside] / flat[inside]
    assert 0.3 < ratio.min() < 1 < ratio.max() < 3


def test_the_table_covers_every_label():
    assert set(TISSUES) == set(Label)
    for tissue in TISSUES.values():
        for at in (tissue.at_1_5_tesla, tissue.at_3_tesla):
            assert at.t1_ms >= at.t2_ms >= at.t2_star_ms > 0
            assert 0 <= at.proton_density <= 1
