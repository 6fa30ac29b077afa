from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.bias_field import BiasFieldCorrection, n4
from mr2ct.preprocessing.step import Images
from mr2ct.volume import Quantity, Volume


def _biased(shape: tuple[int, int, int]) -> tuple[Volume, Volume, np.ndarray]:
    """Patches of three tissues under a bias field of a factor 2; MR, mask, and the true image."""
    rng = np.random.default_rng(0)
    grid = Geometry(shape, np.diag([2.0, 2.0, 3.0, 1.0]))
    axes = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.81
    texture = ndimage.gaussian_filter(rng.normal(size=shape), [2 if n > 1 else 0 for n in shape])
    truth = np.choose(np.digitize(texture / texture.std(), [-0.6, 0.6]), [60.0, 100.0, 160.0]) * inside
    truth += rng.normal(0, 2, shape) * inside
    thick = [axis for axis, n in zip(axes, shape, strict=True) if n > 1]
    field = np.exp(0.35 * thick[0] - 0.2 * thick[1] ** 2)
    return Volume((truth * field).astype(np.float32), grid, Quantity.MR), Volume(inside, grid, Quantity.MASK), truth


def _unevenness(voxels: np.ndarray, truth: np.ndarray) -> float:
    tissue = (truth > 90) & (truth < 110)
    return float(voxels[tissue].std() / voxels[tissue].mean())


@pytest.mark.parametrize("shape", [(48, 48, 20), (64, 64, 1), (1, 64, 60), (64, 1, 60)], ids=str)
def test_a_smooth_field_is_taken_out_in_volumes_and_slices(shape):
    mr, mask, truth = _biased(shape)
    corrected, fitted = n4(mr, mask)
    assert corrected.geometry == mr.geometry
    assert corrected.voxels.dtype == np.float32
    assert _unevenness(corrected.voxels, truth) < 0.35 * _unevenness(mr.voxels, truth)
    assert fitted["weakest"] < 1.05 < fitted["strongest"] * 1.05
    assert len(fitted["shrink_factors"]) == sum(n > 1 for n in shape)
    assert corrected.voxels[truth == 0].max() == 0


def test_beyond_the_mask_the_field_keeps_within_its_range():
    mr, mask, _ = _biased((64, 64, 1))
    middle = np.zeros(mask.geometry.shape, dtype=np.uint8)
    middle[24:40, 24:40] = mask.voxels[24:40, 24:40]
    everywhere = mr.with_voxels(np.where(mr.voxels > 0, mr.voxels, 1).astype(np.float32))
    corrected, fitted = n4(everywhere, mask.with_voxels(middle))
    field = everywhere.voxels / corrected.voxels
    assert field.min() == pytest.approx(fitted["weakest"], rel=1e-5)
    assert field.max() == pytest.approx(fitted["strongest"], rel=1e-5)


def test_an_even_image_stays_as_it_is():
    mr, mask, truth = _biased((48, 48, 1))
    even = mr.with_voxels(truth.astype(np.float32))
    corrected, _ = n4(even, mask)
    inside = mask.voxels > 0
    assert np.corrcoef(corrected.voxels[inside], truth[inside])[0, 1] > 0.99


def test_thick_slices_are_not_shrunk():
    mr, mask, _ = _biased((64, 64, 12))
    assert n4(mr, mask, iterations=(5,))[1]["shrink_factors"] == [2, 2, 1]


def test_voxels_without_a_number_do_not_spread():
    mr, mask, _ = _biased((40, 40, 1))
    voxels = mr.voxels.copy()
    voxels[20, 20] = np.nan
    assert np.isfinite(n4(mr.with_voxels(voxels), mask)[0].voxels).all()


def test_errors_say_what_is_wrong():
    mr, mask, _ = _biased((24, 24, 1))
    empty = mask.with_voxels(np.zeros(mask.geometry.shape, dtype=np.uint8))
    with pytest.raises(InputError, match="no bias field can be estimated.*0 positive voxels"):
        n4(mr, empty)
    other = Volume(mask.voxels, Geometry(mask.geometry.shape, np.eye(4)), Quantity.MASK)
    with pytest.raises(GeometryError, match="MR and mask"):
        n4(mr, other)
    with pytest.raises(InputError, match="needs a body mask"):
        BiasFieldCorrection().apply(Images(mr))


def test_the_step_records_the_field_and_repeats_exactly():
    mr, mask, _ = _biased((40, 40, 1))
    step = BiasFieldCorrection(shrink=2, iterations=[10, 10])
    assert step.iterations == (10, 10)
    one, fitted = step.apply(Images(mr, None, mask))
    other, again = step.apply(Images(mr, None, mask))
    assert fitted == again
    assert np.array_equal(one.mr.voxels, other.mr.voxels)
    assert step.apply(Images(None, None, mask)) == (Images(None, None, mask), {})
