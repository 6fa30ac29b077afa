"""`mr2ct convert --best` and `--no-flips`: what is averaged, what the record says, what cannot be asked together."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import mr2ct
from mr2ct.bundles import find_bundle, zoo
from mr2ct.cli.main import app
from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.inference import Translator
from mr2ct.inference.views import FLIPS
from mr2ct.io import read_volume, write_volume
from mr2ct.volume import Quantity, Volume


@pytest.fixture
def own_zoo(tiny_bundle, tmp_path, monkeypatch):
    """Two models, and the ensemble of both."""
    folder = tmp_path / "zoo"
    for seed, name in enumerate(("one", "two")):
        tiny_bundle(folder / name, seed=seed)
    (folder / "best").mkdir()
    write_ensemble(folder, "one", "two")
    monkeypatch.setattr(zoo, "SHIPPED_FOLDER", folder)
    return folder


def write_ensemble(folder, *members):
    described = {"format_version": 1, "name": "best", "members": members}
    (folder / "best" / "ensemble.json").write_text(json.dumps(described), encoding="utf-8")


@pytest.fixture(scope="module")
def mr():
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in (26, 24, 22)), indexing="ij")
    voxels = np.where(sum(grid**2 for grid in grids) < 0.6, 300 + 90 * grids[0], 5) + 3 * np.cos(9 * grids[1])
    return Volume(voxels.astype(np.float32), Geometry((26, 24, 22), np.diag([-1.0, 1.0, 1.0, 1])), Quantity.MR)


def convert(mr, folder, *options):
    write_volume(mr, folder / "head.mha")
    given = ["convert", folder / "head.mha", "-o", folder / "out", "--device", "cpu", "--overwrite", *options]
    result = CliRunner().invoke(app, list(map(str, given)))
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "out" / "head_sct.json").read_text(encoding="utf-8"))
    return read_volume(folder / "out" / "head_sct.nii.gz", quantity=Quantity.HU).voxels, record


def test_best_is_the_mean_of_members_and_flips(own_zoo, mr, tmp_path):
    sct, record = convert(mr, tmp_path, "--best")
    alone = [
        Translator.from_bundle(find_bundle(name), device="cpu", views=(view,)).translate(mr).sct.voxels.astype(float)
        for name in ("one", "two")
        for view in FLIPS
    ]
    assert np.abs(sct - np.mean(alone, axis=0)).max() < 1.1
    assert np.abs(alone[0] - alone[2]).max() > 2
    assert record["model"] == "best"
    assert [member["name"] for member in record["members"]] == ["one", "two"]
    assert all(len(member["weights_sha256"]) == 64 for member in record["members"])
    assert "weights_sha256" not in record
    assert record["views"] == list(FLIPS)


def test_best_is_a_model_and_works_from_python(own_zoo, mr, tmp_path):
    named, record = convert(mr, tmp_path, "--model", "best", "--planes", "axial")
    assert record["planes"] == ["axial"]
    np.testing.assert_array_equal(mr2ct.convert(mr, "best", planes="axial", device="cpu").voxels, named)
    folder, _ = convert(mr, tmp_path, "--model", own_zoo / "best", "--planes", "axial")
    np.testing.assert_array_equal(folder, named)


def test_the_volume_is_prepared_once(own_zoo, mr, tmp_path, monkeypatch):
    from mr2ct.preprocessing.pipeline import Pipeline

    calls = []
    plain = Pipeline.apply
    monkeypatch.setattr(Pipeline, "apply", lambda self, *a, **k: calls.append(1) or plain(self, *a, **k))
    convert(mr, tmp_path, "--best", "--planes", "axial")
    assert len(calls) == 1


def test_flips_of_one_model(own_zoo, mr, tmp_path):
    flipped, record = convert(mr, tmp_path, "--model", "one", "--planes", "coronal")
    plain, said = convert(mr, tmp_path, "--model", "one", "--no-flips", "--planes", "coronal")
    assert (record["views"], said["views"]) == (["plain", "mirrored"], ["plain"])
    assert np.abs(flipped - plain).max() > 0
    for flips, sct in ((True, flipped), (False, plain)):
        from_python = mr2ct.convert(mr, "one", planes="coronal", device="cpu", flips=flips)
        np.testing.assert_array_equal(from_python.voxels, sct)


@pytest.mark.parametrize("choice", [["--best"], ["--model", "best"], ["--model", "own"]])
def test_an_ensemble_without_flips_is_refused(own_zoo, tmp_path, choice, monkeypatch):
    shutil.copytree(own_zoo / "best", tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["convert", "x.mha", "-o", str(tmp_path), "--no-flips", *choice])
    assert result.exit_code == 2
    assert "always has flips" in result.stderr


def test_an_ensemble_without_flips_is_refused_in_python_too(own_zoo, mr):
    with pytest.raises(InputError, match="always has flips"):
        mr2ct.convert(mr, "best", device="cpu", flips=False)


def test_two_models_at_once_are_refused(own_zoo, tmp_path):
    result = CliRunner().invoke(app, ["convert", "x.mha", "-o", str(tmp_path), "--best", "--model", "one"])
    assert result.exit_code == 2
    assert "--best and --model one" in result.stderr


def test_a_member_that_is_not_there_is_named(own_zoo, mr, tmp_path):
    write_ensemble(own_zoo, "one", "three")
    write_volume(mr, tmp_path / "head.mha")
    result = CliRunner().invoke(app, ["convert", str(tmp_path / "head.mha"), "-o", str(tmp_path / "out"), "--best"])
    assert result.exit_code == 2
    assert "three" in result.stderr


def test_flips_of_a_model_that_was_trained_without_are_refused(own_zoo, tiny_bundle, mr, tmp_path):
    tiny_bundle(own_zoo / "sided", flips=False)
    _, record = convert(mr, tmp_path, "--model", "sided", "--planes", "axial")
    assert record["views"] == ["plain"]
    options = ["-o", str(tmp_path / "other"), "--model", "sided", "--flips"]
    result = CliRunner().invoke(app, ["convert", str(tmp_path / "head.mha"), *options])
    assert result.exit_code == 2
    assert "trained without flips" in result.stderr
    assert "leave --flips away" in result.stderr
    with pytest.raises(InputError, match="trained without flips"):
        mr2ct.convert(mr, "sided", planes="axial", device="cpu", flips=True)


def test_each_member_is_shown_what_it_learnt(own_zoo, tiny_bundle, mr, tmp_path):
    tiny_bundle(own_zoo / "sided", seed=2, flips=False)
    write_ensemble(own_zoo, "sided", "one")
    sct, record = convert(mr, tmp_path, "--best", "--planes", "axial")
    assert record["views"] == list(FLIPS)
    asked = [("sided", "plain"), ("one", "plain"), ("one", "mirrored")]
    alone = [
        Translator.from_bundle(find_bundle(name), device="cpu", views=(view,)).translate(mr, planes="axial").sct.voxels
        for name, view in asked
    ]
    assert np.abs(sct - np.mean(alone, axis=0)).max() < 1.1
    assert "with flips where they learnt with flips" in CliRunner().invoke(app, ["models"]).stdout.replace("\n", " ")
