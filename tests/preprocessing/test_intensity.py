from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.core_scaling import CoreScaling, core_level
from mr2ct.preprocessing.intensity import PercentileScaling, ZScore, rescaled
from mr2ct.preprocessing.nyul import Nyul
from mr2ct.preprocessing.step import Images
from mr2ct.volume import Quantity, Volume

STANDARD = Nyul((0.0, 0.2, 0.5, 0.8, 1.0), (1.0, 25.0, 50.0, 75.0, 99.0))
SCALINGS = [PercentileScaling(), ZScore(), CoreScaling(), STANDARD]
GRID = Geometry((16, 14, 12), np.diag([1.0, 1.2, 2.0, 1.0]))


def _case(seed: int = 0, *, scale: float = 1.0, offset: float = 0.0) -> Images:
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID.shape), indexing="ij")
    inside = i**2 + j**2 + k**2 < 0.8
    voxels = (
        np.where(inside, 60 + 30 * rng.random(GRID.shape) + 80 * (i > 0.4), rng.random(GRID.shape)) * scale + offset
    )
    mask = Volume(inside.astype(np.uint8), GRID, Quantity.MASK)
    return Images(Volume(voxels.astype(np.float32), GRID, Quantity.MR), None, mask)


@pytest.mark.parametrize("step", SCALINGS, ids=lambda step: step.name)
@given(scale=st.floats(0.01, 1e4), offset=st.floats(-5, 5), seed=st.integers(0, 20))
def test_scale_and_offset_of_the_scanner_do_not_matter(step, scale, offset, seed):
    plain, _ = step.apply(_case(seed))
    other, _ = step.apply(_case(seed, scale=scale, offset=offset * scale))
    np.testing.assert_allclose(other.mr.voxels, plain.mr.voxels, atol=5e-3)


@pytest.mark.parametrize("step", SCALINGS, ids=lambda step: step.name)
def test_what_is_outside_the_mask_does_not_change_what_is_inside(step):
    images = _case()
    bright = images.mr.voxels.copy()
    # a bright coil marker outside the body
    bright[0, 0, :3] = 5000
    marked = Images(images.mr.with_voxels(bright), None, images.mask)
    inside = images.mask.voxels > 0
    np.testing.assert_allclose(
        step.apply(marked)[0].mr.voxels[inside], step.apply(images)[0].mr.voxels[inside], atol=1e-2
    )


@pytest.mark.parametrize("step", SCALINGS, ids=lambda step: step.name)
def test_nan_and_infinity_stay_out_of_the_result_and_of_the_fit(step):
    images = _case()
    voxels = images.mr.voxels.copy()
    voxels[0, 0, 0], voxels[8, 7, 6], voxels[8, 7, 5] = np.nan, np.nan, np.inf
    scaled, fitted = step.apply(Images(images.mr.with_voxels(voxels), None, images.mask))
    assert np.isfinite(scaled.mr.voxels).all()
    assert scaled.mr.voxels.dtype == np.float32
    plain, expected = step.apply(images)
    for name, value in expected.items():
        np.testing.assert_allclose(fitted[name], value, rtol=0.02, atol=0.05)
    good = np.isfinite(voxels)
    np.testing.assert_allclose(scaled.mr.voxels[good], plain.mr.voxels[good], atol=0.05)


@pytest.mark.parametrize("step", SCALINGS, ids=lambda step: step.name)
def test_an_image_without_contrast_and_an_empty_mask_are_refused(step):
    images = _case()
    flat = images.mr.with_voxels(np.full(GRID.shape, 7.0))
    with pytest.raises(InputError, match="no contrast"):
        step.apply(Images(flat, None, images.mask))
    empty = images.mask.with_voxels(np.zeros(GRID.shape, dtype=np.uint8))
    with pytest.raises(InputError, match="no voxels to normalise by"):
        step.apply(Images(images.mr, None, empty))


@pytest.mark.parametrize("step", SCALINGS, ids=lambda step: step.name)
def test_a_case_without_mr_passes(step):
    ct = Volume(np.zeros(GRID.shape, dtype=np.int16), GRID, Quantity.HU)
    images = Images(None, ct, _case().mask)
    assert step.apply(images) == (images, {})


def test_int16_scans_are_scaled_in_float():
    images = _case()
    whole = images.mr.with_voxels(np.rint(images.mr.voxels).astype(np.int16))
    scaled, _ = CoreScaling().apply(Images(whole, None, images.mask))
    assert scaled.mr.voxels.dtype == np.float32
    np.testing.assert_allclose(scaled.mr.voxels, CoreScaling().apply(images)[0].mr.voxels, atol=0.01)


