"""Histogram overlap: against numpy.histogram, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mr2ct.errors import DataSetError, GeometryError
from mr2ct.evaluation.histogram import histogram_overlap, hu_histogram

HU = hnp.arrays(np.float64, 60, elements=st.integers(-2000, 5000).map(float))
EDGES = np.arange(-1024, 3092, 20)


@given(HU)
def test_shares_agree_with_numpy(hu):
    mask = np.arange(60) % 3
    # numpy's last bin is closed at its end
    counts, _ = np.histogram(np.clip(hu[mask > 0], -1024, 3075), EDGES)
    assert np.allclose(hu_histogram(hu, mask), counts / 40)


@settings(max_examples=40, deadline=None)
@given(HU, HU)
def test_overlap_is_symmetric_and_counts_values_not_places(sct_hu, ct_hu):
    mask = np.ones(60)
    overlap = histogram_overlap(sct_hu, ct_hu, mask)
    assert -1e-12 <= overlap <= 1 + 1e-12
    assert histogram_overlap(ct_hu, sct_hu, mask) == overlap
    assert histogram_overlap(sct_hu[::-1], ct_hu, mask) == overlap
    assert histogram_overlap(ct_hu, ct_hu, mask) == pytest.approx(1)


@given(HU)
def test_what_lies_outside_the_mask_does_not_count(sct_hu):
    ct_hu, mask = np.zeros(60), np.arange(60) < 25
    assert histogram_overlap(np.where(mask, sct_hu, 777), ct_hu, mask) == histogram_overlap(sct_hu, ct_hu, mask)


def test_bad_input_is_an_error():
    with pytest.raises(DataSetError, match="empty mask"):
        hu_histogram(np.zeros(3), np.zeros(3))
    with pytest.raises(GeometryError):
        histogram_overlap(np.zeros(3), np.zeros(4), np.ones(3))
