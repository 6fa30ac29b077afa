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

ROOT = Path(__file__).parents[2]
ABSENT = ["typer", "SimpleITK", "nibabel", "pydicom", "matplotlib", "scipy", "monai", "tensorboard", "PIL", "torchio"]
LARGEST = 15_000_000


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
    train = [ROOT / "scripts/train_zoo.sh", "--device", "cpu", "--minutes", "0.05", "--packed", "packed"]
    said = call(*train, "--out", "first", "--set", "data.batch_size=1", recipe)
    assert "stores/tiny: 9 cases unpacked" in said
    assert "% of the peak" in said
    first = json.loads((tmp_path / "first/zoo.json").read_text())["recipes"]["tiny"]
    assert first["ended"] == "out of time"
    assert first["scores"].keys() >= {"mae_hu", "mae_hu_axial", "mae_hu_coronal", "mae_hu_sagittal"}
    assert first["curve"]["validation/mae_hu"]
    # the first slice's folder came back, and another machine goes on from it
    said = call(*train, "--from", "first", "--out", "second", "--set", "data.batch_size=1", recipe)
    assert "going on from first/tiny/state" in said
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


def test_an_error_is_a_sentence(tmp_path, recipe, monkeypatch, script):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"error: stores/tiny is not a store"):
        script("train_zoo").main(["--out", "out", "--device", "cpu", str(recipe)])


def test_a_finished_recipe_takes_no_time(tmp_path, recipe, monkeypatch, capsys, script):
    monkeypatch.chdir(tmp_path)
    record = {"steps": 100_000, "of_steps": 100_000, "ended": "finished", "scores": {"mae_hu": 81.25}, "speed": None}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "zoo.json").write_text(json.dumps({"recipes": {"tiny": record}}))
    script("train_zoo").main(["--out", "out", str(recipe)])
    said = capsys.readouterr().out
    assert "tiny is finished already" in said
    assert "| tiny | 81.2 |" in said
