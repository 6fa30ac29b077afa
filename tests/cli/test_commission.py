"""`mr2ct commission`: a report to sign, figures to read back, and a constancy set that is run again."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import mr2ct
from mr2ct.bundles import BundleDescription, write_bundle
from mr2ct.cli.main import app
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.io.checksum import sha256
from mr2ct.models import build_network
from mr2ct.preprocessing.pipeline import Pipeline, default_pipeline
from mr2ct.preprocessing.resampling import ToSpacing
from mr2ct.volume import Quantity, Volume

runner = CliRunner()
SHAPE = (22, 24, 20)
# an untrained network passes nothing else
WIDE = """
mae_hu: 2000
worst_mae_hu: 2000
mae_soft_tissue_hu: 2000
mae_bone_hu: 4000
mae_air_hu: 4000
mean_error_soft_tissue_hu: 2000
mean_error_bone_hu: 4000
bone_dice: 0
body_dice: 0
median_body_hd95_mm: null
path_length_mae_mm: 500
path_length_mean_error_mm: 500
coverage_off_bone_percent: 100
"""


def write_model(folder, *, seed=1, **changes):
    torch.manual_seed(seed)
    network = build_network("attention_unet", {"widths": [2, 4]})
    canonical, _, *rest = default_pipeline().steps
    known = {
        "format_version": 1,
        "name": "tiny",
        "method": "supervised",
        "network": {"name": "attention_unet", "arguments": {"widths": [2, 4]}},
        "preprocessing": Pipeline((canonical, ToSpacing(6.0), *rest)).to_record(),
        "hu_range": (-1024, 3071),
        "spacing_mm": (6, 6, 6),
        "planes": ("axial", "coronal", "sagittal"),
        "context_slices": 1,
        "training_data": "none",
        "licence": "MIT",
        "metrics": {},
    }
    write_bundle(folder, state=network.state_dict(), description=BundleDescription(**known | changes), card="# tiny")
    return folder


def write_case(folder, *, seed):
    """A head-like ball of soft tissue in a shell of bone, a little different each time."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(sum((grid * rng.uniform(0.95, 1.1)) ** 2 for grid in grids))
    hu = np.select([radius < 0.65, radius < 0.75], [40.0, 900.0], -1000.0)
    mr = np.select([radius < 0.65, radius < 0.75], [300 + 80 * grids[0], 30.0], 3.0) + rng.uniform(0, 6, SHAPE)
    grid = Geometry(SHAPE, np.diag([-6.0, -6.0, 6.0, 1.0]))
    write_volume(Volume(mr.astype(np.float32), grid, Quantity.MR), folder / "mr.nii.gz")
    write_volume(Volume(hu.astype(np.int16), grid, Quantity.HU), folder / "ct.nii.gz")
    write_volume(Volume((radius < 0.8).astype(np.uint8), grid, Quantity.MASK), folder / "mask.nii.gz")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a model, five cases, and wide limits."""
    folder = tmp_path_factory.mktemp("site")
    write_model(folder / "tiny")
    for number in range(5):
        write_case(folder / "cases" / f"1BA00{number}", seed=number)
    (folder / "wide.yaml").write_text(WIDE, encoding="utf-8")
    return folder


def run(*arguments):
    return runner.invoke(app, ["commission", *map(str, arguments), "--device", "cpu"])


@pytest.fixture(scope="module")
def passed(site):
    """The folder of a test that passes, and what was printed."""
    result = run(site / "tiny", site / "cases", "-o", site / "report", "--tolerances", site / "wide.yaml")
    assert result.exit_code == 0, result.output
    return site / "report", result


class Page(HTMLParser):
    """Tags that stay open, addresses that a browser would load, and the text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.addresses, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_folder_is_complete(passed):
    report, result = passed
    stored = json.loads((report / "commissioning.json").read_text(encoding="utf-8"))["constancy"]["cases"]
    names = {"commissioning.html", "commissioning.json", *(one["sct_file"] for one in stored)}
    assert {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()} == names
    assert len(stored) == 3
    assert "PASS: see" in result.stdout


