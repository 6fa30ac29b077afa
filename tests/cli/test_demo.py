"""`mr2ct demo`: the phantom with its truth, the user's own MR without."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from mr2ct.bundles import BundleDescription, write_bundle
from mr2ct.cli.main import app
from mr2ct.io import read_volume
from mr2ct.models import build_network
from mr2ct.preprocessing.pipeline import Pipeline, default_pipeline
from mr2ct.preprocessing.resampling import ToSpacing
from mr2ct.trust.verdict import Finding, InputVerdict, Verdict
from mr2ct.volume import Quantity

runner = CliRunner(env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(1)
    # coarse, so that a test takes a second
    canonical, _, *rest = default_pipeline().steps
    coarse = Pipeline((canonical, ToSpacing(4.0), *rest))
    network = build_network("attention_unet", {"widths": [2, 4]})
    description = BundleDescription(
        format_version=1,
        name="tiny",
        method="supervised",
        network={"name": "attention_unet", "arguments": {"widths": [2, 4]}},
        preprocessing=coarse.to_record(),
        hu_range=(-1024, 3071),
        spacing_mm=(4, 4, 4),
        planes=("axial",),
        context_slices=1,
        training_data="none",
        licence="MIT",
        metrics={},
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_bundle(folder, state=network.state_dict(), description=description, card="# tiny")
    return folder


@pytest.fixture(scope="module")
def phantom_demo(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    result = runner.invoke(app, ["demo", "-o", str(out), "--model", str(model), "--spacing-mm", "4", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return out, result


def test_the_phantom_demo(phantom_demo):
    out, result = phantom_demo
    assert {path.name for path in out.iterdir()} == {"mr.nii.gz", "ct.nii.gz", "sct.nii.gz", "preview.png"}
    ct = read_volume(out / "ct.nii.gz", quantity=Quantity.HU)
    sct = read_volume(out / "sct.nii.gz", quantity=Quantity.HU)
    assert sct.geometry == ct.geometry
    for words in ("tissue", "MAE (HU)", "bone", "air", "soft tissue", "seconds", "peak memory"):
        assert words in result.stdout


def test_the_users_own_mr_has_no_truth(phantom_demo, model, tmp_path):
    made, _ = phantom_demo
    result = runner.invoke(app, ["demo", str(made / "mr.nii.gz"), "-o", str(tmp_path), "--model", str(model)])
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"mr.nii.gz", "sct.nii.gz", "preview.png"}
    assert "MAE" not in result.stdout
    assert "peak memory" in result.stdout


def test_an_mr_that_is_not_as_in_training_is_refused_or_warned_of(phantom_demo, model, tmp_path, monkeypatch):
    made, _ = phantom_demo
    thick = Finding(Verdict.WARN, "thickness", "The slices are thick.")
    turned = Finding(Verdict.REFUSE, "orientation", "The head is upside-down.")
    verdicts = iter([InputVerdict.of([thick]), InputVerdict.of([turned])])
    monkeypatch.setattr("mr2ct.trust.input_check.check_and_prepare", lambda *_, **__: (next(verdicts), None))
    words = ["demo", str(made / "mr.nii.gz"), "--model", str(model), "-o"]
    warned = runner.invoke(app, [*words, str(tmp_path / "warned")])
    assert warned.exit_code == 0, warned.output
    assert "warning: The slices are thick." in warned.stderr
    refused = runner.invoke(app, [*words, str(tmp_path / "refused")])
    assert refused.exit_code == 2
    assert "The head is upside-down." in refused.stderr
    assert "use `mr2ct convert" in refused.stderr
    assert not (tmp_path / "refused").exists()


def test_a_truth_left_from_an_earlier_demo_is_pointed_out(phantom_demo, model, tmp_path):
    made, _ = phantom_demo
    (tmp_path / "ct.nii.gz").write_bytes((made / "ct.nii.gz").read_bytes())
    result = runner.invoke(app, ["demo", str(made / "mr.nii.gz"), "-o", str(tmp_path), "--model", str(model)])
    assert "earlier demo" in result.stderr


def test_impossible_wishes_are_one_clear_line(model, tmp_path):
    for arguments in (["--contrast", "x-ray"], [str(tmp_path / "nowhere.mha")]):
        result = runner.invoke(app, ["demo", *arguments, "-o", str(tmp_path / "out"), "--model", str(model)])
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_said_before_the_work(model, tmp_path, monkeypatch):
    monkeypatch.setattr("mr2ct.cli.demo.phantom_pair", lambda *_, **__: pytest.fail("a phantom was made"))
    (tmp_path / "out").write_text("a file")
    result = runner.invoke(app, ["demo", "-o", str(tmp_path / "out"), "--model", str(model)])
    assert result.exit_code == 2
    assert "cannot write to" in result.stderr


def test_what_needs_to_be_told_more_is_for_convert(model, tmp_path):
    from PIL import Image

    Image.new("L", (40, 40)).save(tmp_path / "slice.png")
    words = ["demo", str(tmp_path / "slice.png"), "-o", str(tmp_path / "out"), "--model", str(model)]
    result = runner.invoke(app, words)
    assert result.exit_code == 2
    assert "use `mr2ct convert" in result.stderr
    assert "--spacing-mm" in result.stderr


def test_a_seed_below_zero_is_refused(model, tmp_path):
    result = runner.invoke(app, ["demo", "--seed", "-1", "-o", str(tmp_path / "out"), "--model", str(model)])
    assert result.exit_code == 2
