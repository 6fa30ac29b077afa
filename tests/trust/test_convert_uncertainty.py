"""`mr2ct convert --uncertainty`, whole: the map beside the sCT, the expected MAE in the record, the sCT unchanged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from mr2ct.bundles import load_bundle, zoo
from mr2ct.cli.main import app
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.trust.calibration import MEAN, Calibration
from mr2ct.trust.uncertainty import NOT_TILTED
from mr2ct.volume import Quantity, Volume

from .calibrations import variant


@pytest.fixture(scope="module")
def model(tiny_bundle, tmp_path_factory):
    """The folder of a bundle with a tiny untrained network and a calibration."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    record = Calibration((variant(tiny_bundle(folder).description),)).to_record()
    described = json.loads((folder / "bundle.json").read_text(encoding="utf-8")) | {"calibration": record}
    (folder / "bundle.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


@pytest.fixture
def mr_path(tmp_path):
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in (26, 24, 1)), indexing="ij")
    voxels = np.where(grids[0] ** 2 + grids[1] ** 2 < 0.5, 300 + 90 * grids[0], 5) + 3 * np.cos(9 * grids[1])
    mr = Volume(voxels.astype(np.float32), Geometry((26, 24, 1), np.diag([-1.5, 1.5, 2, 1])), Quantity.MR)
    write_volume(mr, tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


def run(*arguments):
    result = CliRunner().invoke(app, ["convert", *map(str, arguments), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_map_lies_beside_an_unchanged_sct(model, mr_path, tmp_path):
    said = run(mr_path, "-o", tmp_path / "with", "--model", model, "--uncertainty")
    run(mr_path, "-o", tmp_path / "without", "--model", model)
    scts = [read_volume(tmp_path / out / "head_sct.nii.gz", quantity=Quantity.HU) for out in ("with", "without")]
    np.testing.assert_array_equal(scts[0].voxels, scts[1].voxels)
    half_width = read_volume(tmp_path / "with" / "head_uncertainty.nii.gz", quantity=Quantity.HU)
    assert half_width.geometry == scts[0].geometry
    assert half_width.voxels.min() >= 0
    assert half_width.voxels.max() > 25
    record = json.loads((tmp_path / "with" / "head_sct.json").read_text(encoding="utf-8"))
    assert record["uncertainty"]["interval"] == 0.9
    assert f"{record['uncertainty']['predicted_mae_hu']:.0f} HU" in said
    assert not (tmp_path / "without" / "head_uncertainty.nii.gz").exists()


def test_a_whole_head_in_one_plane_has_another_sct_and_a_warning(model, tmp_path):
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in (30, 28, 100)), indexing="ij")
    voxels = np.where(sum(grid**2 for grid in grids) < 0.6, 300 + 90 * grids[0], 5)
    voxels += np.random.default_rng(0).uniform(0, 9, voxels.shape)
    write_volume(Volume(voxels.astype(np.float32), Geometry(voxels.shape, np.eye(4)), Quantity.MR), tmp_path / "a.mha")
    said = {}
    for planes in ("axial", "all"):
        arguments = [tmp_path / "a.mha", "-o", tmp_path / planes, "--model", model, "--planes", planes, "--uncertainty"]
        run(*arguments)
        said[planes] = json.loads((tmp_path / planes / "a_sct.json").read_text(encoding="utf-8"))
    assert said["axial"]["views"] == ["plain", "mirrored"]
    assert NOT_TILTED in said["axial"]["warnings"]
    assert NOT_TILTED not in said["all"]["warnings"]


def test_a_calibration_of_other_weights_is_refused(model, mr_path, tmp_path):
    bundle = load_bundle(model)
    described = bundle.description.model_dump(mode="json")
    described["calibration"]["variants"][0]["members"][0]["weights_sha256"] = "0" * 64
    (tmp_path / "other").mkdir()
    for file in model.iterdir():
        (tmp_path / "other" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "other" / "bundle.json").write_text(json.dumps(described), encoding="utf-8")
    result = CliRunner().invoke(
        app, ["convert", str(mr_path), "-o", str(tmp_path / "out"), "--model", str(tmp_path / "other"), "--uncertainty"]
    )
    assert result.exit_code == 2
    assert "calibration is of another model" in result.stderr


@pytest.fixture
def own_best(tiny_bundle, tmp_path, monkeypatch):
    """A zoo of two models and the ensemble of both, calibrated."""
    folder = tmp_path / "zoo"
    bundles = [tiny_bundle(folder / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    (folder / "best").mkdir()
    described = {"format_version": 1, "name": "best", "members": ["one", "two"]}
    (folder / "best" / "ensemble.json").write_text(json.dumps(described), encoding="utf-8")
    record = Calibration((variant(*(bundle.description for bundle in bundles)),), sct=MEAN).to_record()
    (folder / "best" / "calibration.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setattr(zoo, "SHIPPED_FOLDER", folder)
    return folder / "best"


def test_an_ensemble_keeps_its_sct_and_says_who_was_asked(own_best, mr_path, tmp_path):
    run(mr_path, "-o", tmp_path / "with", "--best", "--uncertainty")
    run(mr_path, "-o", tmp_path / "without", "--best")
    scts = [read_volume(tmp_path / out / "head_sct.nii.gz", quantity=Quantity.HU) for out in ("with", "without")]
    np.testing.assert_array_equal(scts[0].voxels, scts[1].voxels)
    half_width = read_volume(tmp_path / "with" / "head_uncertainty.nii.gz", quantity=Quantity.HU)
    assert np.ptp(half_width.voxels) > 0
    record = json.loads((tmp_path / "with" / "head_sct.json").read_text(encoding="utf-8"))
    assert record["model"] == "best"
    assert record["uncertainty"]["models"] == ["one", "two"]


@pytest.mark.parametrize("members", [["one"], ["two", "one"]])
def test_an_ensemble_calibrated_with_others_states_no_uncertainty(own_best, mr_path, tmp_path, members):
    described = {"format_version": 1, "name": "best", "members": members}
    (own_best / "ensemble.json").write_text(json.dumps(described), encoding="utf-8")
    result = CliRunner().invoke(app, ["convert", str(mr_path), "-o", str(tmp_path / "out"), "--best", "--uncertainty"])
    assert result.exit_code == 2
    assert "best was not calibrated with these members" in result.stderr
    run(mr_path, "-o", tmp_path / "out", "--best")


def test_uncertainty_is_not_known_without_flips(model, mr_path, tmp_path):
    options = ["-o", str(tmp_path / "out"), "--model", str(model), "--uncertainty", "--no-flips"]
    result = CliRunner().invoke(app, ["convert", str(mr_path), *options])
    assert result.exit_code == 2
    assert "calibrated with flips" in result.stderr
