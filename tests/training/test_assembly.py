"""From a recipe to cases, sides and batches: who trains, who validates, and that no patient is on both sides."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision

from mr2ct.datasets.case_weights import write_case_weights
from mr2ct.datasets.splits import Split, write_split
from mr2ct.datasets.store import CaseStore, create_store
from mr2ct.errors import DataSetError, Mr2ctError
from mr2ct.training.assembly import (
    batch_source,
    build_generator,
    build_method,
    common_preprocessing,
    network_arguments,
    open_cases,
    unpaired_sides,
)
from mr2ct.training.learner import update
from mr2ct.training.recipe import DataSettings, StoreSettings, parse_recipe
from mr2ct.training.sides import SIDES, Sides, read_sides


def data(*paths, **settings) -> DataSettings:
    known = {"validation_patients": 1, "test_patients": 1}
    return DataSettings(stores=[{"path": str(path)} for path in paths], **{**known, **settings})


def names(cases) -> set[str]:
    return {case.info.case for case in cases}


def trained_on(cases) -> set[str]:
    return {case.info.case for pool in cases.train for case in pool.cases}


# --- cases


def test_patients_are_split_and_nothing_is_written_before_the_run_begins(stores, tmp_path):
    cases = open_cases(data(stores["real"]), seed=1, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert trained_on(cases) == {c.info.case for c in CaseStore.open(stores["real"]).cases} - names(
        CaseStore.open(stores["real"]).of_patients(cases.split.validation + cases.split.test)
    )
    assert names(cases.validation) == names(CaseStore.open(stores["real"]).of_patients(cases.split.validation))


def test_a_split_file_is_obeyed(stores, tmp_path):
    split = Split(train=("p1", "p2", "p3"), validation=("p4", "p5"), test=("p6",), seed=0)
    write_split(split, tmp_path / "mine.json")
    cases = open_cases(data(stores["real"], split=str(tmp_path / "mine.json")), seed=1, folder=tmp_path)
    assert trained_on(cases) == {"p1", "p2", "p3"}
    assert names(cases.validation) == {"p4", "p5-axial"}


def test_a_patient_whom_the_split_does_not_know_is_an_error(stores, tmp_path):
    write_split(Split(train=("p1",), validation=("p4",), test=(), seed=0), tmp_path / "mine.json")
    with pytest.raises(DataSetError, match="in no side of the split"):
        open_cases(data(stores["real"], split=str(tmp_path / "mine.json")), seed=1, folder=tmp_path)


def test_a_split_left_by_a_failed_start_is_not_taken_up_but_a_run_s_own_is(stores, tmp_path):
    other = Split(train=("p1", "p2", "p3", "p4"), validation=("p5",), test=("p6",), seed=0)
    write_split(other, tmp_path / "split.json")
    fresh = open_cases(data(stores["real"], validation_patients=2), seed=1, folder=tmp_path)
    assert len(fresh.split.validation) == 2
    write_split(fresh.split, tmp_path / "split.json")
    (tmp_path / "last.pt").touch()
    resumed = open_cases(data(stores["real"], validation_patients=1), seed=99, folder=tmp_path)
    assert resumed.split == fresh.split


def test_phantoms_train_and_are_never_held_out(stores, tmp_path):
    cases = open_cases(data(stores["real"], stores["phantom"]), seed=1, folder=tmp_path)
    assert {"f1", "f2"} <= trained_on(cases)
    assert not {"f1", "f2"} & names(cases.validation)
    assert not {"f1", "f2"} & cases.split.patients


def test_a_phantom_trains_and_does_not_validate_wherever_the_split_file_has_it(stores, tmp_path):
    split = Split(train=("p1", "p2", "p3"), validation=("p4", "f1"), test=("p5", "p6", "f2"))
    write_split(split, tmp_path / "mine.json")
    chosen = data(stores["real"], stores["phantom"], split=str(tmp_path / "mine.json"))
    cases = open_cases(chosen, seed=1, folder=tmp_path)
    assert trained_on(cases) == {"p1", "p2", "p3", "f1", "f2"}
    assert names(cases.validation) == {"p4"}


def test_phantoms_alone_train_and_validate(stores, tmp_path):
    cases = open_cases(data(stores["phantom"]), seed=1, folder=tmp_path)
    assert trained_on(cases) == names(cases.validation) == {"f1", "f2"}


def test_pairs_never_include_held_out_patients(stores, tmp_path):
    cases = open_cases(data(stores["real"], paired_stores=[{"path": str(stores["real"])}]), seed=1, folder=tmp_path)
    held_out = set(cases.split.validation + cases.split.test)
    assert not held_out & {case.info.patient for pool in cases.pairs for case in pool.cases}


def test_unpaired_data_may_be_trained_without_validation_or_validated_on_pairs(stores, write_heads, tmp_path):
    root = write_heads(tmp_path / "unpaired", ["m1", "m2", "m3"], has="mr")
    write_heads(root, ["c1", "c2", "c3"], has="ct")
    assert open_cases(data(root), seed=1, folder=tmp_path).validation == ()
    with_pairs = data(root, paired_stores=[{"path": str(stores["phantom"])}])
    assert names(open_cases(with_pairs, seed=1, folder=tmp_path).validation) == {"f1", "f2"}


def test_paired_data_without_validation_patients_is_an_error(stores, tmp_path):
    with pytest.raises(DataSetError, match="no paired case to validate on; .*data.validation_patients"):
        open_cases(data(stores["real"], validation_patients=0), seed=1, folder=tmp_path)
    everyone = tuple(open_cases(data(stores["real"]), seed=1, folder=tmp_path).split.patients)
    write_split(Split(train=everyone, validation=(), test=(), seed=0), tmp_path / "mine.json")
    with pytest.raises(DataSetError, match="to validate on; .*mr2ct preprocess --split"):
        open_cases(data(stores["real"], split=str(tmp_path / "mine.json")), seed=1, folder=tmp_path)


def test_a_run_without_cases_is_an_error(tmp_path):
    create_store(tmp_path / "empty", settings={})
    with pytest.raises(DataSetError, match="no case left to train on"):
        open_cases(data(tmp_path / "empty"), seed=1, folder=tmp_path)


@pytest.fixture
def unpaired(small_recipe, stores, write_heads, tmp_path):
    """A recipe of two patients with an MR, one with a CT and six with both, none of them held out."""
    root = write_heads(tmp_path / "some", ["m1", "m2"], has="mr")
    write_heads(root, ["c1"], has="ct")
    paths = [{"path": str(root)}, {"path": str(shutil.copytree(stores["real"], tmp_path / "real"))}]
    pairs = [{"path": str(stores["phantom"])}]
    held_out = {"validation_patients": 0, "test_patients": 0}
    return parse_recipe(small_recipe("cyclegan", data={"stores": paths, "paired_stores": pairs, **held_out}))


def begun(recipe, fabric, folder) -> Sides:
    """The sides that lie in a run's folder once its first batch is made."""
    folder.mkdir(exist_ok=True)
    cases = open_cases(recipe.data, seed=recipe.seed, folder=folder)
    next(iter(batch_source(recipe, cases, fabric, folder=folder)(0)))
    return read_sides(folder / SIDES)


