"""Edges of MR and CT: the Fourier sum against a plain loop, and the pose that planted movements are found at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mr2ct.trust.pair_edges import agreement_by_shift, edge_tensors, peak
from mr2ct.trust.pair_images import pair_images
from mr2ct.trust.pair_pose import find_pose, in_place, rotation

from .pair_heads import arrays, moved, volumes

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(1, 3), st.sampled_from([1, 2, 3]))
def test_the_sum_over_all_shifts_is_the_plain_one(seed, reach, ndim):
    rng = np.random.default_rng(seed)
    shape = (9, 7, 5)[:ndim]
    mr = [rng.normal(size=shape) for _ in range(2)]
    ct = [np.pad(rng.normal(size=shape), reach) for _ in range(2)]
    found = agreement_by_shift(mr, ct, [1.0, 2.0], reach=reach)
    for shift in np.ndindex(*(2 * reach + 1,) * ndim):
        box = tuple(slice(s, s + n) for s, n in zip(shift, shape, strict=True))
        plain = (mr[0] * ct[0][box]).sum() + 2 * (mr[1] * ct[1][box]).sum()
        assert found[shift] == pytest.approx(plain, abs=1e-3)


def test_a_peak_between_pixels_is_found():
    i, j = np.meshgrid(np.arange(11.0), np.arange(11.0), indexing="ij")
    shift, height = peak((5 - (i - 6.3) ** 2 - 0.5 * (j - 4.6) ** 2).astype(np.float32))
    np.testing.assert_allclose(shift, [1.3, -0.4], atol=1e-4)
    assert height == pytest.approx(5, abs=0.2)


def test_agreement_is_a_squared_cosine_of_any_contrast():
    mr, ct = arrays()
    pair = edge_tensors(pair_images(*volumes(mr, ct)))
    assert 0.3 < pair.agreement() <= 1
    # dark for bright changes nothing but the noise at which the MR's edges begin
    inverted = edge_tensors(pair_images(*volumes(mr * 3 + 7, ct)))
    assert inverted.agreement() == pytest.approx(pair.agreement(), rel=0.02)
    rotated = edge_tensors(pair_images(*volumes(mr, np.rot90(ct, 2))))
    assert rotated.agreement() < 0.6 * pair.agreement()


@pytest.mark.parametrize(("shift", "degrees"), [((0, 0), 0), ((2.4, -1.8), 0), ((-7, 4), 0), ((0, 0), 4), ((3, 2), -5)])
def test_a_planted_movement_is_found_and_undone(shift, degrees):
    mr, ct = arrays(3)
    pair = pair_images(*volumes(mr, moved(ct, shift=shift, degrees=degrees)))
    pose = find_pose(pair, edge_tensors(pair))
    assert pose.rotation_degrees == pytest.approx(abs(degrees), abs=0.7)
    if not degrees:
        np.testing.assert_allclose(pose.shift_mm, shift, atol=0.7)
        assert pose.displacement_mm == pytest.approx(np.hypot(*shift), abs=0.7)
    back = in_place(pair, pose)
    inside = pair.mr_body
    assert np.abs(back.ct - ct)[inside].mean() < max(0.5 * np.abs(pair.ct - ct)[inside].mean(), 40)


@given(st.tuples(*[st.floats(-3, 3)] * 3))
def test_rotations_are_scipys(vector):
    np.testing.assert_allclose(rotation(np.array(vector)), Rotation.from_rotvec(vector).as_matrix(), atol=1e-9)
