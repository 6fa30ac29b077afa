"""`mr2ct train` as a whole: every recipe that ships, slices, slabs and patches, resuming, fine-tuning, refusals."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from mr2ct.bundles import load_bundle, load_network
from mr2ct.cli.main import app
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.training.checkpoint import read_checkpoint
from mr2ct.training.recipe import read_recipe
from mr2ct.training.result import model_to_start_from
from mr2ct.volume import Quantity, Volume

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
SMALLER = {
    "attention_unet": ["network.arguments.widths=[4, 8]"],
    "multiscale_attention": ["network.arguments.widths=[4, 8]"],
    "pix2pix_unet": ["network.arguments.width=4", "network.arguments.levels=2"],
    "resnet": ["network.arguments.width=4", "network.arguments.blocks=1"],
}


def mr2ct(*words: Any, code: int = 0) -> str:
    """Run the command in this process and return what it said."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def metrics(folder: Path) -> list[tuple[str, str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [(row["step"], row["kind"], row["name"]) for row in csv.DictReader(file)]


@pytest.fixture
def recipe_file(small_recipe, tmp_path):
    """Write a small recipe and return its path; arguments as for `small_recipe`."""

    def write(*method: str, **sections: Any) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(small_recipe(*method, **sections)))
        return path

    return write


