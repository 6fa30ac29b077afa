"""Slices of time: many short ones end where one long run does, and a slice that was killed is gone on from."""

from __future__ import annotations

import pytest

from mr2ct.bundles import load_bundle
from mr2ct.errors import Mr2ctError, RecipeError
from mr2ct.training.checkpoint import read_checkpoint
from mr2ct.training.handover import bring, holds_run, is_finished, require_same_settings, standing
from mr2ct.training.parcel import parts_of, read_parcel
from mr2ct.training.recipe import parse_recipe
from mr2ct.training.run import run
from mr2ct.training.slices import require_trainable, train_slice


@pytest.fixture
def recipe(small_recipe):
    return parse_recipe(small_recipe(run={"max_steps": 4, "validate_every": 2}))


def shortened(recipe, steps):
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"max_steps": steps})})


def test_short_slices_end_where_a_long_run_does_bit_for_bit(recipe, tmp_path, differences):
    run(recipe, tmp_path / "whole", say=lambda line: None)
    steps = []
    for number in range(5):
        here, before = tmp_path / f"slice{number}", tmp_path / f"slice{number - 1}"
        if holds_run(before):
            bring(before, here)
        record = train_slice(recipe, here, minutes=1e-4, say=lambda line: None)
        steps.append(record["steps"])
        if is_finished(record, recipe, here):
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
    longer = shortened(recipe, 3)
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
    run(shortened(recipe, 2), tmp_path / "a" / "run")
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


def test_a_run_stands_where_its_newest_checkpoint_is(recipe, tmp_path):
    assert standing(tmp_path, {}) is None
    record = train_slice(shortened(recipe, 2), tmp_path, minutes=1.0, say=lambda line: None)
    found = standing(tmp_path, {})
    assert (found.steps, found.recipe.network) == (2, recipe.network)
    read_parcel(tmp_path / "state", tmp_path / "run")
    run(recipe, tmp_path / "run", say=lambda line: None)
    assert standing(tmp_path, record).steps == 4


def test_of_a_run_that_ended_the_bundle_is_enough(recipe, tmp_path):
    record = train_slice(recipe, tmp_path / "a", minutes=1.0, say=lambda line: None)
    for part in parts_of(tmp_path / "a" / "state"):
        part.unlink()
    assert standing(tmp_path / "a", record).steps == 4
    assert standing(tmp_path / "a", {**record, "ended": "out of time"}) is None
    assert is_finished(record, recipe, tmp_path / "a")
    assert not is_finished(record, recipe, tmp_path / "b")


def test_what_a_killed_slice_left_is_brought_and_its_half_written_files_are_not(recipe, tmp_path):
    train_slice(shortened(recipe, 2), tmp_path / "a", minutes=1.0, say=lambda line: None)
    run(shortened(recipe, 3), tmp_path / "a" / "run", say=lambda line: None)
    (tmp_path / "a" / "run" / ".mr2ct-tmp-0123456789ab-last.pt").write_bytes(b"half")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "state.1of2").touch()
    bring(tmp_path / "a", tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["bundle", "run", "state.1of1"]
    assert not (tmp_path / "b" / "run" / ".mr2ct-tmp-0123456789ab-last.pt").exists()
    assert standing(tmp_path / "b", {}).steps == 3


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"optimiser": {"learning_rate": 0.5}}, r"optimiser.learning_rate: 0.001 -> 0.5"),
        ({"init_from": "brain-pix2pix"}, "init_from: None -> brain-pix2pix"),
        ({"network": {"arguments": {"widths": [2, 6]}}}, r"network.arguments.widths: \[2, 4\] -> \[2, 6\]"),
        ({"data": {"stores": [{"path": "stores/other"}]}}, "data.stores: .*'real'.* -> .*'other'"),
    ],
)
def test_a_run_does_not_go_on_with_other_settings(small_recipe, recipe, tmp_path, sections, said):
    with pytest.raises(RecipeError, match=f"tiny was trained with other settings .*{said}.*another --out"):
        require_same_settings(parse_recipe(small_recipe(**sections)), parse_recipe(small_recipe()), tmp_path / "tiny")


def test_slices_may_differ_in_how_long_they_are_what_they_run_on_and_where_the_stores_lie(small_recipe, tmp_path):
    run_section = {"max_steps": 9, "max_minutes": 1, "accelerator": "cuda", "precision": "bf16-mixed", "compile": False}
    data = {"stores": [{"path": "elsewhere/real"}], "split": "elsewhere/real/split.json", "workers": 2}
    before = parse_recipe(small_recipe(data={"split": "stores/real/split.json"}))
    require_same_settings(parse_recipe(small_recipe(run=run_section, data=data)), before, tmp_path)


def test_patches_are_refused(small_recipe):
    recipe = parse_recipe(small_recipe(data={"context_slices": None, "size": [16, 16, 16]}))
    with pytest.raises(RecipeError, match="not trained in slices"):
        require_trainable(recipe)


@pytest.mark.parametrize("method", ["supervised", "pix2pix", "cyclegan"])
def test_what_can_be_trained_is_let_pass(small_recipe, method):
    require_trainable(parse_recipe(small_recipe(method, data={"case_weights": None})))


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"data": {"stores": [{"path": "stores/nope"}]}}, "stores/nope is not a store"),
        ({"data": {"split": "no/split.json"}}, "no split file"),
        ({"init_from": "nonsense"}, "nonsense"),
        ({"network": {"name": "nonsense"}}, "nonsense"),
        ({"method": {"name": "pix2pix", "discriminator": {"name": "nonsense"}}}, "nonsense"),
        ({"data": {"case_weights": "no.csv"}}, "no.csv"),
    ],
)
def test_what_training_would_refuse_is_refused_before(small_recipe, sections, said):
    with pytest.raises(Mr2ctError, match=said):
        require_trainable(parse_recipe(small_recipe(**sections)))


def test_a_run_that_goes_on_needs_no_weights_to_begin_with(small_recipe):
    require_trainable(parse_recipe(small_recipe(init_from="gone")), begins=False)
