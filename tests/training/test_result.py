"""What goes into a run and comes out of it: what the bundle says of its training."""

from __future__ import annotations

import pytest

from mr2ct.training.recipe import parse_recipe
from mr2ct.training.result import describe


@pytest.mark.parametrize(
    ("spatial", "flips"), [({}, True), ({"flip": 0.1}, True), ({"flip": 0.0, "rotation_deg": 5}, False), (None, False)]
)
def test_a_bundle_says_whether_training_showed_flips(small_recipe, spatial, flips):
    assert describe(parse_recipe(small_recipe(data={"spatial": spatial}))).flips is flips