@pytest.fixture
def small_mr(tmp_path) -> Path:
    """An MR of 40 x 36 x 34 voxels, flipped and a little oblique to the axes."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 36, 34)), indexing="ij")
    voxels = np.where(sum(axis**2 for axis in axes) < 0.7, 300 + 50 * axes[0], 2).astype(np.float32)
    affine = np.array([[-1.0, 0.05, 0, 20], [0.05, 1, 0, -18], [0, 0, 1.1, -15], [0, 0, 0, 1]])
    return write_volume(Volume(voxels, Geometry(voxels.shape, affine), Quantity.MR), tmp_path / "head.nii.gz")


# --- what ships


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_that_ships_trains(path, stores, tmp_path):
    written = yaml.safe_load(path.read_text())
    overrides = [
        f"data.stores=[{{path: {stores['real']}, weight: 0.7}}, {{path: {stores['phantom']}, weight: 0.3}}]",
        "init_from=null",
        "data.split=null",
        "data.validation_patients=1",
        "data.test_patients=1",
        "data.size=[24, 28]",
        "data.batch_size=2",
        "run.max_steps=4",
        "run.validate_every=2",
        *SMALLER[written["network"]["name"]],
    ]
    if "discriminator" in written["method"]:
        overrides += ["method.discriminator.arguments.width=4", "method.discriminator.arguments.levels=2"]
    if written["method"]["name"] == "pix2pix":
        overrides += ["method.adversarial_from=2"]
    if written["method"]["name"] == "cyclegan":
        overrides += [
            f"data.stores=[{{path: {stores['real']}}}]",
            f"data.paired_stores=[{{path: {stores['phantom']}}}]",
            "method.pairs_alone_steps=2",
        ]
    said = mr2ct("train", path, "-o", tmp_path / "run", *overrides)
    assert "finished after 4 steps, best MAE" in said
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.description.name == written["name"]
    assert bundle.description.method == written["method"]["name"]
    assert bundle.description.metrics["validation_mae_hu"] > 0
    load_network(bundle)
    resolved = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert written["optimiser"].items() <= resolved["optimiser"].items()
    assert bundle.description.licence == resolved["bundle"]["licence"]
    assert bundle.description.training_data == resolved["bundle"]["training_data"]
    (step,) = bundle.description.provenance.training
    assert len(step.sources_sha256) == 64
    assert {"commands.jsonl", "split.json", "metrics.csv", "last.pt", "best.pt", "tensorboard"} <= {
        left.name for left in (tmp_path / "run").iterdir()
    }


# --- kinds of boxes, and the bundle converts


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {"context_slices": 1, "patch_size": None}),
        ({"context_slices": 3, "planes": ["axial"]}, {"context_slices": 3, "planes": ["axial"], "patch_size": None}),
        (
            {"context_slices": None, "size": [32, 32, 24]},
            {"context_slices": 0, "planes": [], "patch_size": [32, 32, 24]},
        ),
    ],
    ids=["2-D", "2.5-D", "3-D"],
)
def test_slices_slabs_and_patches_become_bundles_that_convert(data, expected, recipe_file, small_mr, tmp_path):
    mr2ct("train", recipe_file(data=data), "-o", tmp_path / "run", "run.max_steps=2", "run.precision=bf16-mixed")
    description = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text())
    assert {key: description[key] for key in expected} == expected
    assert description["spacing_mm"] == [1.0, 1.0, 1.0]
    assert [step["name"] for step in description["preprocessing"]["steps"]][:2] == ["to_canonical", "to_spacing"]
    mr2ct("convert", small_mr, "-o", tmp_path / "out", "--model", tmp_path / "run" / "bundle", "--device", "cpu")
    sct, mr = read_volume(tmp_path / "out" / "head_sct.nii.gz", quantity=Quantity.HU), read_volume(small_mr)
    assert sct.geometry.shape == mr.geometry.shape
    np.testing.assert_array_equal(sct.geometry.affine, mr.geometry.affine)
    assert -1024 <= sct.voxels.min() < sct.voxels.max() <= 3071


def test_where_nobody_is_held_out_the_score_is_that_of_training(recipe_file, stores, tmp_path):
    phantoms = f"data.stores=[{{path: {stores['phantom']}}}]"
    said = mr2ct("train", recipe_file(), "-o", tmp_path / "run", phantoms, "run.max_steps=1")
    assert "HU on cases that trained" in said
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert set(bundle.description.metrics) >= {"training_mae_hu"}
    assert "validation" not in "".join(bundle.description.metrics)
    assert "## In training\n" in bundle.card
    assert "held-out" not in bundle.card
    # as a student reads it: the command on the card, with the folder that it speaks of
    assert "--model FOLDER_OF_THIS_CARD" in bundle.card


def test_unpaired_patients_are_enough_for_cyclegan(small_recipe, write_heads, tmp_path):
    root = write_heads(tmp_path / "unpaired", ["m1", "m2", "m3"], has="mr")
    write_heads(root, ["c1", "c2", "c3"], has="ct")
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(small_recipe("cyclegan", data={"stores": [{"path": str(root)}]})))
    said = mr2ct("train", path, "-o", tmp_path / "run", "run.max_steps=2")
    assert "finished after 2 steps\n" in said
    assert load_bundle(tmp_path / "run" / "bundle").description.metrics == {}


def test_the_bundle_states_the_spacing_of_the_store(recipe_file, write_heads, tmp_path):
    root = write_heads(tmp_path / "coarse", ["p1", "p2", "p3"])
    description = json.loads((root / "store.json").read_text())
    description["settings"]["pipeline"]["steps"][1]["arguments"]["spacing_mm"] = 2.0
    (root / "store.json").write_text(json.dumps(description))
    mr2ct(
        "train", recipe_file(data={"stores": [{"path": str(root)}]}), "-o", tmp_path / "run", "run.max_steps=1"
    )  # fmt: skip
    assert load_bundle(tmp_path / "run" / "bundle").description.spacing_mm == (2.0, 2.0, 2.0)


# --- resuming


def test_resume_goes_on_to_the_same_weights(recipe_file, tmp_path, differences):
    recipe = recipe_file()
    # a schedule that does not depend on where the run ends: the first part ends early
    steady = ["optimiser.decay=constant", "run.validate_every=100"]
    mr2ct("train", recipe, "-o", tmp_path / "whole", *steady)
    mr2ct("train", recipe, "-o", tmp_path / "parts", *steady, "run.max_steps=3")
    said = mr2ct("train", recipe, "-o", tmp_path / "parts", *steady, "--resume")
    assert "finished after 6 steps" in said
    whole, parts = (read_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert differences(parts["method"], whole["method"]) == []
    assert ("3", "validation", "mae_hu") in metrics(tmp_path / "parts")
    assert ("6", "validation", "mae_hu") in metrics(tmp_path / "parts")
    assert yaml.safe_load((tmp_path / "parts" / "recipe.yaml").read_text())["run"]["max_steps"] == 6
    split = [(tmp_path / name / "split.json").read_text() for name in ("whole", "parts")]
    assert split[0] == split[1]


def test_a_run_folder_is_not_begun_twice(recipe_file, tmp_path):
    recipe = recipe_file()
    mr2ct("train", recipe, "-o", tmp_path / "run", "run.max_steps=1")
    said = mr2ct("train", recipe, "-o", tmp_path / "run", "run.max_steps=1", code=2)
    assert "holds a run already; go on with --resume, or name another folder with --output" in said


def test_nothing_to_resume_is_an_error(recipe_file, tmp_path):
    said = mr2ct("train", recipe_file(), "-o", tmp_path / "run", "--resume", code=2)
    assert "nothing to resume in" in said
    assert "name the run's folder with --output" in said
    assert not (tmp_path / "run").exists()


def test_a_resumption_that_is_refused_changes_nothing(recipe_file, tmp_path):
    mr2ct("train", recipe_file(), "-o", tmp_path / "run", "run.max_steps=1")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    other = ["network.arguments.widths=[2, 6]", "data.validation_patients=2"]
    said = mr2ct("train", recipe_file(), "-o", tmp_path / "run", *other, "--resume", code=2)
    assert "is of another recipe" in said
    assert "size mismatch" in said
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_the_recipe_in_a_run_s_folder_resumes_that_run(recipe_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mr2ct("train", recipe_file(), "run.max_steps=1")
    mr2ct("train", recipe_file(), "-o", "moved", "run.max_steps=2")
    (default,) = Path("runs").iterdir()
    before = (default / "last.pt").read_bytes()
    said = mr2ct("train", "moved/recipe.yaml", "run.max_steps=3", "--resume")
    assert f"model: {Path('moved', 'bundle')}" in said
    assert "finished after 3 steps" in said
    assert (default / "last.pt").read_bytes() == before


def test_a_run_that_a_person_stopped_does_not_pass_for_done(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr("mr2ct.training.run.stop_on_signals", lambda: contextlib.nullcontext(lambda: True))
    said = mr2ct("train", recipe_file(), "-o", tmp_path / "run", code=130)
    assert "stopped after 1 steps" in said
    assert load_bundle(tmp_path / "run" / "bundle")


def test_stores_of_z_scores_are_not_augmented_to_black(recipe_file, stores, tmp_path):
    scored = shutil.copytree(stores["real"], tmp_path / "scored")
    description = json.loads((scored / "store.json").read_text())
    description["settings"]["pipeline"]["steps"].append({"name": "z_score", "arguments": {}})
    (scored / "store.json").write_text(json.dumps(description))
    recipe = recipe_file(data={"stores": [{"path": str(scored)}]})
    said = mr2ct("train", recipe, "-o", tmp_path / "run", "run.max_steps=1", code=2)
    assert "z-scores cannot be augmented" in said
    assert "data.intensity=null" in said
    mr2ct("train", recipe, "-o", tmp_path / "run", "run.max_steps=1", "data.intensity=null")


@pytest.mark.parametrize(
    "where",
    ["run.fit", "assembly.make_cutter", "assembly.Learner"],
    ids=["in a step", "as the cases are laid on it", "as the networks are"],
)
def test_a_gpu_that_is_too_small_is_said_in_one_line(where, recipe_file, tmp_path, monkeypatch):
    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")

    monkeypatch.setattr(f"mr2ct.training.{where}", exhausted)
    said = mr2ct("train", recipe_file(), "-o", tmp_path / "run", code=2)
    assert "memory is too small for this recipe; got CUDA out of memory. Tried to allocate 2.00 GiB; lower data" in said


def test_commands_of_a_start_without_a_checkpoint_are_no_part_of_the_weights(recipe_file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "commands.jsonl").write_text('{"command": "of a start that died"}\n')
    mr2ct("train", recipe_file(), "-o", tmp_path / "run", "run.max_steps=1")
    (step,) = load_bundle(tmp_path / "run" / "bundle").description.provenance.training
    assert "died" not in step.command


def test_a_start_that_failed_can_be_repeated(recipe_file, tmp_path):
    recipe = recipe_file()
    mr2ct("train", recipe, "-o", tmp_path / "run", "data.validation_patients=0", code=2)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("step,minutes,kind,name,value\n1,0.1,train,l1,0.5\n")
    mr2ct("train", recipe, "-o", tmp_path / "run", "run.max_steps=1")
    assert ("1", "train", "l1") not in metrics(tmp_path / "run")


def test_a_damaged_checkpoint_is_one_line(recipe_file, tmp_path):
    recipe = recipe_file()
    mr2ct("train", recipe, "-o", tmp_path / "run", "run.max_steps=1")
    whole = (tmp_path / "run" / "last.pt").read_bytes()
    (tmp_path / "run" / "last.pt").write_bytes(whole[: len(whole) // 2])
    said = mr2ct("train", recipe, "-o", tmp_path / "run", "--resume", code=2)
    assert "last.pt is damaged" in said


# --- fine-tuning


def test_fine_tuning_starts_from_a_bundle(recipe_file, tmp_path):
    recipe = recipe_file()
    mr2ct("train", recipe, "-o", tmp_path / "first", "run.max_steps=1")
    tuned = ["--init-from", tmp_path / "first" / "bundle", "optimiser.learning_rate=1e-12"]
    mr2ct("train", recipe, "-o", tmp_path / "second", "run.max_steps=1", "name=tuned", *tuned)
    first, second = (load_network(load_bundle(tmp_path / name / "bundle")) for name in ("first", "second"))
    weights = zip(first.named_parameters(), second.named_parameters(), strict=True)
    assert all(np.allclose(one.detach(), other.detach(), atol=1e-6) for (_, one), (_, other) in weights)


def test_a_bundle_that_does_not_fit_is_refused_before_training(recipe_file, tmp_path):
    recipe = recipe_file()
    mr2ct("train", recipe, "-o", tmp_path / "first", "run.max_steps=1")
    start = ["--init-from", tmp_path / "first" / "bundle"]
    said = mr2ct("train", recipe, "-o", tmp_path / "a", "network.arguments.widths=[2, 6]", *start, code=2)
    assert "the model to start from has another network" in said
    said = mr2ct("train", recipe, "-o", tmp_path / "b", "hu_range=[-1000, 2000]", *start, code=2)
    assert "the model to start from has another HU range" in said
    said = mr2ct("train", recipe, "-o", tmp_path / "c", "--init-from", "no-such-model", code=2)
    assert "unknown model; got no-such-model" in said
    assert not any((tmp_path / name).exists() for name in "abc"), "nothing is left of a run that did not start"


def test_images_prepared_otherwise_than_the_model_s_are_warned_of(recipe_file, tmp_path):
    recipe = recipe_file()
    mr2ct("train", recipe, "-o", tmp_path / "first", "run.max_steps=1")
    first = tmp_path / "first" / "bundle"
    assert "warning" not in mr2ct("train", recipe, "-o", tmp_path / "alike", "--init-from", first, "run.max_steps=1")
    description = json.loads((first / "bundle.json").read_text())
    scaling = {"name": "nyul", "arguments": {"landmarks": [0.0, 1.0], "highest": 2.0}}
    description["preprocessing"]["steps"].append(scaling)
    (first / "bundle.json").write_text(json.dumps(description))
    said = mr2ct("train", recipe, "-o", tmp_path / "second", "--init-from", first, "run.max_steps=1")
    assert "learnt from images prepared with nyul highest=2.0, the stores were with no nyul;" in said


def test_the_recipe_of_the_game_goes_on_from_a_shipped_model_that_fits_it():
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "pix2pix.yaml")
    assert model_to_start_from(recipe).description.name == "brain-multiscale-attention"


def test_a_recipe_names_the_model_to_start_from_and_its_resumption_needs_it_no_more(recipe_file, tmp_path):
    recipe, first = recipe_file(), tmp_path / "first" / "bundle"
    mr2ct("train", recipe, "-o", tmp_path / "first", "run.max_steps=1")
    words = ["-o", tmp_path / "second", f"init_from={first}", "optimiser.learning_rate=1e-12"]
    mr2ct("train", recipe, *words, "run.max_steps=1")
    start = load_bundle(first).description.weights_sha256
    shutil.rmtree(first)
    mr2ct("train", recipe, *words, "run.max_steps=2", "--resume")
    steps = load_bundle(tmp_path / "second" / "bundle").description.provenance.training
    assert [step.began_with for step in steps] == [start, ""]


# --- several processes

SEVERAL_RUNS = """
import json, sys
from mr2ct.cli.main import main

