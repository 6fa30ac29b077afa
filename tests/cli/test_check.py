"""`mr2ct check`: a verdict a volume in words or JSON, and an exit code that a script can use."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from mr2ct.cli.main import app
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.volume import Quantity, Volume

runner = CliRunner()


def check(*arguments):
    return runner.invoke(app, ["check", *map(str, arguments)])


@pytest.fixture
def ct(tmp_path):
    rng = np.random.default_rng(1)
    disc = np.hypot(*np.mgrid[-30:31, -30:31])[:, :, None] < 22
    hu = np.where(disc, 40, -1000) + rng.normal(0, 8, disc.shape)
    path = tmp_path / "ct_given_as_mr.nii.gz"
    write_volume(Volume(hu.astype(np.float32), Geometry(disc.shape, np.eye(4)), Quantity.MR), path)
    return path


def test_a_ct_is_refused_with_its_reason(ct):
    result = check(ct)
    assert result.exit_code == 2
    assert result.stdout.startswith(f"refuse: {ct}")
    assert "looks like a CT" in result.stdout


def test_json_is_one_object_a_line(ct):
    said = json.loads(check(ct, "--json").stdout)
    assert (said["verdict"], said["findings"][0]["severity"]) == ("refuse", "refuse")
    assert said["input"] == str(ct)


def test_what_cannot_be_read_is_refused_in_the_reader_s_words(tmp_path):
    (tmp_path / "bad.nii.gz").write_text("hello")
    result = check(tmp_path / "bad.nii.gz")
    assert result.exit_code == 2
    assert "[unreadable]" in result.stdout


def test_what_is_not_there_is_an_error(tmp_path):
    result = check(tmp_path / "nothing.nii.gz")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    assert result.stdout == ""


def test_several_inputs_are_judged_one_by_one(ct, tmp_path):
    (tmp_path / "tree").mkdir()
    for name in ("a.nii.gz", "b.nii.gz"):
        (tmp_path / "tree" / name).write_bytes(ct.read_bytes())
    result = check(tmp_path / "tree", ct)
    assert [line.split(":")[0] for line in result.stdout.splitlines() if not line.startswith(" ")] == ["refuse"] * 3
    assert check(tmp_path / "tree", "--mask", ct).exit_code == 2


def test_real_slices_pass_and_turned_ones_do_not(shared_data, tmp_path):
    from mr2ct.io import read_volume

    source = shared_data / "brain-slices" / "1BA012-coronal" / "mr.nii.gz"
    good = check(source)
    assert (good.exit_code, good.stdout.split(":")[0]) == (0, "pass")
    mr = read_volume(source)
    write_volume(mr.with_voxels(np.ascontiguousarray(mr.voxels[:, :, ::-1])), tmp_path / "turned.nii.gz")
    turned = check(tmp_path / "turned.nii.gz")
    assert turned.stdout.split(":")[0] != "pass"
    assert "upside-down" in turned.stdout