def test_the_record(passed, site):
    record = json.loads((passed[0] / "commissioning.json").read_text(encoding="utf-8"))
    assert record["verdict"] == "pass"
    assert record["warnings"] == []
    description = json.loads((site / "tiny" / "bundle.json").read_text(encoding="utf-8"))
    assert record["model"]["weights_sha256"] == description["weights_sha256"]
    assert record["software"]["mr2ct"] == mr2ct.__version__
    assert record["tolerances"]["mae_hu"] == 2000
    assert [one["case"] for one in record["cases"]] == [f"1BA00{n}" for n in range(5)]
    for one in record["cases"]:
        folder = site / "cases" / one["case"]
        assert one["sha256"] == {part: sha256(folder / f"{part}.nii.gz") for part in ("mr", "ct", "mask")}
    lines = {line["key"]: line for line in record["lines"]}
    assert lines["mae_hu"]["value"] == pytest.approx(np.mean([one["figures"]["mae_hu"] for one in record["cases"]]))
    assert (lines["mae_hu"]["rule"], lines["mae_hu"]["limit"], lines["mae_hu"]["verdict"]) == ("at most", 2000, "pass")
    assert lines["grid_differs_percent"]["value"] == 0
    for key in ("coverage_off_percent", "predicted_mae_off_percent"):
        assert lines[key]["verdict"] == "not judged"
        assert "no calibration" in lines[key]["remark"]
    assert "no reference" in lines["refused_percent"]["remark"]


def test_the_constancy_set_is_chosen_by_mae(passed):
    record = json.loads((passed[0] / "commissioning.json").read_text(encoding="utf-8"))
    ranked = sorted(record["cases"], key=lambda one: one["figures"]["mae_hu"])
    chosen = [one["case"] for one in record["constancy"]["cases"]]
    assert chosen == [ranked[0]["case"], ranked[2]["case"], ranked[4]["case"]]
    assert "lowest, median and highest" in record["constancy"]["rule"]


