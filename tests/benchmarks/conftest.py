"""A data set of phantom slices of three centres, its store, and the benchmarks on the import path."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from mr2ct.cli.main import app
from mr2ct.datasets.splits import Split, write_split
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.phantom import CONTRASTS, head_mask, head_phantom, simulate_ct, simulate_mr
from mr2ct.volume import Volume

SPACING_MM = 6.0
PATIENTS = {f"1B{centre}00{n}": centre for centre in "ABC" for n in (1, 2, 3, 4)}


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the benchmarks, from which they import each other."""
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    return folder


def axial(volume: Volume, level: int) -> Volume:
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] += affine[:3, 2] * level
    voxels = np.ascontiguousarray(volume.voxels[:, :, level : level + 1])
    return Volume(voxels, Geometry(voxels.shape, affine), volume.quantity)


@pytest.fixture(scope="session")
def phantom_set(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folder `data` (an axial phantom slice a patient, SynthRAD layout), `store` and `split` made from it."""
    folder = tmp_path_factory.mktemp("comparisons")
    data = folder / "data"
    rng = np.random.default_rng(5)
    head = head_phantom(rng, spacing_mm=SPACING_MM)
    images = {
        "mr": simulate_mr(head, CONTRASTS["t1_mprage"], seed=rng),
        "ct": simulate_ct(head, rng),
        "mask": head_mask(head),
    }
    middle = head_mask(head).voxels.any(axis=(0, 1)).nonzero()[0].mean()
    rows = []
    for number, (patient, centre) in enumerate(PATIENTS.items()):
        case = f"{patient}-axial"
        for name, volume in images.items():
            write_volume(axial(volume, int(middle) + number // 2), data / case / f"{name}.nii.gz")
        rows.append((case, patient, centre))
    with (data / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("case", "patient", "centre"), *rows])
    sides = {
        side: tuple(p for p in PATIENTS if p[-1] in ends)
        for side, ends in (("train", "12"), ("validation", "3"), ("test", "4"))
    }
    split, store = write_split(Split(**sides, seed=1), folder / "split.json"), folder / "store"
    words = ["preprocess", data, "-o", store, "--split", split, "--spacing-mm", SPACING_MM, "--jobs", 1]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return SimpleNamespace(data=data, store=store, split=store / "split.json")
