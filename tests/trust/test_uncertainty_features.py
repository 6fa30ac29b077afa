"""Features of a slice: what changes them and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.trust.uncertainty_features import FEATURES, slice_features


def disc(shape=(48, 40), *, members=2, views=2, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    outline = rows**2 + columns**2 < 0.7
    answers = np.where(outline, 40.0, -1024.0) + rng.normal(0, 20, (members, views, *shape))
    return answers.astype(np.float32), (outline * 0.5).astype(np.float32), outline


def of(answers, mr, outline, plane="axial"):
    features = slice_features(answers, mr, outline, spacing_mm=(1.0, 1.0), plane=plane)
    return dict(zip(FEATURES, np.moveaxis(features, -1, 0), strict=True))


def test_one_model_with_one_view_has_no_spread():
    answers, mr, outline = disc(members=1, views=1)
    found = of(answers, mr, outline)
    assert all(np.abs(found[name]).max() == 0 for name in ("spread", "other_answers", "other_views", "spread_around"))


@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_other_models_does_not_matter(seed):
    answers, mr, outline = disc(members=3, seed=seed)
    here, there = of(answers, mr, outline), of(answers[[0, 2, 1]], mr, outline)
    for name in FEATURES:
        np.testing.assert_allclose(here[name], there[name], rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_a_mirrored_slice_has_mirrored_features(seed):
    answers, mr, outline = disc(seed=seed)
    here = of(answers, mr, outline)
    there = of(answers[..., ::-1, :].copy(), mr[::-1].copy(), outline[::-1].copy())
    for name in FEATURES:
        np.testing.assert_allclose(here[name], there[name][::-1], rtol=1e-3, atol=1e-3)


def test_depth_grows_inwards_and_is_negative_outside():
    depth = of(*disc())["depth"]
    assert depth[24, 20] > depth[24, 8] > 0 > depth[0, 0]


@pytest.mark.parametrize("outline", [np.ones((9, 7), bool), np.zeros((9, 7), bool)])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_an_outline_of_everything_or_nothing_is_possible(outline, plane):
    answers = np.zeros((1, 2, 9, 7), np.float32)
    assert np.isfinite(slice_features(answers, answers[0, 0], outline, spacing_mm=(1, 1), plane=plane)).all()


def test_a_strip_of_one_pixel_is_possible():
    answers = np.zeros((1, 2, 1, 30), np.float32)
    found = slice_features(answers, answers[0, 0], np.ones((1, 30), bool), spacing_mm=(1, 1), plane="axial")
    assert np.isfinite(found).all()


def test_sharpness_falls_when_the_mr_is_smoothed():
    from scipy import ndimage

    answers, mr, outline = disc((96, 96))
    rough = (mr + np.random.default_rng(0).normal(0, 0.05, mr.shape)).astype(np.float32)
    smooth = ndimage.gaussian_filter(rough, 1.0)
    sharp, blurred = (of(answers, image, outline)["sharpness"][0, 0] for image in (rough, smooth))
    assert blurred < sharp