def test_the_sheet_can_be_signed_and_names_no_outside_address(passed):
    html = (passed[0] / "commissioning.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not re.search(r"https?://|@import|url\(", html)
    words = " ".join(page.words).replace("\N{NO-BREAK SPACE}", " ")
    for expected in ("Signature", "Done by (name)", "Date", "not accepted", "PASS", "at most 2000 HU", "1BA003"):
        assert expected in words
    record = json.loads((passed[0] / "commissioning.json").read_text(encoding="utf-8"))
    assert record["model"]["weights_sha256"] in words
    assert record["cases"][2]["sha256"]["mr"] in words
    assert "set by the site (default 130)" in words


def test_default_limits_fail_and_a_signed_report_is_not_replaced(passed, site, tmp_path):
    result = run(site / "tiny", site / "cases", "-o", tmp_path / "out", "--no-path-length")
    assert result.exit_code == 1, result.output
    assert "FAIL: see" in result.stdout
    assert re.search(r"^fail +MAE in the mask, mean of cases: [\d.]+ HU, limit at most 130 HU", result.stdout, re.M)
    record = json.loads((tmp_path / "out" / "commissioning.json").read_text(encoding="utf-8"))
    assert record["verdict"] == "fail"
    lines = {line["key"]: line for line in record["lines"]}
    assert lines["path_length_mae_mm"]["remark"] == "not asked for"
    again = run(site / "tiny", site / "cases", "-o", tmp_path / "out")
    assert again.exit_code == 2
    assert "a signed report is not replaced" in again.stderr


def test_few_cases_one_of_them_broken(site, tmp_path):
    for name in ("a", "b"):
        write_case(tmp_path / "cases" / name, seed=3)
    (tmp_path / "cases" / "b" / "ct.nii.gz").write_bytes(b"no NIfTI")
    limits = tmp_path / "limits.yaml"
    limits.write_text(WIDE, encoding="utf-8")
    result = run(site / "tiny", tmp_path / "cases", "-o", tmp_path / "out", "--tolerances", limits)
    assert result.exit_code == 1
    assert "warning: only 1 case: the numbers say little" in result.stderr
    assert "failed: b: " in result.stderr
    record = json.loads((tmp_path / "out" / "commissioning.json").read_text(encoding="utf-8"))
    assert [line["key"] for line in record["lines"] if line["verdict"] == "fail"] == ["not_done_percent"]
    assert [one["case"] for one in record["failed"]] == ["b"]
    assert [one["case"] for one in record["constancy"]["cases"]] == ["a"]


def test_nothing_is_left_where_nothing_could_be_done(site, tmp_path):
    write_case(tmp_path / "cases" / "a", seed=3)
    (tmp_path / "cases" / "a" / "mr.nii.gz").write_bytes(b"no NIfTI")
    result = run(site / "tiny", tmp_path / "cases", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "none of 1 cases could be converted" in result.stderr
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]


def test_a_wrong_key_is_refused_before_anything_is_read(site, tmp_path):
    (tmp_path / "site.yaml").write_text("bone_dise: 0.8", encoding="utf-8")
    result = run(site / "tiny", "no such folder", "-o", tmp_path / "out", "--tolerances", tmp_path / "site.yaml")
    assert result.exit_code == 2
    assert "unknown key 'bone_dise' (did you mean 'bone_dice'?)" in result.stderr


def test_a_calibrated_model_is_held_to_its_word(site, tmp_path, monkeypatch):
    """The interval here is so wide in soft tissue, and so narrow elsewhere, that what it covers is known."""

    def predict(mr, translators, calibration, **_):
        assert [translator.description.name for translator in translators] == ["tiny"]
        folders = (site / "cases").iterdir()
        case = next(one for one in folders if np.array_equal(read_volume(one / "mr.nii.gz").voxels, mr.voxels))
        ct = read_volume(case / "ct.nii.gz", quantity=Quantity.HU)
        half_width = np.where(np.abs(ct.voxels) < 250, 10, 0).astype(np.int16)
        sct = ct.with_voxels(ct.voxels + np.int16(5))
        return SimpleNamespace(
            sct=sct,
            half_width_hu=ct.with_voxels(half_width),
            predicted_mae_hu=6.0,
            interval=0.9,
            views_left_out=(),
            translation=SimpleNamespace(sct=sct, warnings=("a word",), record={"engine": "fake"}),
        )

    monkeypatch.setattr("mr2ct.trust.uncertainty.predict_uncertainty", predict)
    write_model(tmp_path / "tiny", calibration={"models": ["tiny"]})
    result = run(tmp_path / "tiny", site / "cases", "-o", tmp_path / "out", "--tolerances", site / "wide.yaml")
    assert result.exit_code == 1, result.output
    record = json.loads((tmp_path / "out" / "commissioning.json").read_text(encoding="utf-8"))
    lines = {line["key"]: line for line in record["lines"]}
    assert lines["coverage_off_soft_tissue_percent"]["value"] == pytest.approx(10)
    assert lines["coverage_off_bone_percent"]["value"] == pytest.approx(-90)
    assert lines["predicted_mae_off_percent"]["value"] == pytest.approx(20)
    assert lines["coverage_off_soft_tissue_percent"]["verdict"] == "fail"
    off = run(tmp_path / "tiny", site / "cases", "-o", tmp_path / "off", "--no-uncertainty")
    assert "not judged  voxels inside the interval" in off.stdout


def test_a_calibration_that_does_not_fit_is_said(site, tmp_path):
    write_model(tmp_path / "tiny", calibration={"models": ["tiny", "gone"]})
    write_case(tmp_path / "cases" / "a", seed=3)
    result = run(tmp_path / "tiny", tmp_path / "cases", "-o", tmp_path / "out", "--tolerances", site / "wide.yaml")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "commissioning.json").read_text(encoding="utf-8"))
    lines = {line["key"]: line for line in record["lines"]}
    assert "no interval could be predicted" in lines["coverage_off_percent"]["remark"]
    assert any(note.startswith("no interval: ") for note in record["cases"][0]["notes"])