def test_unpaired_sides_share_no_patient_and_are_written(unpaired, fabric, tmp_path):
    sides = begun(unpaired, fabric, tmp_path / "run")
    assert not set(sides.mr) & set(sides.ct)
    assert {"m1", "m2"} <= set(sides.mr)
    assert "c1" in sides.ct
    assert [len([p for p in side if p[0] == "p"]) for side in (sides.mr, sides.ct)] == [3, 3]
    assert begun(unpaired, fabric, tmp_path / "again") == sides


def test_a_run_that_goes_on_keeps_its_sides(unpaired, fabric, write_heads, tmp_path):
    run, real = tmp_path / "run", tmp_path / "real"
    first = begun(unpaired, fabric, run)
    (run / "last.pt").touch()
    left = first.mr[-1]
    for case in CaseStore.open(real).of_patients([left]):
        shutil.rmtree(case.folder)
    write_heads(real, ["f3", "f4"], source="phantom")
    # with one of both sides gone and two come, a draw of all would change sides
    second = begun(unpaired, fabric, run)
    assert set(first.mr) <= set(second.mr)
    assert set(first.ct) <= set(second.ct)
    assert {*second.mr, *second.ct} - {*first.mr, *first.ct} == {"f3", "f4"}
    cases = open_cases(unpaired.data, seed=unpaired.seed, folder=run)
    assert second != unpaired_sides(cases.train, seed=unpaired.seed, folder=tmp_path / "new")


def test_sides_left_by_a_start_that_failed_are_drawn_anew_and_damaged_ones_refused(unpaired, fabric, tmp_path):
    run = tmp_path / "run"
    first = begun(unpaired, fabric, run)
    (run / SIDES).write_text("{")
    assert begun(unpaired, fabric, run) == first
    (run / SIDES).write_text("{")
    (run / "last.pt").touch()
    with pytest.raises(DataSetError, match="unpaired.json does not say which patients gave MR"):
        begun(unpaired, fabric, run)


