"""Slices of time: many short ones end where one long run does, and a slice that was killed is gone on from."""

from __future__ import annotations

import pytest

from mr2ct.bundles import load_bundle
from mr2ct.errors import RecipeError
from mr2ct.training.checkpoint import read_checkpoint
from mr2ct.training.parcel import parts_of, read_parcel
from mr2ct.training.recipe import parse_recipe
from mr2ct.training.run import run
from mr2ct.training.slices import is_finished, train_slice


@pytest.fixture
def recipe(small_recipe):
    return parse_recipe(small_recipe(run={"max_steps": 4, "validate_every": 2}))


def test_short_slices_end_where_a_long_run_does_bit_for_bit(recipe, tmp_path, differences):
    run(recipe, tmp_path / "whole", say=lambda line: None)
    steps = []
    for number in range(5):
        here, before = tmp_path / f"slice{number}", tmp_path / f"slice{number - 1}"
        record = train_slice(recipe, here, brought=before, minutes=1e-4, say=lambda line: None)
        steps.append(record["steps"])
        if is_finished(record, recipe):
            break
    assert steps == sorted(set(steps))
    assert steps[-1] == 4
    assert not (here / "run").exists()
    read_parcel(here / "state", tmp_path / "back")
    whole, sliced = (read_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "back"))
    assert differences(whole["method"], sliced["method"]) == []
    assert load_bundle(here / "bundle").description.metrics["validation_mae_hu"] == record["scores"]["mae_hu"]
    assert [point[0] for point in record["curve"]["validation/mae_hu"]][-1] == 4


@pytest.mark.parametrize("method", ["supervised", "cyclegan"])
def test_a_compact_state_is_smaller_and_goes_on(small_recipe, tmp_path, method):
    content = small_recipe(method, seed=2, data={"batch_size": 1}, run={"max_steps": 2, "validate_every": 2})
    if method == "cyclegan":
        # full after the first slice; the second one begins with an old image
        content["method"]["pool_size"] = 2
    recipe = parse_recipe(content)
    longer = recipe.model_copy(update={"run": recipe.run.model_copy(update={"max_steps": 3})})
    found = {}
    for compact in (False, True):
        folder = tmp_path / str(compact)
        train_slice(recipe, folder, minutes=1.0, compact=compact, say=lambda line: None)
        size = sum(part.stat().st_size for part in parts_of(folder / "state"))
        record = train_slice(longer, folder, minutes=1.0, compact=compact, say=lambda line: None)
        assert record["steps"] == 3
        found[compact] = size, record["scores"]["mae_hu"]
    assert found[True][0] < found[False][0]
    assert found[True][1] == pytest.approx(found[False][1], rel=0.02)


def test_a_slice_that_was_killed_is_gone_on_from_its_checkpoint(recipe, tmp_path):
    run(recipe.model_copy(update={"run": recipe.run.model_copy(update={"max_steps": 2})}), tmp_path / "a" / "run")
    said: list[str] = []
    record = train_slice(recipe, tmp_path / "a", minutes=1.0, say=said.append)
    assert "cut off" in said[0]
    assert record["steps"] == 4
    assert record["ended"] == "finished"


def test_a_run_folder_without_a_checkpoint_gives_way_to_the_parcel(recipe, tmp_path):
    train_slice(recipe, tmp_path, minutes=1.0, say=lambda line: None)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").touch()
    said: list[str] = []
    train_slice(recipe, tmp_path, minutes=1.0, say=said.append)
    assert said[0].startswith("going on from")


def test_a_damaged_parcel_is_an_error_and_stays(recipe, tmp_path):
    train_slice(recipe, tmp_path, minutes=1.0, say=lambda line: None)
    (part,) = parts_of(tmp_path / "state")
    part.write_bytes(part.read_bytes()[:-5])
    with pytest.raises(RecipeError, match="damaged"):
        train_slice(recipe, tmp_path, minutes=1.0, say=lambda line: None)
    assert part.exists()


def test_patches_are_refused(small_recipe, tmp_path):
    recipe = parse_recipe(small_recipe(data={"context_slices": None, "size": [16, 16, 16]}))
    with pytest.raises(RecipeError, match="not trained in slices"):
        train_slice(recipe, tmp_path, minutes=1.0)
