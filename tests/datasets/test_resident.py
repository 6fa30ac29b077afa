"""Boxes gathered from tensors on a device against `BoxCutter`: the same draws, the same voxels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mr2ct.datasets.off_middle import Vault, find_vault, off_middle
from mr2ct.datasets.resident import DrawnBox, Move, ResidentCutter
from mr2ct.datasets.sampling import (
    SLICE_OF,
    BoxCutter,
    BoxPlan,
    CasePool,
    PairedBatches,
    UnpairedBatches,
    read_box,
)
from mr2ct.datasets.store import CaseInfo, CaseStore, StoredCase, create_store, write_case
from mr2ct.hounsfield import HuScaling

SCALING = HuScaling()
CPU = torch.device("cpu")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., StoredCase]:
    """Write one random case and return it; its mask is an ellipse of half the size of the case."""

    def make(
        case: str,
        shape: tuple[int, int, int],
        *,
        has: str = "mr ct",
        record: dict | None = None,
        spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> StoredCase:
        rng = np.random.default_rng(sum(shape) + len(case))
        create_store(tmp_path / "store", settings={})
        axes = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
        info = CaseInfo(case, case, "A", "real", shape, np.diag([*spacing_mm, 1.0]).tolist(), record or {})
        write_case(
            tmp_path / "store",
            info=info,
            mr=rng.random(shape) if "mr" in has else None,
            ct=rng.integers(-1000, 2000, shape) if "ct" in has else None,
            mask=sum(axis**2 for axis in axes) < 0.8,
        )
        return next(c for c in CaseStore.open(tmp_path / "store").cases if c.info.case == case)

    return make


def both(cases: list[StoredCase], *size: int, **plan: object) -> tuple[BoxCutter, ResidentCutter]:
    drawn = BoxPlan(size, **plan)
    return BoxCutter(drawn, SCALING), ResidentCutter(drawn, SCALING, cases, CPU)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) and one[key].dtype == other[key].dtype for key in one
    )


PLANS = {
    "slices": ((12, 9), {}),
    "slices larger than the case": ((40, 33), {}),
    "slabs": ((12, 9), {"context_slices": 3}),
    "one plane": ((7, 8), {"planes": ("coronal",), "foreground": 0.0}),
    "patches": ((8, 9, 40), {"context_slices": None}),
}


@pytest.mark.parametrize("name", PLANS)
def test_boxes_are_those_of_the_sampler_bit_for_bit(write, name):
    size, plan = PLANS[name]
    thick = write("volume", (20, 22, 18), spacing_mm=(1.0, 1.5, 3.0))
    cases = [thick, write("other", (14, 30, 16)), write("flat", (21, 1, 19))]
    from_disk, resident = both(cases, *size, **plan)
    for step in range(4):
        expected = PairedBatches([CasePool(tuple(cases))], from_disk, batch_size=5, seed=3)[step]
        assert same(PairedBatches([CasePool(tuple(cases))], resident, batch_size=5, seed=3)[step], expected)


def test_cuts_at_a_pole_stand_at_their_place_among_the_others(write):
    cases = [write(f"flat {axis}", tuple(1 if n == axis else 120 for n in range(3))) for axis in range(3)]
    from_disk, resident = both(cases, 100, 90, off_middle=0.6, pole_cuts=0.5)
    expected, boxes = (
        [cutter.cut(cases[n % 3], np.random.default_rng(n)) for n in range(24)] for cutter in (from_disk, resident)
    )
    got = resident.stack(boxes)
    kinds = ["pole" if not isinstance(box["mr"], DrawnBox) else box["mr"].move and "moved" for box in boxes]
    assert {kinds.count(kind) > 2 for kind in ("pole", "moved", None)} == {True}
    for n in (n for n, kind in enumerate(kinds) if kind != "moved"):
        for image in ("mr", "ct", "mask"):
            np.testing.assert_array_equal(got[image][n].numpy(), expected[n][image], err_msg=f"{kinds[n]}, {image}")


def test_unpaired_batches_are_the_same_too(write):
    cases = [write("m", (20, 22, 18), has="mr"), write("c", (14, 30, 16), has="ct"), write("both", (16, 17, 18))]
    from_disk, resident = both(cases, 12, 9)
    for step in range(4):
        batches = (
            UnpairedBatches([cases[0], cases[2]], [cases[1]], cutter, batch_size=2, seed=1)
            for cutter in (from_disk, resident)
        )
        expected, got = (batch[step] for batch in batches)
        assert same(got, expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_moved_box_is_the_moved_slice(write, axis):
    shape = [120, 110, 100]
    shape[axis] = 1
    case = write("flat", tuple(shape))
    rows, columns = (n for n in shape if n > 1)
    vault, height = Vault((rows / 2 + 3.3, columns / 2 - 2.1), (rows / 2.2, columns / 2.3)), 0.6
    start, size = [-4, -3, 20], [100, 100, 100]
    start[axis], size[axis] = 0, 1
    drawn = DrawnBox(case, axis, tuple(start), tuple(size), Move(vault, height))
    _, resident = both([case], 100, 100, off_middle=0.5)
    whole = DrawnBox(case, axis, (0, 0, 0), tuple(size))
    got = resident.stack(
        [
            {"mr": whole, "ct": whole, "mask": whole, **resident.described(case, axis)},
            {"mr": drawn, "ct": drawn, "mask": drawn, **resident.described(case, axis)},
        ]
    )
    for name, outside in (("mr", 0.0), ("mask", 0.0), ("ct", SCALING.lowest_hu)):
        image = np.take(getattr(case, name)(), 0, axis)
        moved = off_middle(image, vault, height=height, nearest=name == "mask", outside=outside)
        expected = np.take(read_box(np.expand_dims(moved, axis), start, size, outside=outside), 0, axis)
        expected = SCALING.to_network(expected) if name == "ct" else expected
        # a voxel half-way between two may go to either: rounding differs
        wrong = np.abs(got[name][1, 0].numpy() - expected) > 1e-3
        assert wrong.mean() < (0.002 if name == "mask" else 1e-9)
        assert got[name][1, 0].numpy().std() > 0


def test_moved_boxes_look_like_the_samplers_on_average(write, monkeypatch):
    monkeypatch.setattr("mr2ct.datasets.resident.FEWEST_MM2", 100)
    monkeypatch.setattr("mr2ct.datasets.off_middle.FEWEST_MM2", 100)
    monkeypatch.setattr("mr2ct.datasets.off_middle._JITTER_MM", 1.0)
    case = write("flat", (90, 80, 1))
    means = []
    for cutter in both([case], 24, 24, off_middle=1.0, foreground=1.0):
        batches = PairedBatches([CasePool((case,))], cutter, batch_size=8, seed=5)
        found = [batches[step] for step in range(25)]
        means.append([float(torch.cat([batch[key] for batch in found]).mean()) for key in ("mr", "mask")])
        assert all(batch[key].shape == (8, 1, 24, 24) for batch in found for key in ("mr", "ct", "mask"))
    np.testing.assert_allclose(means[0], means[1], atol=0.03)
    assert 0.5 < means[0][1] < 1


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("pole_cuts", [0.0, 1.0])
def test_slices_are_moved_by_the_spacing_of_their_case(write, monkeypatch, resident, pole_cuts):
    seen = []

    def watched(mask, *, upright, spacing_mm=(1.0, 1.0)):
        seen.append((upright, tuple(spacing_mm)))
        return find_vault(mask, upright=upright, spacing_mm=spacing_mm)

    for module in ("off_middle", "pole_cuts", "resident"):
        monkeypatch.setattr(f"mr2ct.datasets.{module}.find_vault", watched)
    case = write("flat", (90, 1, 80), spacing_mm=(2.0, 5.0, 3.0))
    cutter = both([case], 24, 24, off_middle=1.0, pole_cuts=pole_cuts)[int(resident)]
    cutter.cut(case, np.random.default_rng(0))
    assert seen == [(True, (2.0, 3.0))]


def test_a_slice_of_a_volume_is_never_moved_off_a_middle_it_does_not_show(write):
    case = write("cut", (90, 80, 1), record={SLICE_OF: "volume"})
    plain, moving = (BoxCutter(BoxPlan((24, 24), off_middle=share), SCALING) for share in (0.0, 1.0))
    one, other = (cutter.cut(case, np.random.default_rng(4)) for cutter in (plain, moving))
    assert np.array_equal(one["mr"], other["mr"])
