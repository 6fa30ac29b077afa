"""Other views of a body: there and back."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.inference.translator import Translator
from mr2ct.inference.views import VIEWS, view_answer


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(6, 5, 4), (1, 7, 6), (6, 1, 5), (7, 6, 1)])
def test_a_view_is_undone(view, shape):
    voxels = np.random.default_rng(0).random(shape)
    np.testing.assert_array_equal(VIEWS[view].restore(VIEWS[view].alter(voxels)), voxels)


def test_the_first_view_is_the_plain_one():
    assert next(iter(VIEWS)) == "plain"


@pytest.mark.parametrize("view", VIEWS)
def test_a_pointwise_network_answers_every_view_alike(view, linear_network, describe, make_mr):
    mr = make_mr((40, 36, 34), np.eye(4))
    translator = Translator(linear_network(), describe(), device="cpu", precision="fp32")
    body = translator.prepare(mr)
    inside = body.weight > 0
    plain = view_answer(translator, body, "axial")
    np.testing.assert_allclose(view_answer(translator, body, "axial", view=view)[inside], plain[inside], atol=1e-5)
