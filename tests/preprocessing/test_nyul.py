from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d

from mr2ct.errors import DataSetError, InputError
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.nyul import PERCENTILES, Nyul, piecewise_linear
from mr2ct.preprocessing.step import Images
from mr2ct.volume import Quantity, Volume

GRID = Geometry((20, 18, 8), np.eye(4))


def _scan(seed: int, *, gamma: float = 1.0, scale: float = 1.0) -> tuple[Volume, Volume]:
    """A scan of the same kind of head: its histogram bent by `gamma`, its values multiplied by `scale`."""
    values = np.random.default_rng(seed).gamma(3.0, 0.1, GRID.shape) ** gamma * scale
    return Volume(values.astype(np.float32), GRID, Quantity.MR), Volume(np.ones(GRID.shape), GRID, Quantity.MASK)


def test_scans_of_different_contrast_meet_in_one_histogram():
    scans = [_scan(1), _scan(2, gamma=1.3, scale=400), _scan(3, gamma=0.8, scale=0.02)]
    standard = Nyul.fit(scans)
    assert standard.percentiles == PERCENTILES
    assert standard.standard[0] == 0
    assert standard.standard[-1] == pytest.approx(1)
    for mr, mask in scans:
        scaled, fitted = standard.apply(Images(mr, None, mask))
        ours = np.percentile(scaled.mr.voxels, PERCENTILES)
        np.testing.assert_allclose(ours, standard.standard, atol=2e-3)
        np.testing.assert_allclose(fitted["landmarks"], np.percentile(mr.voxels, PERCENTILES), rtol=1e-4)


def test_fitting_does_not_depend_on_order_or_scale():
    one = Nyul.fit([_scan(1), _scan(2, gamma=1.3)])
    other = Nyul.fit([_scan(2, gamma=1.3, scale=250), _scan(1, scale=1e-3)])
    np.testing.assert_allclose(one.standard, other.standard, atol=1e-5)


def test_a_scan_of_the_standard_shape_is_only_stretched():
    mr, mask = _scan(5)
    scaled, _ = Nyul.fit([(mr, mask)]).apply(Images(mr, None, mask))
    low, high = np.percentile(mr.voxels, [1, 99])
    np.testing.assert_allclose(scaled.mr.voxels, np.clip((mr.voxels - low) / (high - low), 0, 1.5), atol=1e-4)


@given(
    st.lists(st.floats(0, 50), min_size=2, max_size=6, unique_by=lambda v: round(v, 2)).map(sorted),
    st.lists(st.floats(-20, 80), min_size=1, max_size=10),
)
def test_the_map_agrees_with_scipy_and_keeps_the_order(landmarks, values):
    landmarks = np.array(landmarks)
    standard = np.linspace(0, 1, len(landmarks)) ** 2
    ours = piecewise_linear(np.sort(values), landmarks, standard)
    theirs = interp1d(landmarks, standard, fill_value="extrapolate", assume_sorted=True)(np.sort(values))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    assert (np.diff(ours) >= -1e-9).all()


def test_landmarks_that_coincide_count_once():
    ours = piecewise_linear(np.array([0.0, 5.0]), np.array([0.0, 0.0, 10.0]), np.array([0.0, 0.3, 1.0]))
    assert ours.tolist() == [0.0, 0.5]


def test_survives_json_bit_for_bit():
    standard = Nyul.fit([_scan(1), _scan(2)])
    assert Nyul.from_dict(json.loads(json.dumps(standard.to_dict()))) == standard


def test_errors_say_what_is_wrong():
    with pytest.raises(DataSetError, match="no image to learn"):
        Nyul.fit([])
    with pytest.raises(InputError, match="standard histogram that cannot be used"):
        Nyul((0.0, 1.0), (1.0, 50.0, 99.0))
    with pytest.raises(InputError, match="increasing"):
        Nyul((0.0, 0.7, 0.5), (1.0, 50.0, 99.0))
