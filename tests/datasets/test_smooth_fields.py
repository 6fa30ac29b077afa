"""Smooth fields against scipy's B-splines, their limits, and that a bend never folds an image over."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from mr2ct.datasets.smooth_fields import CONTROL_POINTS, _basis, smooth_field


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [5, 48])
def test_the_basis_is_scipys_uniform_cubic_b_spline(size):
    knots = np.arange(-3, CONTROL_POINTS + 1, dtype=float)
    place = np.linspace(0, CONTROL_POINTS - 3, size)
    expected = BSpline.design_matrix(place, knots, 3).toarray()
    np.testing.assert_allclose(_basis(size).numpy(), expected, atol=1e-6)


@given(st.integers(0, 10_000), st.sampled_from([(9, 14), (6, 7, 8)]))
@settings(max_examples=20, deadline=None)
def test_a_field_is_within_its_limits_and_smooth(seed, shape):
    field = smooth_field(shape, channels=2, count=3, generator=seeded(seed))
    assert field.shape == (3, 2, *shape)
    assert field.abs().max() <= 1
    # a quarter of the image from one control point to the next, at most 3/2 apart in value per spacing
    assert all(field.diff(dim=a).abs().max() <= 1.5 * (CONTROL_POINTS - 3) / (n - 1) for a, n in enumerate(shape, 2))


def test_samples_and_channels_differ_and_the_seed_decides():
    field = smooth_field((8, 8), channels=2, count=2, generator=seeded(1))
    assert len({float(field[n, c, 3, 3]) for n in range(2) for c in range(2)}) == 4
    assert torch.equal(field, smooth_field((8, 8), channels=2, count=2, generator=seeded(1)))


@pytest.mark.parametrize("shape", [(40, 40), (20, 20, 20)], ids=["2-D", "3-D"])
def test_a_bend_at_its_limit_never_folds(shape):
    field = smooth_field(shape, channels=len(shape), count=30, generator=seeded(2))
    moved = 0.1 * field * torch.tensor(shape).reshape(1, -1, *[1] * len(shape))
    jacobian = np.stack(
        [np.stack(np.gradient(moved[:, c].numpy(), axis=range(1, 1 + len(shape)))) for c in range(len(shape))]
    )
    jacobian = np.moveaxis(jacobian, (0, 1), (-2, -1)) + np.eye(len(shape))
    assert np.linalg.det(jacobian).min() > 0