def test_sides_are_not_written_before_the_run_goes_on(unpaired, fabric, tmp_path):
    cases = open_cases(unpaired.data, seed=unpaired.seed, folder=tmp_path)
    batch_source(unpaired, cases, fabric, folder=tmp_path)
    assert not (tmp_path / SIDES).exists()


# --- preprocessing


def test_stores_must_be_prepared_alike(stores, write_heads, tmp_path):
    settings = [StoreSettings(path=str(path)) for path in stores.values()]
    assert common_preprocessing(settings)["steps"][0]["name"] == "to_canonical"
    root = write_heads(tmp_path / "other", ["o1"])
    description = json.loads((root / "store.json").read_text())
    assert description["settings"]["pipeline"]["steps"].pop()["name"] == "clip_hu"
    (root / "store.json").write_text(json.dumps(description))
    with pytest.raises(DataSetError, match=r"not prepared in the same way; got .*other: steps.4.name = None"):
        common_preprocessing([*settings, StoreSettings(path=str(root))])
    create_store(tmp_path / "none", settings={})
    with pytest.raises(DataSetError, match="got .*none: no pipeline"):
        common_preprocessing([StoreSettings(path=str(tmp_path / "none"))])


def test_other_arguments_of_the_same_steps_are_stated_of_both_stores(write_heads, tmp_path):
    first, second = (write_heads(tmp_path / name, [name]) for name in ("fine", "coarse"))
    description = json.loads((second / "store.json").read_text())
    description["settings"]["pipeline"]["steps"][1]["arguments"]["spacing_mm"] = 2.0
    (second / "store.json").write_text(json.dumps(description))
    with pytest.raises(DataSetError) as refused:
        common_preprocessing([StoreSettings(path=str(root)) for root in (first, second)])
    assert f"got {second}: steps.1.arguments.spacing_mm = 2.0; expected {first}: steps.1.argum" in str(refused.value)
    assert "spacing_mm = 1.0; prepare them anew" in str(refused.value)


def test_learnt_landmarks_may_differ(tmp_path):
    paths = []
    for landmarks in ([1, 2], [3, 4]):
        steps = [{"name": "nyul", "arguments": {"landmarks": landmarks}}]
        create_store(tmp_path / str(landmarks[0]), settings={"pipeline": {"format_version": 1, "steps": steps}})
        paths.append(StoreSettings(path=str(tmp_path / str(landmarks[0]))))
    assert common_preprocessing(paths)["steps"][0]["arguments"] == {"landmarks": [1, 2]}


# --- batches and networks


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ({}, (2, 1, 24, 24)),
        ({"context_slices": 3}, (2, 3, 24, 24)),
        ({"context_slices": None, "size": [8, 12, 16]}, (2, 1, 8, 12, 16)),
    ],
)
def test_batches_fit_the_network_of_the_recipe(kind, shape, small_recipe, fabric, tmp_path):
    recipe = parse_recipe(small_recipe(data=kind))
    cases = open_cases(recipe.data, seed=recipe.seed, folder=tmp_path)
    batch = next(iter(batch_source(recipe, cases, fabric, folder=tmp_path)(0)))
    assert tuple(batch["mr"].shape) == shape
    assert batch["ct"].shape == batch["mask"].shape == (2, 1, *shape[2:])
    assert build_generator(recipe)(batch["mr"]).shape == batch["ct"].shape
    assert network_arguments(recipe)["in_channels"] == shape[1]
    layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    assert batch["mr"].is_contiguous(memory_format=layout)


def test_a_source_may_begin_at_any_step(small_recipe, stores, fabric, tmp_path, differences):
    recipe = parse_recipe(small_recipe("cyclegan", data={"paired_stores": [{"path": str(stores["phantom"])}]}))
    cases = open_cases(recipe.data, seed=recipe.seed, folder=tmp_path)
    source = batch_source(recipe, cases, fabric, folder=tmp_path)
    from_start, later = list(source(0)), list(source(4))
    assert len(from_start) == recipe.run.max_steps
    assert differences(from_start[4:], later) == []
    assert {"mr", "mr_mask", "ct", "ct_mask", "pair_mr", "pair_ct", "pair_mask"} <= from_start[0].keys()
    assert differences(from_start[0], from_start[1]) != []


