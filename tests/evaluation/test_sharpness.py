"""Gradient energy in bone: by hand, by another implementation, and by what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mr2ct.errors import DataSetError, GeometryError
from mr2ct.evaluation.sharpness import bone_gradient_energy_percent

SPACING = (0.8, 1.1, 2.0)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A rough CT with bone, an sCT of it that is blurred, and a mask that leaves some out; 12 x 11 x 10."""
    rng = np.random.default_rng(5)
    ct = ndimage.gaussian_filter(rng.normal(0, 1, (12, 11, 10)), 1.0) * 3000
    mask = np.ones(ct.shape, dtype=np.uint8)
    mask[:2] = 0
    return ndimage.gaussian_filter(ct, 0.7), ct, mask


def reference(sct, ct, mask, spacing_mm) -> float:
    """By correlation with (-1/2, 0, 1/2), borders by one-sided differences voxel by voxel."""
    energies = []
    for image in (sct, ct):
        hu = np.clip(image, -1024, 3000)
        energy = np.zeros(hu.shape)
        for axis, size_mm in enumerate(spacing_mm):
            slope = ndimage.correlate1d(hu, [-0.5, 0, 0.5], axis=axis, mode="nearest")
            slope = np.moveaxis(slope, axis, 0)
            slope[[0, -1]] *= 2
            energy += (np.moveaxis(slope, 0, axis) / size_mm) ** 2
        energies.append(sum(energy[voxel] for voxel in zip(*np.nonzero((ct > 250) & (mask != 0)), strict=True)))
    return 100 * energies[0] / energies[1]


def test_it_agrees_with_another_implementation(images):
    sct, ct, mask = images
    assert bone_gradient_energy_percent(sct, ct, mask, SPACING) == pytest.approx(reference(sct, ct, mask, SPACING))


def test_blur_lowers_it_and_noise_raises_it(images):
    sct, ct, mask = images
    noisy = ct + np.random.default_rng(1).normal(0, 400, ct.shape)
    blurred = bone_gradient_energy_percent(sct, ct, mask, SPACING)
    assert blurred < 80
    assert bone_gradient_energy_percent(ndimage.gaussian_filter(sct, 1), ct, mask, SPACING) < blurred
    assert bone_gradient_energy_percent(noisy, ct, mask, SPACING) > 100


@given(contrast=st.floats(0.1, 2.0), offset=st.floats(-100, 100))
def test_contrast_counts_squared_and_an_offset_not_at_all(contrast: float, offset: float):
    ct = np.full((9, 9, 1), 0.0)
    ct[3:6, 3:6] = 1000
    percent = bone_gradient_energy_percent(ct * contrast + offset, ct, np.ones(ct.shape), (1.0, 1.0, 3.0))
    assert percent == pytest.approx(100 * contrast**2)


def test_only_the_bone_of_the_ct_inside_the_mask_counts(images):
    sct, ct, mask = images
    elsewhere = ndimage.binary_dilation((ct > 250) & (mask != 0), iterations=1)
    changed = np.where(elsewhere, sct, -1000.0)
    expected = bone_gradient_energy_percent(sct, ct, mask, SPACING)
    assert bone_gradient_energy_percent(changed, ct, mask, SPACING) == pytest.approx(expected)


def test_metal_does_not_outweigh_the_skull():
    ct = np.full((9, 9, 9), 40.0)
    ct[2:5] = 1000
    filled = ct.copy()
    filled[3, 4, 4] = 20_000
    assert bone_gradient_energy_percent(ct, filled, np.ones(ct.shape), (1, 1, 1)) > 50


def test_a_ct_without_bone_has_no_value():
    assert np.isnan(bone_gradient_energy_percent(np.ones((3, 3, 3)), np.zeros((3, 3, 3)), np.ones((3, 3, 3)), SPACING))


def test_images_must_fit():
    with pytest.raises(GeometryError):
        bone_gradient_energy_percent(np.ones((3, 3, 3)), np.zeros((3, 3, 2)), np.ones((3, 3, 3)), SPACING)
    with pytest.raises(DataSetError):
        bone_gradient_energy_percent(np.ones((3, 3, 3)), np.zeros((3, 3, 3)), np.zeros((3, 3, 3)), SPACING)
