"""What goes into a run and comes out of it: what the bundle says of its training."""

from __future__ import annotations

import pytest

from mr2ct.preprocessing.nyul import PERCENTILES, Nyul
from mr2ct.preprocessing.pipeline import Pipeline
from mr2ct.preprocessing.resampling import ToSpacing
from mr2ct.training.recipe import UNSTATED_LICENCE, parse_recipe
from mr2ct.training.result import describe, prepared_otherwise


@pytest.mark.parametrize(
    ("spatial", "flips"), [({}, True), ({"flip": 0.1}, True), ({"flip": 0.0, "rotation_deg": 5}, False), (None, False)]
)
def test_a_bundle_says_whether_training_showed_flips(small_recipe, spatial, flips):
    assert describe(parse_recipe(small_recipe(data={"spatial": spatial}))).flips is flips


@pytest.mark.parametrize(
    ("stated", "start", "said"),
    [
        ("MIT", "brain-attention-unet", "MIT"),
        (UNSTATED_LICENCE, "brain-attention-unet", "CC-BY-NC-4.0, derived from brain-attention-unet"),
        (UNSTATED_LICENCE, None, UNSTATED_LICENCE),
        (UNSTATED_LICENCE, "gone", "that of the weights that training began with"),
    ],
)
def test_weights_made_from_others_carry_their_terms(small_recipe, stated, start, said):
    recipe = parse_recipe(small_recipe(init_from=start, bundle={"licence": stated}))
    assert describe(recipe).licence == said


def nyul(bend: float) -> Nyul:
    return Nyul(tuple((percentile / 100) ** bend for percentile in PERCENTILES))


def differences(small_recipe, theirs, ours):
    """The warnings, where the model was prepared with the steps `theirs` and the stores with `ours`."""
    described = describe(parse_recipe(small_recipe()))
    return prepared_otherwise(
        *(described.model_copy(update={"preprocessing": Pipeline(steps).to_record()}) for steps in (theirs, ours))
    )


def test_a_warning_shows_in_what_two_voxel_sizes_differ(small_recipe):
    assert not differences(small_recipe, (ToSpacing((1, 1, 3)),), (ToSpacing((1.0, 1.0, 3.0)),))
    (line,) = differences(small_recipe, (ToSpacing((1, 1, 2.5)),), (ToSpacing((1, 1, 3)),))
    theirs, ours = line.split(", the stores were with ")
    assert "spacing_mm=[1.0, 1.0, 2.5]" in theirs
    assert "spacing_mm=[1.0, 1.0, 3.0]" in ours
    assert "prepare them alike" in ours


def test_landmarks_of_two_data_sets_are_told_apart_and_not_to_be_made_alike(small_recipe):
    (line,) = differences(small_recipe, (nyul(1),), (nyul(2),))
    assert "highest=1.5 within=mask and landmarks of its own, the stores" in line
    assert "and landmarks of theirs" in line
    assert line.endswith("takes no landmarks from a model, so train for longer")
    assert len(line) < 300
    assert "no nyul; prepare them alike" in differences(small_recipe, (nyul(1),), ())[0]
