"""A CT comes to lie on an sCT: known moves are found and undone, local differences of tissue are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter, shift

from mr2ct.datasets.realignment import Realignment


def head(*, skull: float = 5.0, hole: bool = False) -> np.ndarray:
    """(90, 110) HU: an oval of soft tissue in a ring of bone, in air; not symmetric, so that turns show."""
    rows, columns = np.indices((90, 110)).astype(float)
    radius = np.hypot((rows - 44) / 1.0, (columns - 52) / 1.3)
    hu = np.full(radius.shape, -1000.0)
    hu[radius < 32] = 900.0
    hu[radius < 32 - skull] = 40.0
    hu[(np.hypot(rows - 36, columns - 40)) < 6] = 300.0
    if hole:
        hu[50:56, 60:66] = -1000.0
    return gaussian_filter(hu, 0.7)


MASK = np.hypot((np.indices((90, 110))[0] - 44), (np.indices((90, 110))[1] - 52) / 1.3) < 36


@pytest.mark.parametrize("move", [(0.6, 0.0), (-0.4, 0.8), (1.5, -1.0)])
def test_a_shift_is_found_to_a_tenth_of_a_voxel(move):
    sct = head()
    ct = shift(sct, move, order=3, mode="nearest")
    rows, columns = Realignment().places(ct, sct, MASK)
    here = np.indices(sct.shape)
    # a ring tells little of where along itself it lies, so the mean over the head is asked for
    assert np.mean((rows - here[0])[MASK]) == pytest.approx(move[0], abs=0.1)
    assert np.mean((columns - here[1])[MASK]) == pytest.approx(move[1], abs=0.1)


def test_a_ct_that_is_two_percent_larger_is_shrunk():
    sct = head()
    middle = (np.array(sct.shape) - 1) / 2
    ct = affine_transform(sct, np.eye(2) / 1.02, middle - middle / 1.02, order=3, mode="nearest")
    before, after = (np.abs(image - sct)[MASK].mean() for image in (ct, Realignment()(ct, sct, MASK)))
    assert after < 0.3 * before


def test_a_pair_in_place_stays_there():
    sct = head()
    rows, columns = Realignment().places(sct, sct, MASK)
    here = np.indices(sct.shape)
    assert np.abs(rows - here[0])[MASK].max() < 0.1
    assert np.abs(columns - here[1])[MASK].max() < 0.1


def test_tissue_that_the_sct_lacks_stays_in_the_label():
    """The move is stiff: air in the CT that the network missed is to be learnt, not squeezed away."""
    ct, sct = head(hole=True), head()
    moved = Realignment()(ct, sct, MASK)
    assert moved.min() >= ct.min()
    assert moved.max() <= ct.max()
    assert np.count_nonzero(moved[45:61, 55:71] < -500) > 0.8 * np.count_nonzero(ct[45:61, 55:71] < -500)


def test_what_lies_outside_the_mask_does_not_count():
    sct = head()
    ct = shift(sct, (0.0, 1.0), order=3, mode="nearest")
    ct[80:, :] = 500.0  # a table
    _, columns = Realignment().places(ct, sct, MASK)
    assert np.mean((columns - np.indices(sct.shape)[1])[MASK]) == pytest.approx(1.0, abs=0.1)
