"""`mr2ct models`: the list, the card, and an exit code that notices altered weights."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from mr2ct.bundles import BundleDescription, write_bundle, zoo
from mr2ct.cli.main import app
from mr2ct.models import build_network

runner = CliRunner(env={"COLUMNS": "160"})


@pytest.fixture
def own_zoo(tmp_path, monkeypatch):
    torch.manual_seed(1)
    network = build_network("attention_unet", {"widths": [2, 4]})
    for name, planes in (("brain-one", ("axial",)), ("brain-two", ("axial", "coronal", "sagittal"))):
        description = BundleDescription(
            format_version=1,
            name=name,
            method="supervised",
            network={"name": "attention_unet", "arguments": {"widths": [2, 4]}},
            preprocessing={"format_version": 1, "steps": []},
            hu_range=(-1024, 3071),
            spacing_mm=(1, 1, 1),
            planes=planes,
            context_slices=1,
            training_data="none",
            licence="CC BY-NC 4.0",
            metrics={"mae_hu": 83.4} if name == "brain-one" else {},
        )
        write_bundle(tmp_path / name, state=network.state_dict(), description=description, card=f"# card of {name}")
    monkeypatch.setattr(zoo, "SHIPPED_FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--verify"]])
def test_the_list(own_zoo, options):
    result = runner.invoke(app, ["models", *options])
    assert result.exit_code == 0, result.output
    for words in ("brain-one", "brain-two", "supervised", "axial", "all", "CC BY-NC 4.0", "83"):
        assert words in result.stdout


def test_a_card(own_zoo):
    result = runner.invoke(app, ["models", "brain-two"])
    assert result.stdout.strip() == "# card of brain-two"
    unknown = runner.invoke(app, ["models", "brain-tow"])
    assert unknown.exit_code == 2
    assert "did you mean brain-two" in unknown.stderr


def test_altered_weights_are_an_error(own_zoo):
    weights = own_zoo / "brain-one" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    result = runner.invoke(app, ["models"])
    assert result.exit_code == 1
    assert "NO" in result.stdout
    assert "brain-two" in result.stdout
    assert "not the file that was published" in result.stderr


def test_no_shipped_models(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHIPPED_FOLDER", tmp_path)
    result = runner.invoke(app, ["models"])
    assert result.exit_code == 0
    assert "No models ship" in result.stdout


def test_an_ensemble_is_a_row_and_has_a_card(own_zoo):
    (own_zoo / "best").mkdir()
    path = own_zoo / "best" / "ensemble.json"
    path.write_text('{"format_version": 1, "name": "best", "members": ["brain-two"]}', encoding="utf-8")
    result = runner.invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    assert "mean of 1" in result.stdout
    assert "best: the mean of brain-two, each with flips; `mr2ct convert --best`" in result.stdout
    assert runner.invoke(app, ["models", "best"]).stdout.startswith("# best")
    path.write_text('{"format_version": 1, "name": "best", "members": ["nobody"]}', encoding="utf-8")
    broken = runner.invoke(app, ["models"])
    assert broken.exit_code == 1
    assert "nobody" in broken.stderr
    row = next(line for line in broken.stdout.splitlines() if line.startswith("best "))
    assert row.split() == ["best", "NO"]
    assert "brain-two" in broken.stdout
    assert "convert --best" not in broken.stdout


@pytest.mark.parametrize("text", ["{", '{"variants": null}', '{"variants": [[1]]}', '{"measured": null}'])
def test_a_damaged_calibration_hides_no_other_model(own_zoo, text):
    (own_zoo / "best").mkdir()
    described = '{"format_version": 1, "name": "best", "members": ["brain-two"]}'
    (own_zoo / "best" / "ensemble.json").write_text(described, encoding="utf-8")
    (own_zoo / "best" / "calibration.json").write_text(text, encoding="utf-8")
    result = runner.invoke(app, ["models"])
    assert result.exit_code == 1
    assert "brain-two" in result.stdout
    assert "calibration.json" in result.stderr


def test_a_damaged_card_is_named(own_zoo):
    (own_zoo / "brain-two" / "MODEL_CARD.md").write_bytes(b"\xff\xfe")
    result = runner.invoke(app, ["models", "brain-two"])
    assert result.exit_code == 2
    assert "MODEL_CARD.md cannot be read" in result.stderr


def test_names_are_whole_in_a_narrow_terminal():
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if line.startswith("brain-multiscale-attention ")]
    assert rows
    assert max(map(len, rows)) <= 80
    narrow = CliRunner(env={"COLUMNS": "40"}).invoke(app, ["models"])
    assert "\nbrain-multiscale-attention " in narrow.stdout
