"""The CT image of a head phantom, in HU."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU
from mr2ct.phantom.head import HeadPhantom
from mr2ct.phantom.noise import smooth_noise
from mr2ct.volume import Quantity, Volume

_BLUR_MM = 0.6


def simulate_ct(phantom: HeadPhantom, seed: int | Generator, *, noise_hu: float = 8.0) -> Volume:
    """Image the phantom in HU: tissue means scattered between heads, texture, partial volume, noise.

    Parameters
    ----------
    phantom : the head.
    seed : an integer or a numpy Generator.
    noise_hu : standard deviation of the noise.

    Returns
    -------
    Volume HU on the phantom's grid, int16, -1024 to 3071.

    Example
    -------
    >>> from mr2ct.phantom import head_phantom
    >>> simulate_ct(head_phantom(1, spacing_mm=6.0), 1).voxels.dtype.name
    'int16'
    """
    generator = np.random.default_rng(seed)
    spacing_mm = phantom.geometry.spacing_mm[0]
    mean = np.zeros(max(phantom.tissues) + 1, dtype=np.float32)
    texture = np.zeros_like(mean)
    for label, tissue in phantom.tissues.items():
        mean[label] = tissue.hu + tissue.hu_between_heads * np.clip(generator.standard_normal(), -2, 2)
        texture[label] = tissue.hu_texture
    shape = phantom.geometry.shape
    grain = 0.7 * smooth_noise(shape, spacing_mm, feature_mm=6, generator=generator)
    grain += 0.7 * smooth_noise(shape, spacing_mm, feature_mm=30, generator=generator)
    image = mean[phantom.labels] + texture[phantom.labels] * grain
    image = gaussian_filter(image, _BLUR_MM / spacing_mm, truncate=3.0)
    if noise_hu > 0:
        image += np.float32(noise_hu) * generator.standard_normal(shape, dtype=np.float32)
    voxels = np.rint(np.clip(image, LOWEST_HU, HIGHEST_HU)).astype(np.int16)
    return Volume(voxels, phantom.geometry, Quantity.HU)