@given(st.floats(-100, 100), st.floats(0.1, 1000), st.floats(0.1, 2))
def test_rescaling_meets_its_two_points(low, reach, becomes):
    mr = Volume(
        np.array([low, low + reach, low - 1, low + 9 * reach]).reshape(4, 1, 1),
        Geometry((4, 1, 1), np.eye(4)),
        Quantity.MR,
    )
    ours = rescaled(mr, low=low, high=low + reach, high_becomes=becomes, highest=2.0).voxels.ravel()
    np.testing.assert_allclose(ours, [0, min(becomes, 2), 0, min(9 * becomes, 2)], atol=1e-3)


def test_percentiles_are_numpys():
    images = _case()
    scaled, fitted = PercentileScaling(lower_percentile=2, upper_percentile=90).apply(images)
    inside = images.mr.voxels[images.mask.voxels > 0]
    assert fitted["low"] == pytest.approx(np.percentile(images.mr.voxels, 2))
    assert fitted["high"] == pytest.approx(np.percentile(inside, 90))
    assert np.percentile(scaled.mr.voxels[images.mask.voxels > 0], 90) == pytest.approx(1, abs=1e-3)


def test_z_score_has_mean_zero_and_deviation_one_inside():
    images = _case()
    scaled, fitted = ZScore(limit=50).apply(images)
    inside = scaled.mr.voxels[images.mask.voxels > 0]
    assert inside.mean() == pytest.approx(0, abs=1e-4)
    assert inside.std() == pytest.approx(1, abs=1e-4)
    assert fitted["mean"] == pytest.approx(float(images.mr.voxels[images.mask.voxels > 0].mean()), rel=1e-5)
    assert ZScore(limit=1).apply(images)[0].mr.voxels.max() == 1


def test_the_core_is_deep_tissue_not_scalp_nor_sinus():
    i, j, k = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (60, 60, 60)), indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2)
    voxels = np.select([(radius < 4), radius < 18, radius < 21, radius < 28], [2, 100, 5, 300], default=0)
    grid = Geometry(voxels.shape, np.eye(4))
    mr, mask = Volume(voxels, grid, Quantity.MR), Volume(radius < 28, grid, Quantity.MASK)
    assert core_level(mr, mask) == 100
    scaled, fitted = CoreScaling().apply(Images(mr, None, mask))
    assert fitted == {"low": 0.0, "core": 100.0}
    assert scaled.mr.voxels[40, 30, 30] == pytest.approx(0.5)
    assert scaled.mr.voxels.max() == pytest.approx(1.5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_core_of_a_single_slice_is_that_of_the_plane(axis):
    i, j = np.meshgrid(*(np.arange(40) - 19.5,) * 2, indexing="ij")
    radius = np.hypot(i, j)
    voxels = np.expand_dims(np.select([radius < 12, radius < 18], [100.0, 300.0], default=0.0), axis)
    grid = Geometry(voxels.shape, np.eye(4))
    mask = Volume(np.expand_dims(radius < 18, axis), grid, Quantity.MASK)
    assert core_level(Volume(voxels, grid, Quantity.MR), mask) == 100


@pytest.mark.parametrize(
    ("by_mask", "by_outline"),
    [
        (PercentileScaling(upper_percentile=50), PercentileScaling(upper_percentile=50, within="outline")),
        (ZScore(), ZScore(within="outline")),
        (STANDARD, replace(STANDARD, within="outline")),
    ],
    ids=lambda step: f"{step.name}-{step.within}",
)
def test_air_in_a_mask_counts_only_where_the_mask_is_asked_for(by_mask, by_outline):
    images = _case()
    generous = Images(images.mr, None, images.mask.with_voxels(np.ones(GRID.shape, dtype=np.uint8)))
    outline = Images(images.mr, None, body_mask(images.mr))
    np.testing.assert_array_equal(by_outline.apply(generous)[0].mr.voxels, by_mask.apply(outline)[0].mr.voxels)
    assert np.abs(by_mask.apply(generous)[0].mr.voxels - by_mask.apply(outline)[0].mr.voxels).max() > 0.1
    with pytest.raises(InputError, match="got 'head'; expected mask or outline"):
        replace(by_mask, within="head").apply(images)


def test_core_scaling_asks_for_a_mask():
    with pytest.raises(InputError, match=r"needs a body mask.*body_mask step"):
        CoreScaling().apply(Images(_case().mr))


def test_a_given_mask_is_not_asked_for_again_where_no_outline_is_found():
    mr = Volume(np.ones(GRID.shape), GRID, Quantity.MR)
    masked = Images(mr, None, mr.with_voxels(np.ones(GRID.shape), quantity=Quantity.MASK))
    with pytest.raises(InputError, match="core scaling without N4 measures in the given mask") as refused:
        ZScore(within="outline").apply(masked)
    assert "give a mask" not in str(refused.value)
    with pytest.raises(InputError, match="give a mask"):
        ZScore(within="outline").apply(Images(mr, None, None))
