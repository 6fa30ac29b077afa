"""A bundle's record holds the figures of `mr2ct evaluate`, and the worst case of each plane."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mr2ct.errors import DataSetError
from mr2ct.evaluation.held_out_record import HeldOutSide, held_out_record, planes_of, worst_cases
from mr2ct.evaluation.pairing import Sources, find_pairs
from mr2ct.evaluation.scoring import Evaluation, ScoringOptions, score_pairs
from mr2ct.evaluation.summary import summary_of
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.io.display import Plane
from mr2ct.volume import Quantity, Volume

SIDE = HeldOutSide("test", {"train": 9, "test": 2, "seed": 3}, "Approximate HU.")
SHAPES = {"axial": (40, 44, 1), "coronal": (40, 1, 44), "sagittal": (1, 40, 44)}


def slice_of(plane: str, *, error_hu: float = 0.0, seed: int = 0) -> Volume:
    """A round head of one voxel's thickness, with noise."""
    shape = SHAPES[plane]
    axes = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    r = np.sqrt(sum(axis**2 for axis in axes))
    hu = np.select([r < 0.6, r < 0.75, r < 0.9], [40.0, 1100.0, 20.0], default=-1000.0)
    noise = np.random.default_rng(seed).normal(0, error_hu, shape) if error_hu else 0
    return Volume((hu + noise).astype(np.float32), Geometry(shape, np.diag([2.0, 2.0, 2.0, 1.0])), Quantity.HU)


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Evaluation]:
    """Two patients of three slices, by both protocols; the second patient's are the worse ones."""
    root = tmp_path_factory.mktemp("slices")
    for number, patient in enumerate(("1BA001", "1BB002")):
        for plane in SHAPES:
            case = f"{patient}-{plane}"
            write_volume(slice_of(plane), root / "truth" / case / "ct.nii.gz")
            mask = slice_of(plane)
            inside = mask.with_voxels((mask.voxels > -900).astype(np.uint8), quantity=Quantity.MASK)
            write_volume(inside, root / "truth" / case / "mask.nii.gz")
            sct = slice_of(plane, error_hu=40.0 * (number + 1), seed=number)
            write_volume(sct, root / "sct" / case / "mr_sct.nii.gz")
    pairs = find_pairs(Sources(root / "sct", root / "truth")).pairs
    done = [
        Evaluation("m", protocol, score_pairs(pairs, ScoringOptions(protocol, skull=protocol == "synthrad2025"))[0])
        for protocol in ("synthrad2025", "synthrad2023")
    ]
    return done[0], done[1]


def test_the_figures_are_those_of_the_report(evaluations):
    record = held_out_record(evaluations, SIDE, seed=5)
    report = summary_of(evaluations[0], seed=5)
    for key in ("mae_hu", "psnr_db", "ms_ssim", "bone_dice", "bone_gradient_energy_percent"):
        figure, expected = record.overall[key], report["overall"][key]
        assert [figure.value, figure.low, figure.high] == pytest.approx([expected["mean"], *expected["ci95"]], rel=1e-4)
    assert record.overall["ssim"].cases == 6
    assert record.by_centre["B"]["mae_hu"].value == pytest.approx(report["by_centre"]["B"]["mae_hu"]["mean"], rel=1e-4)
    assert record.by_centre["B"]["mae_hu"].low is None
    assert record.by_tissue["bone"]["mae_hu"].value > 0
    assert (record.n_cases, record.n_patients) == (6, 2)
    assert record.protocols == ("synthrad2025", "synthrad2023")
    assert (record.split["seed"], record.caveat) == (3, "Approximate HU.")


def test_planes_are_groups_and_each_has_its_worst(evaluations):
    record = held_out_record(evaluations, SIDE, seed=0)
    assert list(record.by_plane) == ["axial", "coronal", "sagittal"]
    assert record.by_plane["coronal"]["mae_hu"].cases == 2
    assert [case.case for case in record.worst] == ["1BB002-axial", "1BB002-coronal", "1BB002-sagittal"]
    assert record.worst[0].tissues_mae_hu["bone"] > 0
    assert record.mae_hu_by_patient["1BB002"] > record.mae_hu_by_patient["1BA001"]


def test_of_volumes_the_three_worst_are_shown(evaluations):
    cases = evaluations[0].cases
    found = worst_cases(cases, [None] * len(cases))
    errors = [case.score.image["mae_hu"] for case, _ in found]
    assert len(found) == 3
    assert errors == sorted((case.score.image["mae_hu"] for case in cases), reverse=True)[:3]


def test_planes_are_read_from_the_ct(evaluations):
    assert planes_of(evaluations[0].cases[:2]) == (Plane.AXIAL, Plane.CORONAL)


def test_protocols_must_have_the_same_cases(evaluations):
    first, second = evaluations
    with pytest.raises(DataSetError):
        held_out_record([first, replace(second, cases=second.cases[1:])], SIDE, seed=0)
    with pytest.raises(DataSetError):
        held_out_record([replace(first, cases=())], SIDE, seed=0)


def test_the_worst_cases_become_a_small_picture(evaluations, tmp_path: Path):
    from PIL import Image

    from mr2ct.evaluation.failure_sheet import write_failure_sheet

    one = Image.open(write_failure_sheet(tmp_path / "one.png", evaluations[0].cases[:1]))
    path = write_failure_sheet(tmp_path / "two.png", evaluations[0].cases[:2])
    assert path.stat().st_size < 150_000
    assert Image.open(path).height > 1.5 * one.height
    with pytest.raises(DataSetError, match="no case"):
        write_failure_sheet(tmp_path / "none.png", [])
    with pytest.raises(DataSetError, match="too large"):
        write_failure_sheet(tmp_path / "none.png", evaluations[0].cases[:1], most_bytes=100)
    assert not (tmp_path / "none.png").exists()