def rows_of(report):
    with (report / "constancy.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_repeating_passes_and_is_added_to_the_table(passed, site):
    report = passed[0]
    before = (report / "commissioning.json").read_bytes()
    (report / "constancy.csv").unlink(missing_ok=True)
    for count in (1, 2):
        result = run(site / "tiny", site / "cases", "-o", report, "--repeat")
        assert result.exit_code == 0, result.output
        assert "PASS: added to" in result.stdout
        rows = rows_of(report)
        assert len(rows) == count * 3 * 8
    assert {row["verdict"] for row in rows} == {"pass"}
    assert {row["mr2ct"] for row in rows} == {mr2ct.__version__}
    assert {row["key"] for row in rows if row["value"] == "0"} == {row["key"] for row in rows}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", rows[0]["date"])
    assert (report / "commissioning.json").read_bytes() == before


def test_repeating_with_other_weights_fails_and_says_so(passed, site, tmp_path):
    other = write_model(tmp_path / "other", seed=2)
    result = run(other, site / "cases", "-o", passed[0], "--repeat")
    assert result.exit_code == 1, result.output
    assert "warning: the model's weights are not those that were commissioned" in result.stderr
    failing = {row["key"] for row in rows_of(passed[0]) if row["verdict"] == "fail"}
    assert "repeat_sct_mean_hu" in failing
    renamed = write_model(tmp_path / "renamed", name="another")
    result = run(renamed, site / "cases", "-o", passed[0], "--repeat")
    assert result.exit_code == 2
    assert "another model than the one that was commissioned" in result.stderr


def test_repeating_with_other_files(passed, site, tmp_path):
    for folder in (site / "cases").iterdir():
        (tmp_path / folder.name).mkdir()
        for path in folder.iterdir():
            (tmp_path / folder.name / path.name).write_bytes(path.read_bytes())
    record = json.loads((passed[0] / "commissioning.json").read_text(encoding="utf-8"))
    first, second, third = (one["case"] for one in record["constancy"]["cases"])
    write_case(tmp_path / first, seed=99)
    (tmp_path / second / "mr.nii.gz").write_bytes(b"no NIfTI")
    before = len(rows_of(passed[0])) if (passed[0] / "constancy.csv").exists() else 0
    result = run(site / "tiny", tmp_path, "-o", passed[0], "--repeat")
    assert result.exit_code == 1, result.output
    now = rows_of(passed[0])[before:]
    failing = {(row["case"], row["key"]) for row in now if row["verdict"] == "fail"}
    assert (first, "repeat_inputs_changed") in failing
    assert (second, "not_done_percent") in failing
    assert third not in {case for case, _ in failing}
    for path in (tmp_path / third).iterdir():
        path.unlink()
    (tmp_path / third).rmdir()
    result = run(site / "tiny", tmp_path, "-o", passed[0], "--repeat")
    assert result.exit_code == 2
    assert f"cases of the constancy set are missing; got no {third}" in result.stderr


def test_repeating_nothing(site, tmp_path):
    result = run(site / "tiny", site / "cases", "-o", tmp_path, "--repeat")
    assert result.exit_code == 2
    assert "no acceptance test in" in result.stderr
    (tmp_path / "commissioning.json").write_text('{"format_version": 1}', encoding="utf-8")
    result = run(site / "tiny", site / "cases", "-o", tmp_path, "--repeat")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
