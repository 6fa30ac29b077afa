"""`mr2ct convert`: one input or a tree, done ones skipped, failed ones named, nothing half-written."""

from __future__ import annotations

import errno
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mr2ct.cli.main import app
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.volume import Quantity, Volume

runner = CliRunner()


@pytest.fixture(scope="module")
def model(tiny_bundle, tmp_path_factory):
    """The folder of a bundle with a tiny untrained network."""
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny").folder


@pytest.fixture(scope="module")
def mr():
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in (22, 20, 18)), indexing="ij")
    voxels = np.where(sum(grid**2 for grid in grids) < 0.5, 300 + 90 * grids[0], 5) + 3 * np.cos(9 * grids[1])
    return Volume(voxels.astype(np.float32), Geometry((22, 20, 18), np.diag([-1.5, 1.5, 2, 1])), Quantity.MR)


@pytest.fixture
def convert(model):
    def run(*arguments):
        return runner.invoke(app, ["convert", *map(str, arguments), "--model", str(model), "--device", "cpu"])

    return run


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_one_file(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "head.nii.gz")
    result = convert(tmp_path / "head.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == ["head_sct.json", "head_sct.nii.gz"]
    assert "head_sct.nii.gz" in result.stdout
    assert "input check: pass; the model holds no reference" in result.stdout
    sct = read_volume(tmp_path / "out" / "head_sct.nii.gz", quantity=Quantity.HU)
    assert sct.geometry.shape == mr.geometry.shape
    np.testing.assert_allclose(sct.geometry.affine, mr.geometry.affine, atol=1e-5)
    assert sct.voxels.dtype == np.int16
    assert sct.voxels.min() >= -1024


@pytest.mark.parametrize(("output_format", "name"), [("mha", "head_sct.mha"), ("nrrd", "head_sct.nrrd")])
def test_other_formats(convert, mr, tmp_path, output_format, name):
    write_volume(mr, tmp_path / "head.nrrd")
    result = convert(tmp_path / "head.nrrd", "-o", tmp_path / "out", "--format", output_format, "--planes", "axial")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == sorted(["head_sct.json", name])


def test_png_slices(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "a.1.mha")
    result = convert(tmp_path / "a.1.mha", "-o", tmp_path / "out", "--format", "png", "--planes", "axial")
    assert result.exit_code == 0, result.output
    made = files(tmp_path / "out")
    assert "a.1_sct/0000.png" in made
    assert len([name for name in made if name.endswith(".png")]) == mr.geometry.shape[2]
    again = convert(tmp_path / "a.1.mha", "-o", tmp_path / "out", "--format", "png", "--planes", "axial")
    assert "skipped" in again.stdout


def test_preview_and_mask(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "head.mha")
    voxels = np.zeros(mr.geometry.shape, np.uint8)
    voxels[8:12, 8:12, 8:12] = 1
    write_volume(Volume(voxels, mr.geometry, Quantity.MASK), tmp_path / "body.nii.gz")
    result = convert(
        tmp_path / "head.mha",
        "-o",
        tmp_path / "out",
        "--preview",
        "--mask",
        tmp_path / "body.nii.gz",
        "--planes",
        "axial",
    )
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == ["head_preview.png", "head_sct.json", "head_sct.nii.gz"]
    sct = read_volume(tmp_path / "out" / "head_sct.nii.gz", quantity=Quantity.HU).voxels
    assert (sct[17:] == -1000).all()


def test_a_tree_is_mirrored_and_what_is_done_is_skipped(convert, mr, tmp_path):
    for name in ("p1/mr.nii.gz", "p2/t1.mha"):
        write_volume(mr, tmp_path / "in" / name)
    out = tmp_path / "out"
    first = convert(tmp_path / "in", "-o", out, "--planes", "axial")
    assert first.exit_code == 0, first.output
    assert "2 converted, 0 failed" in first.stdout
    assert files(out) == ["p1/mr_sct.json", "p1/mr_sct.nii.gz", "p2/t1_sct.json", "p2/t1_sct.nii.gz"]
    (out / "p1" / "mr_sct.nii.gz").unlink()
    kept = (out / "p2" / "t1_sct.nii.gz").stat().st_mtime_ns
    second = convert(tmp_path / "in", "-o", out, "--planes", "axial")
    assert "1 of 2 done already" in second.stdout
    assert (out / "p1" / "mr_sct.nii.gz").exists()
    assert (out / "p2" / "t1_sct.nii.gz").stat().st_mtime_ns == kept
    third = convert(tmp_path / "in", "-o", out, "--planes", "axial", "--overwrite")
    assert "2 converted" in third.stdout
    assert (out / "p2" / "t1_sct.nii.gz").stat().st_mtime_ns > kept


def test_the_others_go_on_after_a_failure(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "in" / "good.nii.gz")
    (tmp_path / "in" / "bad.nii.gz").write_text("hello")
    write_volume(mr.with_voxels(np.full(mr.geometry.shape, 7.0)), tmp_path / "in" / "flat.nii.gz")
    result = convert(tmp_path / "in", tmp_path / "nowhere.mha", "-o", tmp_path / "out", "--planes", "axial")
    assert result.exit_code == 1
    assert files(tmp_path / "out") == ["good_sct.json", "good_sct.nii.gz"]
    assert "1 converted, 3 failed" in result.stdout
    for name in ("bad.nii.gz", "flat.nii.gz", "nowhere.mha"):
        assert any("failed: " in line and name in line for line in result.stderr.splitlines())
    assert "Traceback" not in result.output


def test_an_unforeseen_error_does_not_stop_the_others(convert, mr, tmp_path, monkeypatch):
    for name in ("a", "b"):
        write_volume(mr, tmp_path / "in" / f"{name}.mha")

    def read(path, **_):
        if path.name == "a.mha":
            raise ZeroDivisionError("by zero")
        return mr

    monkeypatch.setattr("mr2ct.io.read_volume", read)
    result = convert(tmp_path / "in", "-o", tmp_path / "out", "--planes", "axial")
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError: by zero" in result.stderr
    assert files(tmp_path / "out") == ["b_sct.json", "b_sct.nii.gz"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--planes", "oblique"], "unknown plane"),
        (["--device", "tpu"], "unknown device"),
        (["--format", "jpeg"], "unknown output format"),
        (["--spacing-mm", "1,2"], "--spacing-mm"),
        (["--spacing-mm", "wide"], "--spacing-mm"),
        (["--mask", "no-such-mask.nii.gz"], "no-such-mask"),
    ],
)
def test_impossible_wishes_are_one_clear_line(mr, model, tmp_path, arguments, words):
    write_volume(mr, tmp_path / "head.mha")
    given = ["convert", str(tmp_path / "head.mha"), "-o", str(tmp_path / "out"), "--model", str(model), *arguments]
    result = runner.invoke(app, given)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_one_bad_input_leaves_nothing(convert, tmp_path):
    (tmp_path / "bad.nii.gz").write_text("hello")
    result = convert(tmp_path / "bad.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_ct_needs_force(convert, mr, tmp_path):
    rng = np.random.default_rng(1)
    hu = np.where(mr.voxels > 100, 40, -1000) + rng.normal(0, 8, mr.geometry.shape)
    write_volume(mr.with_voxels(hu.astype(np.float32)), tmp_path / "ct.nii.gz")
    refused = convert(tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--planes", "axial")
    assert refused.exit_code == 2
    assert "looks like a CT" in refused.stderr
    assert not (tmp_path / "out").exists()
    forced = convert(tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--planes", "axial", "--force")
    assert forced.exit_code == 0, forced.output
    said = json.loads((tmp_path / "out" / "ct_sct.json").read_text())["input_check"]
    assert (said["verdict"], said["forced"]) == ("refuse", True)
    assert said["findings"][0]["code"] == "modality"
    assert "input check: refuse" in forced.stdout


def test_the_record_says_what_was_done(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "head.mha")
    assert convert(tmp_path / "head.mha", "-o", tmp_path / "out", "--planes", "axial", "--force").exit_code == 0
    said = json.loads((tmp_path / "out" / "head_sct.json").read_text())
    assert (said["model"], said["planes"], said["output"]) == ("tiny", ["axial"], "head_sct.nii.gz")
    # nothing was refused, so nothing was overridden
    assert said["input_check"]["verdict"] == "pass"
    assert said["input_check"]["forced"] is False
    assert "no reference" in said["input_check"]["notes"][0]
    assert len(said["weights_sha256"]) == 64


def test_uncertainty_needs_a_calibrated_model(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "head.mha")
    result = convert(tmp_path / "head.mha", "-o", tmp_path / "out", "--uncertainty")
    assert result.exit_code == 2
    assert "no calibration" in result.stderr
    assert not (tmp_path / "out").exists()


def test_one_mask_for_several_inputs_is_refused(convert, mr, tmp_path):
    for name in ("a.mha", "b.mha"):
        write_volume(mr, tmp_path / name)
    result = convert(tmp_path / "a.mha", tmp_path / "b.mha", "-o", tmp_path / "out", "--mask", tmp_path / "a.mha")
    assert result.exit_code == 2
    assert "one mask for several inputs" in result.stderr


def test_an_unknown_model_is_said_before_anything_is_read(tmp_path):
    result = runner.invoke(app, ["convert", str(tmp_path / "x.mha"), "-o", str(tmp_path / "out"), "--model", "nobody"])
    assert result.exit_code == 2
    assert "unknown model" in result.stderr


def test_picture_slices_need_their_spacing(convert, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[-1:1:40j, -1:1:44j]
    picture = np.where(rows**2 + columns**2 < 0.6, 180, 0) + rng.integers(0, 20, rows.shape)
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "slice.png")
    refused = convert(tmp_path / "slice.png", "-o", tmp_path / "out")
    assert refused.exit_code == 2
    assert "spacing" in refused.stderr
    done = convert(tmp_path / "slice.png", "-o", tmp_path / "out", "--spacing-mm", "1")
    assert done.exit_code == 0, done.output
    assert read_volume(tmp_path / "out" / "slice_sct.nii.gz", quantity=Quantity.HU).geometry.shape == (44, 40, 1)


def test_the_help_names_the_default_model():
    from mr2ct.bundles import DEFAULT_MODEL
    from mr2ct.cli import convert

    assert convert.DEFAULT == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--planes", "coronal"), "with another planes; got axial; expected coronal"),
        (("--planes", "axial", "--no-flips"), "with another flips; got none; expected False"),
        (("--planes", "axial", "--preview"), "without mr_preview.png"),
    ],
)
def test_what_was_asked_for_otherwise_does_not_count_as_done(convert, mr, tmp_path, options, message):
    write_volume(mr, tmp_path / "mr.mha")
    out = tmp_path / "out"
    assert convert(tmp_path / "mr.mha", "-o", out, "--planes", "axial").exit_code == 0
    kept = (out / "mr_sct.nii.gz").read_bytes()
    again = convert(tmp_path / "mr.mha", "-o", out, *options)
    assert again.exit_code == 2
    assert message in " ".join(again.stderr.split())
    assert "--overwrite" in again.stderr
    assert (out / "mr_sct.nii.gz").read_bytes() == kept
    anew = convert(tmp_path / "mr.mha", "-o", out, *options, "--overwrite")
    assert anew.exit_code == 0, anew.output
    assert "skipped" in convert(tmp_path / "mr.mha", "-o", out, *options).stdout


def test_the_sct_of_another_patient_is_not_taken_for_this_one_s(convert, mr, tmp_path, monkeypatch):
    for number, patient in enumerate(("anna", "ben")):
        write_volume(Volume(mr.voxels + number, mr.geometry, mr.quantity), tmp_path / patient / "mr.mha")
    # the same words from two working folders
    monkeypatch.chdir(tmp_path / "anna")
    assert convert("mr.mha", "-o", "../out", "--planes", "axial").exit_code == 0
    monkeypatch.chdir(tmp_path / "ben")
    second = convert("mr.mha", "-o", "../out", "--planes", "axial")
    assert second.exit_code == 2
    assert "of another input" in second.stderr
    # another path to the same MR
    monkeypatch.chdir(tmp_path)
    third = convert("anna/mr.mha", "-o", "out", "--planes", "axial")
    assert third.exit_code == 0, third.output
    assert "skipped" in third.stdout
    # another MR under the same path
    (tmp_path / "ben" / "mr.mha").replace(tmp_path / "anna" / "mr.mha")
    assert "of another input" in convert("anna/mr.mha", "-o", "out", "--planes", "axial").stderr


def test_the_sct_of_another_mask_is_not_taken_for_this_one_s(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "mr.mha")
    body = (mr.voxels > 50).astype(np.uint8)
    write_volume(Volume(body, mr.geometry, Quantity.MASK), tmp_path / "body.mha")
    given = (tmp_path / "mr.mha", "-o", tmp_path / "out", "--mask", tmp_path / "body.mha", "--planes", "axial")
    assert convert(*given).exit_code == 0
    assert "skipped" in convert(*given).stdout
    body[:, :, :9] = 0
    write_volume(Volume(body, mr.geometry, Quantity.MASK), tmp_path / "body.mha")
    assert "made with another mask" in convert(*given).stderr


def test_the_sct_of_other_weights_is_not_taken_for_this_one_s(tiny_bundle, mr, tmp_path):
    write_volume(mr, tmp_path / "mr.mha")
    folder = tiny_bundle(tmp_path / "tiny", seed=1).folder
    given = ("convert", tmp_path / "mr.mha", "-o", tmp_path / "out", "--planes", "axial", "--model", folder)
    assert runner.invoke(app, [*map(str, given)]).exit_code == 0
    shutil.rmtree(folder)
    tiny_bundle(folder, seed=2)
    refused = runner.invoke(app, [*map(str, given)])
    assert refused.exit_code == 2
    assert "made with another model checksum" in refused.stderr


def test_an_sct_whose_record_is_that_of_another_format_is_not_taken_for_done(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "mr.mha")
    given = (tmp_path / "mr.mha", "-o", tmp_path / "out", "--planes")
    assert convert(*given, "coronal").exit_code == 0
    assert convert(*given, "axial", "--format", "mha").exit_code == 0
    refused = convert(*given, "axial")
    assert refused.exit_code == 2
    assert "how it was made is not known; got mr_sct.json, of mr_sct.mha" in " ".join(refused.stderr.split())
    assert "skipped" in convert(*given, "axial", "--format", "mha").stdout


@pytest.mark.parametrize("text", ['{"output": 5}', '{"input": 5, "input_sha256": 5}', '{"asked": 5}', "[]", "{"])
def test_a_damaged_record_is_no_crash(convert, mr, tmp_path, text):
    write_volume(mr, tmp_path / "mr.mha")
    given = (tmp_path / "mr.mha", "-o", tmp_path / "out", "--planes", "axial")
    assert convert(*given).exit_code == 0
    (tmp_path / "out" / "mr_sct.json").write_text(text)
    assert convert(*given).exit_code in {0, 2}


def test_a_device_that_is_not_there_is_said_before_anything_is_read(model, mr, tmp_path, monkeypatch):
    write_volume(mr, tmp_path / "mr.mha")
    monkeypatch.setattr("mr2ct.io.read_volume", lambda *_, **__: pytest.fail("read"))
    given = ["convert", tmp_path / "mr.mha", "-o", tmp_path / "out", "--model", model, "--device", "tpu"]
    result = runner.invoke(app, [*map(str, given)])
    assert result.exit_code == 2
    assert "unknown device" in result.stderr


def test_an_overwrite_that_fails_leaves_all_as_it_was(convert, mr, tmp_path, monkeypatch):
    write_volume(mr, tmp_path / "mr.mha")
    given = (tmp_path / "mr.mha", "-o", tmp_path / "out", "--preview")
    assert convert(*given, "--planes", "axial").exit_code == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert len(before) == 3

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for broken in ("mr2ct.io.preview.write_preview", "mr2ct.io.write_volume", "pathlib.Path.write_text"):
        with monkeypatch.context() as patched:
            patched.setattr(broken, full)
            failed = convert(*given, "--planes", "coronal", "--overwrite")
        assert failed.exit_code == 2, failed.output
        assert "no room left on disk for" in failed.stderr
        assert ".mr2ct-tmp" not in failed.stderr
        assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


def test_an_sct_without_a_record_counts_as_done(convert, mr, tmp_path):
    write_volume(mr, tmp_path / "mr.mha")
    out = tmp_path / "out"
    assert convert(tmp_path / "mr.mha", "-o", out, "--planes", "axial").exit_code == 0
    (out / "mr_sct.json").unlink()
    assert "skipped" in convert(tmp_path / "mr.mha", "-o", out, "--planes", "coronal").stdout


def test_what_cannot_succeed_is_said_before_anything_is_read(convert, mr, tmp_path, monkeypatch):
    write_volume(mr, tmp_path / "mr.mha")
    monkeypatch.setattr("mr2ct.io.read_volume", lambda *_, **__: pytest.fail("read"))
    (tmp_path / "file").write_text("in the way")
    for options, message in (
        (("-o", tmp_path / "file" / "out"), "is a file"),
        (("-o", tmp_path / "out", "--planes", "oblique"), "unknown plane"),
    ):
        result = convert(tmp_path / "mr.mha", *options)
        assert result.exit_code == 2, result.output
        assert message in result.stderr


def test_a_picture_s_mask_may_be_a_picture(convert, mr, tmp_path):
    voxels = mr.voxels[:, :, 9].T
    Image.fromarray(np.clip(voxels / 2, 0, 255).astype(np.uint8)).save(tmp_path / "slice.png")
    Image.fromarray((voxels > 100).astype(np.uint8) * 255).save(tmp_path / "body.png")
    given = ("-o", tmp_path / "out", "--spacing-mm", "1.5", "--mask", tmp_path / "body.png")
    result = convert(tmp_path / "slice.png", *given)
    assert result.exit_code == 0, result.output
