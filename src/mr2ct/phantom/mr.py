"""The MR image of a head phantom in any contrast."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from mr2ct.phantom.contrast import Contrast
from mr2ct.phantom.head import HeadPhantom
from mr2ct.phantom.noise import smooth_noise
from mr2ct.phantom.shapes import Field
from mr2ct.phantom.tissues import Label, Relaxation, Tissue
from mr2ct.volume import Quantity, Volume

_FULL_SCALE = 1000.0
_BLUR_MM = 0.6


def simulate_mr(
    phantom: HeadPhantom,
    contrast: Contrast,
    *,
    seed: int | Generator,
    noise: float = 0.02,
    bias: float = 0.25,
    scatter: float = 1.0,
) -> Volume:
    """Image the phantom: signal equation, partial volume, receive field, Rician noise.

    Parameters
    ----------
    phantom : the head.
    contrast : the sequence, such as `SpinEcho(tr_ms=500, te_ms=12)`, or one of `CONTRASTS`.
    seed : an integer or a numpy Generator; draws the scatter of tissue times, the bias field and the noise.
    noise : standard deviation of the noise in each channel, as a fraction of the signal of white matter.
    bias : half the peak-to-peak variation of the receive field, as a fraction.
    scatter : how far tissues stray from their textbook signal: 1 is what scanners and people differ by, 3 to 5 is
        wider than life, for training a network that has to read anatomy rather than brightness (as in Billot 2023,
        SynthSeg, doi:10.1016/j.media.2023.102789). 0 is the textbook.

    Returns
    -------
    Volume MR on the phantom's grid, float32, arbitrary units, at least 0.

    Example
    -------
    >>> from mr2ct.phantom import CONTRASTS, head_phantom
    >>> float(simulate_mr(head_phantom(1, spacing_mm=6.0), CONTRASTS["t1_mprage"], seed=1).voxels.min()) >= 0
    True
    """
    generator = np.random.default_rng(seed)
    spacing_mm = phantom.geometry.spacing_mm[0]
    signals = tissue_signals(phantom, contrast, generator, scatter=scatter)
    white = max(signals[Label.WHITE_MATTER], 1e-3)
    image = (signals / white).astype(np.float32)[phantom.labels]
    texture = smooth_noise(image.shape, spacing_mm, feature_mm=5, generator=generator)
    image *= 1 + np.float32(generator.uniform(0.02, 0.08)) * texture
    image = gaussian_filter(image, _BLUR_MM / spacing_mm * generator.uniform(0.7, 1.4), truncate=3.0)
    field = smooth_noise(image.shape, spacing_mm, feature_mm=generator.uniform(160, 320), generator=generator)
    image *= np.exp(np.float32(bias / 1.5) * field)
    if noise > 0:
        real = image + np.float32(noise) * generator.standard_normal(image.shape, dtype=np.float32)
        image = np.hypot(real, np.float32(noise) * generator.standard_normal(image.shape, dtype=np.float32))
    scale = np.float32(_FULL_SCALE / 2)
    return Volume(np.maximum(image * scale, 0).astype(np.float32), phantom.geometry, Quantity.MR)


def tissue_signals(phantom: HeadPhantom, contrast: Contrast, generator: Generator, *, scatter: float = 1.0) -> Field:
    """(labels,) signal of each label, with tissue times scattered by `scatter` times a few percent."""
    signals = np.zeros(max(phantom.tissues) + 1, dtype=np.float32)
    for label, tissue in phantom.tissues.items():
        relaxation = _scatter(
            label, tissue.at_1_5_tesla if contrast.tesla < 2.2 else tissue.at_3_tesla, generator, scatter
        )
        signals[label] = contrast.signal(relaxation, t1_ms=_enhanced_t1(tissue, relaxation, contrast.agent))
        if label in (Label.ARTERY, Label.VEIN):
            signals[label] *= _flow(label, contrast, generator)
    return signals


def _scatter(label: Label, tissue: Relaxation, generator: Generator, scatter: float) -> Relaxation:
    # the echo time against the phase of fat, and fat suppression, differ between scanners more than fat itself does
    fatty = label in (Label.FAT, Label.DIPLOE, Label.SPONGY_BONE)
    density, t1, t2, t2_star = np.exp(scatter * generator.normal(0, (0.22 if fatty else 0.03, 0.05, 0.05, 0.08)))
    return Relaxation(
        float(tissue.proton_density * density),
        float(tissue.t1_ms * t1),
        float(tissue.t2_ms * t2),
        float(tissue.t2_star_ms * t2_star),
    )


def _enhanced_t1(tissue: Tissue, relaxation: Relaxation, agent: float) -> float:
    return 1 / (1 / relaxation.t1_ms + agent * tissue.enhancement / 1000)


def _flow(label: Label, contrast: Contrast, generator: Generator) -> float:
    """Moving blood loses signal in spin echoes, and partly elsewhere."""
    if contrast.agent > 0:
        return 1.0
    return float(generator.uniform(0.1, 0.6) if label is Label.ARTERY else generator.uniform(0.3, 0.9))
