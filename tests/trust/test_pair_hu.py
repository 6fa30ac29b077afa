"""Whether numbers are HU: offsets, scales, cut ranges and metal, planted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mr2ct.trust.pair_hu import hu_extremes, hu_levels
from mr2ct.trust.pair_images import pair_images

from .pair_heads import arrays, volumes


@pytest.mark.parametrize(
    ("change", "verdict", "offset"),
    [
        (lambda ct: ct, "ok", 0),
        (lambda ct: ct + 1024, "offset", 1024),
        (lambda ct: ct + 1000, "offset", 1024),
        (lambda ct: ct - 400, "offset", -400),
        (lambda ct: np.clip((ct + 1024) / 16, 0, 255), "scale", 0),
        (lambda ct: (ct + 1024) / 4095, "scale", 0),
        (lambda ct: np.maximum(ct, -500), "air", 0),
        (lambda ct: np.where(ct < -900, -3024, ct), "ok", 0),
    ],
    ids=["HU", "+1024", "+1000", "-400", "8 bits", "0 to 1", "from -500", "padding"],
)
def test_levels_tell_what_was_done_to_the_numbers(change, verdict, offset):
    mr, ct = arrays()
    levels = pair_images(*volumes(mr, change(ct))).levels
    assert levels.verdict == verdict
    assert levels.offset_hu == pytest.approx(offset, abs=30)


def test_without_air_round_the_body_only_tissue_is_judged():
    body = np.ones((40, 40, 1), dtype=bool)
    levels = hu_levels(np.full(body.shape, 1064.0), body, spacing_mm=(1.0, 1.0, 1.0))
    assert np.isnan(levels.air)
    assert levels.verdict == "offset"


@given(st.floats(600, 2000))
def test_a_range_cut_in_bone_is_seen_and_a_whole_one_is_not(limit):
    bone = np.random.default_rng(0).normal(900, 350, 20_000)
    assert not hu_extremes(bone, voxel_mm3=1.0).clipped
    # values are counted to a HU: right at the threshold either answer is fine
    assume(abs((bone >= limit).sum() / (bone > 250).sum() - 0.004) > 0.0005)
    cut = hu_extremes(np.minimum(bone, limit), voxel_mm3=1.0)
    # where next to nothing lies above the limit, there is nothing to see
    assert cut.clipped == ((bone >= limit).sum() / (np.minimum(bone, limit) > 250).sum() >= 0.004)
    assert cut.highest_hu <= limit + 1e-3


def test_metal_is_a_volume_and_a_scanners_own_limit_is_no_clipping():
    ct = np.full((10, 10, 10), 40, dtype=np.int16)
    ct[:3, :3, :3] = 3071
    found = hu_extremes(ct, voxel_mm3=0.5)
    assert found.metal_mm3 == 13.5
    assert not found.clipped
    assert hu_extremes(ct + 1024, voxel_mm3=0.5, offset_hu=1024).metal_mm3 == 13.5
    assert hu_extremes(np.full(8, 40), voxel_mm3=1.0).metal_mm3 == 0


def test_voxels_that_are_no_numbers_are_counted():
    ct = np.array([0.0, np.nan, np.inf, 900, -np.inf], dtype=np.float32)
    found = hu_extremes(ct, voxel_mm3=1.0)
    assert (found.not_finite, found.highest_hu) == (3, 900)
