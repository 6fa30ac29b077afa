"""Arrays survive JSON to the last bit of float32, and damage is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mr2ct.errors import BundleError
from mr2ct.trust.stored_arrays import array_from_json, array_to_json


@given(arrays(np.float32, array_shapes(max_dims=3, max_side=5), elements=st.floats(width=32)))
def test_what_is_stored_comes_back(array):
    back = array_from_json(json.loads(json.dumps(array_to_json(array))))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.float32


@pytest.mark.parametrize(
    "said", [{}, {"shape": [2], "float32": "AACAPw=="}, {"shape": [1], "float32": "not base64!"}, {"shape": [1]}]
)
def test_damage_is_said(said):
    with pytest.raises(BundleError, match="cannot be read"):
        array_from_json(said)
