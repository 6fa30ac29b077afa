"""`mr2ct convert` as a process on real images: grids are kept, a killed run leaves only whole files and goes on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
import torch

from mr2ct.bundles import BundleDescription, write_bundle
from mr2ct.models import build_network
from mr2ct.preprocessing.pipeline import Pipeline, default_pipeline
from mr2ct.preprocessing.resampling import ToSpacing


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(1)
    network = build_network("attention_unet", {"widths": [2, 4]})
    # coarse, so that a test takes seconds
    canonical, _, *rest = default_pipeline().steps
    description = BundleDescription(
        format_version=1,
        name="tiny",
        method="supervised",
        network={"name": "attention_unet", "arguments": {"widths": [2, 4]}},
        preprocessing=Pipeline((canonical, ToSpacing(3.0), *rest)).to_record(),
        hu_range=(-1024, 3071),
        spacing_mm=(3, 3, 3),
        planes=("axial", "coronal", "sagittal"),
        context_slices=1,
        training_data="none",
        licence="MIT",
        metrics={},
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_bundle(folder, state=network.state_dict(), description=description, card="# tiny")
    return folder


def command(model, *arguments):
    return [sys.executable, "-m", "mr2ct", "convert", *map(str, arguments), "--model", str(model), "--device", "cpu"]


def run(model, *arguments):
    return subprocess.run(command(model, *arguments), capture_output=True, text=True, check=False)


def test_a_tree_of_real_slices_in_three_planes(model, shared_data, tmp_path):
    """The SynthRAD layout: only the MR are converted, each slice in its own plane, on its own grid."""
    for case in ("1BA001-axial", "1BA001-coronal", "1BA001-sagittal"):
        shutil.copytree(shared_data / "brain-slices" / case, tmp_path / "in" / case)
    result = run(model, tmp_path / "in", "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "3 converted, 0 failed" in result.stdout
    for case in ("1BA001-axial", "1BA001-coronal", "1BA001-sagittal"):
        mr = nib.load(tmp_path / "in" / case / "mr.nii.gz")
        sct = nib.load(tmp_path / "out" / case / "mr_sct.nii.gz")
        assert sct.shape == mr.shape
        np.testing.assert_array_equal(sct.affine, mr.affine)
        assert sct.get_data_dtype() == np.int16
        assert f"({case.partition('-')[2]})" in result.stdout


def test_a_dicom_folder_is_one_case_on_its_own_grid(model, shared_data, tmp_path):
    import SimpleITK as sitk

    folder = shared_data / "phantom-mr-ct" / "t2-dicom"
    result = run(model, folder, "-o", tmp_path, "--preview")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "t2-dicom_preview.png",
        "t2-dicom_sct.json",
        "t2-dicom_sct.nii.gz",
    ]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    mr, sct = reader.Execute(), sitk.ReadImage(str(tmp_path / "t2-dicom_sct.nii.gz"))
    assert sorted(mr.GetSize()) == sorted(sct.GetSize())
    assert np.allclose(corners(mr), corners(sct), atol=0.02)


def corners(image):
    far = [(0, n - 1) for n in image.GetSize()]
    points = [image.TransformIndexToPhysicalPoint((a, b, c)) for a in far[0] for b in far[1] for c in far[2]]
    return np.sort(np.array(points), axis=0)


def test_a_killed_run_leaves_only_whole_files_and_goes_on(model, shared_data, tmp_path):
    for number in range(4):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(shared_data / "brain-slices" / "1BA001-axial" / "mr.nii.gz", tmp_path / "in" / f"mr{number}.nii.gz")
    out = tmp_path / "out"
    with subprocess.Popen(command(model, tmp_path / "in", "-o", out), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (out / "mr0_sct.nii.gz").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finished = sorted(path.name for path in out.glob("*_sct.nii.gz"))
    assert "mr0_sct.nii.gz" in finished
    for name in finished:
        assert np.asanyarray(nib.load(out / name).dataobj).min() >= -1024
    result = run(model, tmp_path / "in", "-o", out)
    assert result.returncode == 0, result.stderr
    assert f"{len(finished)} of 4 done already" in result.stdout
    assert sorted(path.name for path in out.glob("*_sct.nii.gz")) == [f"mr{number}_sct.nii.gz" for number in range(4)]


def test_a_process_that_fails_prints_one_line_and_writes_nothing(model, tmp_path):
    result = run(model, tmp_path / "nowhere.nii.gz", "-o", tmp_path / "out")
    assert result.returncode == 2
    assert "does not exist" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