for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as ended:
        if ended.code:
            raise
"""


def test_two_processes_train_one_model_and_resume_exactly(recipe_file, stores, tmp_path, differences):
    recipe = recipe_file(
        "cyclegan",
        data={"paired_stores": [{"path": str(stores["phantom"])}], "batch_size": 1},
        optimiser={"decay": "constant", "warmup_steps": 0, "ema_decay": 0.7},
    )
    common = [
        "train",
        str(recipe),
        "run.devices=2",
        "run.accelerator=cpu",
        "run.validate_every=2",
        "method.pool_size=2",
    ]
    # one after the other in one pair of processes, which takes long to start
    runs = [
        [*common, "-o", str(tmp_path / name), *words]
        for name, *words in (
            ("whole", "run.max_steps=4"),
            ("parts", "run.max_steps=2"),
            ("parts", "run.max_steps=4", "--resume"),
        )
    ]
    (tmp_path / "runs.py").write_text(SEVERAL_RUNS)
    command = [sys.executable, str(tmp_path / "runs.py"), json.dumps(runs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # the first process alone speaks
    assert done.stdout.count("finished after 4 steps") == 2
    assert metrics(tmp_path / "whole").count(("4", "validation", "mae_hu")) == 1
    whole, parts = (read_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert differences(parts["method"], whole["method"]) == []
    assert differences(parts["others"], whole["others"]) == []
    # each process drew its own boxes, and its own dropout
    pools = [state["ct_pool"]["images"][0] for state in (whole["method"], whole["others"][0]["own"])]
    assert not np.array_equal(*pools)
    assert not np.array_equal(whole["random"], whole["others"][0]["random"])
