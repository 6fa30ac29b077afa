"""scripts/train_zoo.sh on a machine with little installed: a slice, one that goes on from it, and a packed store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from mr2ct.bundles import load_bundle
from mr2ct.datasets.packing import pack_store, packed_parts, whole_cases
from mr2ct.datasets.splits import Split, write_split
from mr2ct.datasets.store import CaseInfo, CaseStore, create_store, finished_cases, write_case
from mr2ct.preprocessing.pipeline import default_pipeline
from mr2ct.training.parcel import read_parcel

ROOT = Path(__file__).parents[2]
ABSENT = ["typer", "SimpleITK", "nibabel", "pydicom", "matplotlib", "scipy", "monai", "tensorboard", "PIL", "torchio"]
LARGEST = 15_000_000
NO_TIME = 1e-9  # over before the first recipe


def write_phantom_slices(root: Path) -> None:
    """A store of nine small phantom slices of three made-up patients, with a split."""
    from mr2ct.phantom import CONTRASTS, head_phantom, simulate_ct, simulate_mr

    create_store(root, settings={"pipeline": default_pipeline().to_record()})
    for number in range(3):
        head = head_phantom(number, shape=(48, 48, 48), spacing_mm=5.0)
        mr, ct = simulate_mr(head, CONTRASTS["t1_mprage"], seed=number).voxels, simulate_ct(head, number).voxels
        mask = ct > -500
        for axis, plane in enumerate(("sagittal", "coronal", "axial")):
            thin = [np.take(image, [24], axis) for image in (mr / np.percentile(mr, 99), ct, mask)]
            info = CaseInfo(f"p{number}-{plane}", f"p{number}", "A", "real", thin[0].shape, np.eye(4).tolist(), {})
            write_case(root, info=info, mr=thin[0], ct=thin[1], mask=thin[2])
    write_split(Split(train=("p0", "p1"), validation=("p2",), test=(), seed=0), root / "split.json")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of the smallest attention U-Net on the store `stores/tiny` of the working folder."""
    content = {
        "name": "tiny",
        "method": {"name": "supervised"},
        "network": {"name": "attention_unet", "arguments": {"widths": [2, 4]}},
        "data": {"stores": [{"path": "stores/tiny"}], "split": "stores/tiny/split.json", "size": [16, 16]},
        "run": {"max_steps": 100_000, "precision": "32-true"},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def call(tmp_path: Path):
    """Run a script with the interpreter of the tests, where what `ABSENT` names is as if not installed."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n")
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": f"{blocked}{os.pathsep}{ROOT / 'src'}",
        "OMP_NUM_THREADS": "1",
    }

    def run(*words: object, ends: int = 0, **more: str) -> str:
        done = subprocess.run(
            list(map(str, words)),
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_two_slices_of_a_run_from_a_packed_store(call, recipe, tmp_path):
    write_phantom_slices(tmp_path / "stores" / "tiny")
    call(sys.executable, ROOT / "scripts/pack_store.py", "pack", "stores/tiny", "packed")
    shutil.rmtree(tmp_path / "stores")
    train = [ROOT / "scripts/train_zoo.sh", "--device", "cpu", "--minutes", "0.15", "--packed", "packed"]
    said = call(*train, "--out", "first", "--set", "data.batch_size=1", recipe)
    assert "stores/tiny: 9 cases unpacked" in said
    assert "% of the peak" in said
    first = json.loads((tmp_path / "first/zoo.json").read_text())["recipes"]["tiny"]
    assert first["ended"] == "out of time"
    assert first["scores"].keys() >= {"mae_hu", "mae_hu_axial", "mae_hu_coronal", "mae_hu_sagittal"}
    assert first["curve"]["validation/mae_hu"]
    # the first slice's folder came back, and another machine goes on from it
    said = call(*train, "--from", "first", "--out", "second", "--set", "data.batch_size=1", recipe)
    assert "second/tiny: brought from first/tiny" in said
    assert "going on from second/tiny/state" in said
    assert "| tiny |" in said
    second = json.loads((tmp_path / "second/zoo.json").read_text())["recipes"]["tiny"]
    assert second["steps"] > first["steps"] > 0
    files = [path for path in (tmp_path / "second").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == [
        "MODEL_CARD.md", "bundle.json", "state.1of1", "weights.safetensors", "zoo.json"
    ]  # fmt: skip
    assert all(path.stat().st_size < LARGEST for path in files)
    bundle = load_bundle(tmp_path / "second/tiny/bundle")
    assert bundle.description.metrics["validation_mae_hu"] == second["scores"]["mae_hu"]


def test_an_unpacking_that_was_cut_off_is_gone_on_with(tmp_path, recipe, monkeypatch, script, capsys):
    monkeypatch.chdir(tmp_path)
    root, zoo = Path("stores/tiny"), script("train_zoo")
    write_phantom_slices(root)
    pack_store(root, Path("packed/tiny"), cases=whole_cases(CaseStore.open(root).cases), part_bytes=30_000)
    assert len(packed_parts(Path("packed/tiny"))) > 1
    monkeypatch.setattr(zoo, "_train", lambda *_, **__: {})
    words = ["--out", "out", "--packed", "packed", str(recipe)]
    for case in ("p0-axial", "p2-sagittal"):
        shutil.rmtree(root / "cases" / case)
    left = {path: path.stat().st_mtime_ns for path in root.rglob("*.npy")}
    zoo.main(words)
    assert "stores/tiny: 9 cases unpacked" in capsys.readouterr().out
    assert len(finished_cases(root)) == 9
    assert {path: path.stat().st_mtime_ns for path in left} == left
    zoo.main(words)
    assert "unpacked" not in capsys.readouterr().out


def test_a_store_that_the_parts_are_slices_of_stays_as_it_is(tmp_path, recipe, monkeypatch, script, capsys):
    monkeypatch.chdir(tmp_path)
    root, zoo = Path("stores/tiny"), script("train_zoo")
    write_phantom_slices(root)
    pack_store(root, Path("packed/tiny"), cases=whole_cases(CaseStore.open(root).cases))
    monkeypatch.setattr(zoo, "_train", lambda *_, **__: {})
    (root / "cases" / "p0-axial").rename(root / "cases" / "p0")
    zoo.main(["--out", "out", "--packed", "packed", str(recipe)])
    assert "unpacked" not in capsys.readouterr().out
    assert "p0-axial" not in finished_cases(root)


def test_what_is_missing_is_named_with_the_line_that_installs_it(call, tmp_path):
    (tmp_path / "blocked" / "sitecustomize.py").write_text("import sys\nsys.modules['lightning_fabric'] = None\n")
    said = call(ROOT / "scripts/train_zoo.sh", "--help", ends=1)
    assert "pip install 'lightning-fabric==" in said
    assert "--wheels" in said


@pytest.mark.parametrize(("folder", "said"), [("nosuch", "no folder nosuch; expected"), (".", "no wheel (*.whl) in")])
def test_a_folder_without_wheels_is_named(call, folder, said):
    assert call(ROOT / "scripts/train_zoo.sh", "--wheels", folder, "--help", ends=1).startswith(f"error: {said}")


@pytest.mark.parametrize("minutes", [0, -5, "nan"])
def test_no_time_is_an_error_and_leaves_nothing(train, minutes):
    with pytest.raises(SystemExit, match=f"error: no time to train in; got --minutes {minutes}; expected"):
        train("--out", "out", minutes=minutes)
    assert not Path("out").exists()


def test_an_error_is_a_sentence(tmp_path, recipe, monkeypatch, script):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"error: stores/tiny is not a store"):
        script("train_zoo").main(["--out", "out", "--device", "cpu", str(recipe)])


@pytest.fixture(scope="module")
def phantom_slices(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms") / "tiny"
    write_phantom_slices(root)
    return root


@pytest.fixture
def train(tmp_path, recipe, phantom_slices, monkeypatch, capsys, script):
    """Call the script in this process on a store of phantom slices, of the recipe `tiny.yaml` if no other is named."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantom_slices, "stores/tiny")
    zoo = script("train_zoo")

    def call(*words: object, steps: int = 2, minutes: float = 5, recipes: tuple[str, ...] = ("tiny.yaml",)) -> str:
        capsys.readouterr()
        settings = ["--set", f"run.max_steps={steps}", "--minutes", minutes, "--device", "cpu"]
        zoo.main(list(map(str, [*settings, *words, *recipes])))
        return capsys.readouterr().out

    return call


def write_recipe_like(path: Path, name: str, **sections: object) -> None:
    content = yaml.safe_load(Path("tiny.yaml").read_text())
    path.write_text(yaml.safe_dump({**content, "name": name, **sections}))


def records_in(folder: str) -> dict[str, dict]:
    return json.loads(Path(folder, "zoo.json").read_text())["recipes"]


def test_a_finished_recipe_takes_no_time(train):
    train("--out", "out")
    before = {path: path.stat().st_mtime_ns for path in Path("out/tiny").rglob("*")}
    shutil.rmtree("stores")
    said = train("--out", "out")
    assert "tiny is finished already" in said
    assert f"| tiny | {records_in('out')['tiny']['scores']['mae_hu']:.1f} |" in said
    assert {path: path.stat().st_mtime_ns for path in Path("out/tiny").rglob("*")} == before


def test_the_newest_output_is_all_the_next_call_needs(train):
    write_recipe_like(Path("other.yaml"), "other")
    write_recipe_like(Path("third.yaml"), "third")
    train("--out", "old", recipes=("tiny.yaml", "third.yaml"))
    said = train("--from", "old", "--out", "new", recipes=("tiny.yaml", "other.yaml"))
    assert "tiny is finished already" in said
    for name in ("tiny", "other", "third"):
        assert sorted(path.name for path in Path("new", name).iterdir()) == ["bundle", "state.1of1"]
        assert load_bundle(f"new/{name}/bundle").description.name == name
    assert records_in("new").keys() == {"tiny", "other", "third"}
    # no time for it: what was brought is not left behind either
    train("--out", "newer", "--from", "new", minutes=NO_TIME, steps=3)
    assert Path("newer/tiny/state.1of1").exists()


def test_a_recipe_whose_bundle_is_gone_is_not_finished(train):
    train("--out", "out")
    shutil.rmtree("out/tiny")
    assert "| tiny |" not in train("--out", "out", minutes=NO_TIME)
    said = train("--out", "out")
    assert "a new run" in said
    assert load_bundle("out/tiny/bundle")


def test_a_killed_slice_is_gone_on_from_in_another_folder(train):
    train("--out", "old")
    read_parcel(Path("old/tiny/state"), Path("killed/tiny/run"))
    said = train("--from", "killed", "--out", "new", steps=3)
    assert "going on from new/tiny/run, which a slice that was cut off left" in said
    assert records_in("new")["tiny"]["steps"] == 3


@pytest.mark.parametrize(("out", "brought"), [(3, 4), (4, 3)])
def test_of_two_runs_the_longer_one_is_gone_on_from(train, out, brought):
    train("--out", "out", steps=out)
    train("--out", "brought", steps=brought)
    said = train("--from", "brought", "--out", "out", minutes=NO_TIME, steps=5)
    longer = "out" if out > brought else "brought"
    assert f"tiny: 4 steps in {longer}/tiny; the other run, of 3, is passed over" in said
    assert records_in("out")["tiny"]["steps"] == 4
    train("--out", "out", steps=5)
    assert records_in("out")["tiny"]["steps"] == 5


@pytest.mark.parametrize("option", ["--from", "--packed"])
def test_a_misspelt_folder_is_an_error_before_anything(train, option):
    with pytest.raises(SystemExit, match=f"error: no folder nowhere; expected the folder that {option} names"):
        train("--out", "out", option, "nowhere")
    assert not Path("out").exists()


def test_a_folder_without_a_run_is_nothing_to_go_on_from(train):
    Path("empty/tiny").mkdir(parents=True)
    with pytest.raises(SystemExit, match="error: nothing to go on from in empty"):
        train("--out", "out", "--from", "empty")
    assert not Path("out").exists()


@pytest.mark.parametrize("steps", [2, 3])
def test_other_settings_than_those_of_the_run_are_refused(train, steps):
    train("--out", "out", steps=2)
    for words in (["--out", "out"], ["--from", "out", "--out", "new"]):
        with pytest.raises(SystemExit, match=r"trained with other settings \(init_from: None -> nonsense\)"):
            train(*words, "--set", "init_from=nonsense", steps=steps)
    assert not Path("new").exists()


def test_settings_are_those_of_the_state_where_there_is_no_record(train):
    train("--out", "out")
    Path("out/zoo.json").unlink()
    with pytest.raises(SystemExit, match=r"out/tiny was trained with other settings \(data.batch_size: 8 -> 1\)"):
        train("--out", "out", "--set", "data.batch_size=1")


def test_recipes_of_the_same_name_are_refused(train):
    write_recipe_like(Path("again.yaml"), "tiny", seed=5)
    with pytest.raises(SystemExit, match="error: recipes of the same name: tiny"):
        train("--out", "out", recipes=("tiny.yaml", "again.yaml"))
    assert not Path("out").exists()


def test_an_error_in_a_later_recipe_is_said_before_the_first_trains(train):
    write_recipe_like(Path("late.yaml"), "late", data={"stores": [{"path": "stores/nope"}], "size": [16, 16]})
    with pytest.raises(SystemExit, match="error: stores/nope is not a store"):
        train("--out", "out", recipes=("tiny.yaml", "late.yaml"))
    assert not Path("out").exists()


def test_a_recipe_may_begin_with_the_weights_of_another_of_the_call(train):
    write_recipe_like(Path("late.yaml"), "late", init_from="out/tiny/bundle")
    train("--out", "out", recipes=("tiny.yaml", "late.yaml"))
    assert records_in("out")["late"]["steps"] == 2


@pytest.mark.parametrize("content", ['{"recipes": {', "[]", '{"recipes": null}'])
def test_a_damaged_record_is_named_and_may_be_removed(train, content):
    train("--out", "out")
    Path("out/zoo.json").write_text(content)
    for words in (["--out", "out"], ["--from", "out", "--out", "new"]):
        with pytest.raises(SystemExit, match=r"error: out/zoo.json is damaged; .*remove it"):
            train(*words)
    Path("out/zoo.json").unlink()
    assert "going on from out/tiny/state" in train("--out", "out")
    assert records_in("out")["tiny"]["steps"] == 2
