"""Features measure what their names say, do not depend on the scanner's scale, and are always numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.trust.slice_features import ASPECTS, slice_features
from mr2ct.trust.slice_view import SliceView

GRID = np.mgrid[-70:71, -80:81]
HEAD = (GRID[0] / 55) ** 2 + (GRID[1] / 65) ** 2 < 1


def head(**changes):
    rng = np.random.default_rng(0)
    mr = 0.5 * HEAD + 0.01 * rng.standard_normal(HEAD.shape) + 0.03 * HEAD * np.sin(GRID[0] / 3)
    kept = {"plane": "axial", "mr": np.abs(mr).astype(np.float32), "outline": HEAD, "spacing_mm": (1.0, 1.0)}
    return SliceView(**kept | changes)


@pytest.fixture(scope="module")
def sound():
    return slice_features(head())


def test_every_feature_belongs_to_an_aspect(sound):
    assert {name.split(".")[0] for name in sound} == set(ASPECTS)


def test_the_outline_is_measured_in_millimetres(sound):
    assert np.exp(sound["outline.log_area"]) == pytest.approx(np.pi * 55 * 65 / 100, rel=0.02)
    half = slice_features(head(spacing_mm=(0.5, 0.5)))
    assert np.exp(half["outline.log_area"] - sound["outline.log_area"]) == pytest.approx(0.25, rel=0.01)


def test_a_cut_side_is_flat_and_a_mirrored_head_the_same():
    cut = HEAD & (GRID[1] < 30)
    found = slice_features(head(outline=cut))
    assert found["outline.flat_columns_high"] > 0.9
    assert found["outline.flat_columns_low"] < 0.5
    turned = slice_features(head(outline=cut[:, ::-1], mr=head().mr[:, ::-1]))
    assert turned["outline.flat_columns_low"] == pytest.approx(found["outline.flat_columns_high"])


def test_noise_detail_ghosts_drift_and_voids_are_each_seen(sound):
    rng = np.random.default_rng(1)
    mr = head().mr
    noisy = slice_features(head(mr=mr + np.float32(0.1) * rng.standard_normal(mr.shape, dtype=np.float32)))
    assert noisy["detail.log_noise"] > sound["detail.log_noise"] + 1
    ghost = slice_features(head(mr=mr + 0.2 * np.roll(mr, 70, axis=0)))
    assert ghost["background.log_mean"] > sound["background.log_mean"] + 1
    drift = slice_features(head(mr=mr * np.exp(GRID[0] / 70).astype(np.float32)))
    assert drift["evenness.range"] == pytest.approx(2 * 0.9 * 55 / 70, rel=0.3)
    assert abs(sound["evenness.range"]) < 0.1
    hole = np.hypot(GRID[0] - 20, GRID[1] - 20) < 15
    void = slice_features(head(mr=np.where(hole, 0, mr).astype(np.float32)))
    assert np.exp(void["signal.dark_radius"]) - 1 == pytest.approx(15, abs=2)
    assert void["evenness.asymmetry"] > sound["evenness.asymmetry"] + 0.5


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.sampled_from(["axial", "coronal", "sagittal"]), st.integers(0, 99))
def test_any_slice_has_finite_features(rows, columns, plane, seed):
    rng = np.random.default_rng(seed)
    mr = rng.uniform(0, 1.5, (rows, columns)).astype(np.float32)
    found = slice_features(SliceView(plane, mr, rng.random((rows, columns)) < 0.5, (1.0, 2.0)))
    assert np.isfinite(list(found.values())).all()
    assert list(found) == list(slice_features(head()))