@pytest.mark.parametrize("method", ["supervised", "pix2pix", "cyclegan"])
@pytest.mark.parametrize("three_d", [False, True])
def test_every_method_takes_a_step_in_two_and_three_dimensions(method, three_d, small_recipe, fabric, tmp_path):
    kind = {"context_slices": None, "size": [16, 16, 16]} if three_d else {}
    recipe = parse_recipe(small_recipe(method, data=kind))
    cases = open_cases(recipe.data, seed=recipe.seed, folder=tmp_path)
    batch = next(iter(batch_source(recipe, cases, fabric, folder=tmp_path)(0)))
    terms = build_method(recipe, build_generator(recipe), fabric).train_step(batch)
    assert all(torch.isfinite(term) for term in terms.values())


def test_pix2pix_sees_slabs(small_recipe, fabric, tmp_path):
    recipe = parse_recipe(small_recipe("pix2pix", data={"context_slices": 3}))
    cases = open_cases(recipe.data, seed=recipe.seed, folder=tmp_path)
    batch = next(iter(batch_source(recipe, cases, fabric, folder=tmp_path)(0)))
    assert "discriminator" in build_method(recipe, build_generator(recipe), fabric).train_step(batch)


def test_a_slice_too_small_for_the_discriminator_is_refused_in_words(small_recipe, fabric, tmp_path):
    recipe = parse_recipe(small_recipe("pix2pix", data={"size": [8, 8]}))
    cases = open_cases(recipe.data, seed=recipe.seed, folder=tmp_path)
    batch = next(iter(batch_source(recipe, cases, fabric, folder=tmp_path)(0)))
    with pytest.raises(Mr2ctError, match="too small for the discriminator; got 8 x 8; .*data.size"):
        build_method(recipe, build_generator(recipe), fabric).train_step(batch)


# --- optimisers


@pytest.mark.parametrize(("precision", "fused"), [("32-true", True), ("bf16-mixed", True), ("16-mixed", False)])
def test_a_gpu_s_optimiser_is_fused_where_its_gradient_can_be_clipped(small_recipe, monkeypatch, precision, fused):
    monkeypatch.setattr("mr2ct.training.assembly.on_gpu", lambda fabric: True)
    # Fabric itself takes bfloat16 for 16-mixed on a CPU
    plugin = Precision() if precision == "32-true" else MixedPrecision(precision, device="cpu")
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[plugin])
    optimiser = {"name": "adamw", "clip_norm": 1.0}
    recipe = parse_recipe(small_recipe(optimiser=optimiser, run={"precision": precision, "compile": False}))
    learner = build_method(recipe, build_generator(recipe), fabric).generator
    before = [weights.clone() for weights in learner.network.parameters()]
    for _ in range(16):  # the scale of float16 is halved until the gradient fits
        update(learner(torch.rand(1, 1, 24, 24)).square().mean(), [learner])
    assert {bool(group["fused"]) for group in learner._groups} == {fused}
    assert any(not torch.equal(*pair) for pair in zip(before, learner.network.parameters(), strict=True))


# --- case weights


def test_case_weights_reach_the_pools_and_leave_out_what_weighs_nothing(stores, tmp_path):
    write_split(Split(train=("p1", "p2", "p3"), validation=("p4", "p5"), test=("p6",), seed=0), tmp_path / "mine.json")
    write_case_weights({"p1": 0.25, "p2": 0.0, "p4": 0.0}, tmp_path / "weights.csv")
    settings = {"split": str(tmp_path / "mine.json"), "case_weights": str(tmp_path / "weights.csv")}
    cases = open_cases(data(stores["real"], stores["phantom"], **settings), seed=1, folder=tmp_path)
    assert trained_on(cases) == {"p1", "p3", "f1", "f2"}
    assert cases.train[0].case_weights == {"p1": 0.25, "p2": 0.0, "p4": 0.0}
    # validation is not weighted
    assert names(cases.validation) == {"p4", "p5-axial"}


def test_weights_of_other_cases_are_an_error(stores, tmp_path):
    write_case_weights({"q1": 0.25}, tmp_path / "weights.csv")
    with pytest.raises(DataSetError, match="weights of none of the cases; got q1"):
        open_cases(data(stores["real"], case_weights=str(tmp_path / "weights.csv")), seed=1, folder=tmp_path)


@pytest.mark.parametrize("asked", [{}, {"short_field": 0.3}, {"short_field": 0.9, "short_field_tilt_deg": 40}])
def test_short_fields_are_the_recipe_s(asked, small_recipe, fabric, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("mr2ct.training.assembly.ShortField", lambda **how: made.append(how))
    recipe = parse_recipe(small_recipe("supervised", data=asked))
    batch_source(recipe, open_cases(recipe.data, seed=recipe.seed, folder=tmp_path), fabric, folder=tmp_path)
    expected = {"share": asked.get("short_field"), "tilt_deg": asked.get("short_field_tilt_deg", 0.0)}
    assert made == ([expected] if asked else [])
