"""Sliding windows: every voxel covered, no seam, and the answer of MONAI's own implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.inference.planes import AIR
from mr2ct.inference.tiling import gaussian_weights, sliding_window, window_starts

SHAPES = st.tuples(*[st.integers(1, 13)] * 3)
PATCHES = st.tuples(*[st.integers(2, 8)] * 3)
OVERLAPS = st.sampled_from([0.0, 0.25, 0.5, 0.75])


@given(st.integers(1, 60), st.integers(1, 20), OVERLAPS)
def test_windows_cover_everything_and_stay_inside(length, window, overlap):
    starts = window_starts(length, window, overlap)
    covered = {voxel for start in starts for voxel in range(start, start + window)}
    assert covered >= set(range(length))
    assert max(covered) < max(length, window)
    assert starts == sorted(set(starts))


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, patch=PATCHES, overlap=OVERLAPS)
def test_no_seam_and_no_hole(fake_engine, shape, patch, overlap):
    mr = np.random.default_rng(1).random(shape, dtype=np.float32)
    inside = np.ones(shape)
    same = sliding_window(fake_engine(lambda x: x), mr, inside, patch_size=patch, overlap=overlap)
    np.testing.assert_allclose(same, mr, atol=1e-5)
    constant = sliding_window(
        fake_engine(lambda x: np.full_like(x, 0.3)), mr, inside, patch_size=patch, overlap=overlap
    )
    np.testing.assert_allclose(constant, 0.3, atol=1e-5)


def test_the_middle_of_a_window_counts_more_than_its_border(fake_engine):
    """A network that is wrong at its border does less harm than with equal weights."""
    border = np.ones((8, 8, 8), np.float32)
    border[1:-1, 1:-1, 1:-1] = 0
    mr = np.zeros((20, 20, 20), np.float32)
    answer = sliding_window(fake_engine(lambda x: x + border), mr, np.ones_like(mr), patch_size=(8, 8, 8))
    assert answer[4:-4, 4:-4, 4:-4].max() < 0.2


def test_windows_without_body_are_not_run(fake_engine):
    mr, inside = np.zeros((16, 4, 4), np.float32), np.zeros((16, 4, 4))
    inside[0] = 1
    engine = fake_engine(lambda x: x)
    answer = sliding_window(engine, mr, inside, patch_size=(4, 4, 4), overlap=0)
    assert len(engine.seen) == 1
    np.testing.assert_array_equal(answer[:4], 0)
    np.testing.assert_array_equal(answer[4:], AIR)


def test_agrees_with_monai(fake_engine):
    torch = pytest.importorskip("torch")
    inferers = pytest.importorskip("monai.inferers")
    ramp = np.linspace(0, 1, 8, dtype=np.float32)[:, None, None] * np.ones((8, 8, 8), np.float32)
    mr = np.random.default_rng(1).random((20, 16, 12), dtype=np.float32)
    expected = inferers.sliding_window_inference(
        torch.from_numpy(mr)[None, None],
        (8, 8, 8),
        1,
        lambda x: x * torch.from_numpy(ramp),
        overlap=0.5,
        mode="gaussian",
    )[0, 0].numpy()
    ours = sliding_window(fake_engine(lambda x: x * ramp), mr, np.ones_like(mr), patch_size=(8, 8, 8))
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_weights_are_symmetric_and_never_zero():
    weights = gaussian_weights((8, 6, 5))
    np.testing.assert_allclose(weights, weights[::-1, ::-1, ::-1])
    assert weights.min() > 0
    assert weights.argmax() == np.ravel_multi_index((3, 2, 2), weights.shape)


def test_progress_ends_at_one(fake_engine):
    shares = []
    mr = np.ones((9, 9, 9), np.float32)
    sliding_window(fake_engine(lambda x: x), mr, mr, patch_size=(4, 4, 4), on_progress=shares.append)
    assert shares[-1] == 1


def test_an_impossible_overlap_is_an_error():
    with pytest.raises(InputError, match="overlap"):
        window_starts(10, 4, 1.0)
