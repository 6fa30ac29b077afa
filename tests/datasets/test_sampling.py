"""Boxes and batches against numpy, and what training relies on: the step alone decides, no patient meets itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.datasets.sampling import BoxCutter, BoxPlan, CasePool, PairedBatches, UnpairedBatches, planes_of, read_box
from mr2ct.datasets.store import CaseInfo, CaseStore, StoredCase, create_store, write_case
from mr2ct.errors import DataSetError
from mr2ct.geometry import PLANE_AXIS
from mr2ct.hounsfield import HuScaling

SHAPE = (10, 12, 14)
SCALING = HuScaling()


def place_voxels(shape: tuple[int, ...]) -> np.ndarray:
    """Every voxel holds its own place, i + 16 j + 256 k, which float16 and int16 keep exactly up to 2048."""
    i, j, k = np.indices(shape)
    return (i + 16 * j + 256 * (k % 8)).astype(np.float32)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., StoredCase]:
    """Write one case to a store and return it; `has` chooses its images."""

    def make(
        case: str = "c1",
        *,
        shape: tuple[int, int, int] = SHAPE,
        patient: str | None = None,
        has: str = "mr ct",
        store: str = "store",
        mask: np.ndarray | None = None,
        spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> StoredCase:
        root = tmp_path / store
        create_store(root, settings={})
        info = CaseInfo(case, patient or case, "A", "real", shape, np.diag([*spacing_mm, 1.0]).tolist(), {})
        body = np.ones(shape, np.uint8) if mask is None else mask
        voxels = place_voxels(shape)
        write_case(
            root,
            info=info,
            mr=voxels if "mr" in has else None,
            ct=voxels.astype(np.int16) - 1000 if "ct" in has else None,
            mask=body,
        )
        return next(stored for stored in CaseStore.open(root).cases if stored.info.case == case)

    return make


def cutter(size: tuple[int, ...] = (6, 8), **plan: object) -> BoxCutter:
    return BoxCutter(BoxPlan(size, **plan), SCALING)


# --- boxes

starts = st.tuples(*[st.integers(-6, 9)] * 3)
box_sizes = st.tuples(*[st.integers(1, 7)] * 3)


@given(starts, box_sizes)
@settings(max_examples=100, deadline=None)
def test_a_box_is_a_slice_of_the_padded_volume(start, size):
    voxels = np.arange(5 * 4 * 3, dtype=np.int16).reshape(5, 4, 3)
    padded = np.pad(voxels.astype(np.float32), 16, constant_values=-7)
    expected = padded[tuple(slice(s + 16, s + 16 + n) for s, n in zip(start, size, strict=True))]
    box = read_box(voxels, start, size, outside=-7)
    assert box.dtype == np.float32
    np.testing.assert_array_equal(box, expected)


def test_a_box_is_a_copy():
    voxels = np.zeros((3, 3, 3), np.float32)
    read_box(voxels, (0, 0, 0), (3, 3, 3), outside=0)[:] = 1
    assert not voxels.any()


def test_reading_beside_the_volume_gives_background():
    assert (read_box(np.zeros((2, 2, 2)), (5, 0, 0), (2, 2, 2), outside=-1024) == -1024).all()


# --- plans


@pytest.mark.parametrize(
    ("size", "context", "words"),
    [
        ((4, 4, 4), 1, "expected 2 numbers"),
        ((4, 4), None, "expected 3 numbers"),
        ((4, 4), 2, "an odd number of slices"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(size, context, words):
    with pytest.raises(DataSetError, match=words):
        BoxPlan(size, context_slices=context)


def test_a_single_slice_has_one_plane(write):
    plan = BoxPlan((4, 4))
    assert planes_of(write("ax", shape=(10, 12, 1)), plan) == ("axial",)
    assert planes_of(write("co", shape=(10, 1, 14)), plan) == ("coronal",)
    assert planes_of(write("sa", shape=(1, 12, 14)), plan) == ("sagittal",)
    assert planes_of(write("vol"), plan) == plan.planes
    assert planes_of(write("sa2", shape=(1, 12, 14)), BoxPlan((4, 4), planes=("axial",))) == ()
    assert planes_of(write("patch", shape=(1, 12, 14)), BoxPlan((4, 4, 4), context_slices=None)) == plan.planes


# --- cutting


@pytest.mark.parametrize("plane", PLANE_AXIS)
def test_slices_keep_the_other_two_axes_in_their_order(write, plane):
    case, axis = write(), PLANE_AXIS[plane]
    whole = tuple(n for other, n in enumerate(SHAPE) if other != axis)
    box = cutter((40, 40), foreground=0).cut(case, np.random.default_rng(3), plane=plane)
    rows, columns = np.nonzero(box["mask"][0])
    seen = box["mr"][0][rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert seen.shape == whole
    volume = np.moveaxis(place_voxels(SHAPE), axis, 0)
    assert any(np.array_equal(seen, one) for one in volume)
    assert box["left_right"] == (plane != "sagittal")


def test_beyond_the_volume_mr_and_mask_are_zero_and_ct_is_air(write):
    box = cutter((40, 40), foreground=0).cut(write(), np.random.default_rng(3), plane="axial")
    outside = box["mask"][0] == 0
    assert outside.any()
    assert (box["mr"][0][outside] == 0).all()
    assert (box["ct"][0][outside] == -1).all()


@pytest.mark.parametrize("plane", PLANE_AXIS)
def test_mr_ct_and_mask_of_a_box_show_the_same_place(write, plane):
    box = cutter((5, 6)).cut(write(), np.random.default_rng(8), plane=plane)
    inside = box["mask"][0] > 0
    np.testing.assert_allclose(SCALING.to_hu(box["ct"][0])[inside], (box["mr"][0] - 1000)[inside], atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("plane", PLANE_AXIS)
def test_the_middle_of_a_slab_is_the_slice_of_its_ct(write, plane):
    slab = cutter((5, 6), context_slices=5).cut(write(), np.random.default_rng(11), plane=plane)
    assert slab["mr"].shape == (5, 5, 6)
    assert slab["ct"].shape == slab["mask"].shape == (1, 5, 6)
    inside = slab["mask"][0] > 0
    np.testing.assert_allclose(SCALING.to_hu(slab["ct"][0])[inside], (slab["mr"][2] - 1000)[inside], atol=1e-3)


def test_a_slab_at_the_edge_continues_with_background(write):
    slab = cutter((5, 6), context_slices=3, planes=("axial",)).cut(write("thin", shape=(9, 9, 1)), _rng())
    assert not slab["mr"][0].any()
    assert not slab["mr"][2].any()
    assert slab["mr"][1].any()


def test_a_patch_has_one_channel_and_three_axes(write):
    patch = cutter((4, 5, 6), context_slices=None).cut(write(), _rng())
    assert patch["mr"].shape == patch["ct"].shape == patch["mask"].shape == (1, 4, 5, 6)
    assert patch["left_right"] == 1


def test_the_share_of_boxes_centred_in_the_mask_is_the_foreground_share(write):
    # one voxel in 2160 is inside, so that a centre drawn anywhere hardly ever meets it
    mask = np.zeros((18, 12, 10), np.uint8)
    mask[3, 4, 5] = 1
    case = write("rare", shape=(18, 12, 10), mask=mask)
    for share in (0.0, 0.7, 1.0):
        rng, cut = _rng(), cutter((3, 3), foreground=share)
        centred = [cut.cut(case, rng, plane="axial")["mask"][0, 1, 1] > 0 for _ in range(200)]
        assert abs(np.mean(centred) - share) < 0.12


def test_an_empty_mask_leaves_centres_anywhere(write):
    case = write("empty", mask=np.zeros(SHAPE, np.uint8))
    assert cutter(foreground=1.0).cut(case, _rng())["mr"].shape == (1, 6, 8)


def test_a_long_list_of_the_mask_reaches_every_slice_alike(write):
    # every 200th voxel of this mask lies in slice 0 along the last axis
    case = write("large", shape=(200, 200, 100))
    inside = cutter().inside(case)
    assert inside.shape == (20_000, 3)
    assert len(np.unique(inside, axis=0)) == 20_000
    for axis, size in enumerate(case.info.shape):
        counts = np.bincount(inside[:, axis], minlength=size)
        assert np.abs(counts - 20_000 / size).max() < 6 * np.sqrt(20_000 / size)
    assert np.array_equal(cutter().inside(case), inside)


def test_a_short_list_of_the_mask_holds_every_voxel(write):
    mask = np.random.default_rng(0).random((1, 199, 201)) > 0.05
    inside = cutter().inside(write("flat", shape=mask.shape, mask=mask))
    assert np.array_equal(inside, np.argwhere(mask))


def test_cases_of_one_name_in_two_stores_keep_their_own_masks(write):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 1, 1] = 1
    other = np.zeros(SHAPE, np.uint8)
    other[8, 8, 8] = 1
    one, two = write("same", mask=mask), write("same", mask=other, store="another")
    cut = cutter((1, 1), foreground=1.0)
    assert cut.cut(one, _rng(), plane="axial")["mask"].item() == 1
    assert cut.cut(two, _rng(), plane="axial")["mask"].item() == 1


def test_a_case_without_a_slice_in_the_plan_says_so(write):
    with pytest.raises(DataSetError, match="no slice in the planes asked for; got ax; expected coronal"):
        cutter(planes=("coronal",)).cut(write("ax", shape=(10, 12, 1)), _rng())


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- paired batches


def paired(cases, *, plan: BoxCutter | None = None, **how: object) -> PairedBatches:
    return PairedBatches([CasePool(tuple(cases))], plan or cutter(), batch_size=3, **{"seed": 1, **how})


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_batch_depends_on_seed_rank_and_step_alone(write):
    cases = [write("c1"), write("c2")]
    batches, again = paired(cases), paired(cases)
    later = again[7]
    for step in (0, 3, 7):
        assert same(batches[step], again[step])
    assert same(later, batches[7])
    assert not same(batches[0], batches[1])
    assert not same(batches[0], paired(cases, seed=2)[0])
    assert not same(batches[0], paired(cases, rank=1)[0])


def test_a_paired_batch_has_the_documented_shapes(write):
    batch = paired([write()])[0]
    assert {key: tuple(image.shape) for key, image in batch.items()} == {
        "mr": (3, 1, 6, 8),
        "ct": (3, 1, 6, 8),
        "mask": (3, 1, 6, 8),
        "left_right": (3,),
        "spacing_mm": (3, 2),
    }
    assert all(image.dtype == torch.float32 for image in batch.values())


def test_cases_that_cannot_be_used_are_left_out(write):
    usable = write("whole")
    cases = [usable, write("mr-only", has="mr"), write("axial-only", shape=(10, 12, 1))]
    batches = paired(cases, plan=cutter(planes=("coronal",)))
    assert [case.info.case for pool in batches.pools for case in pool.cases] == ["whole"]
    assert batches[0]["mr"].shape == (3, 1, 6, 8)


def test_no_usable_case_at_all_is_an_error(write):
    with pytest.raises(DataSetError, match="no paired case to train on"):
        paired([write("mr-only", has="mr")])
    with pytest.raises(DataSetError, match="expected cases with slices in coronal"):
        paired([write("axial-only", shape=(10, 12, 1))], plan=cutter(planes=("coronal",)))


def test_pools_are_drawn_from_by_their_weights(write):
    full, empty = write("full"), write("empty", mask=np.zeros(SHAPE, np.uint8), store="another")
    pools = [CasePool((full,), 3.0), CasePool((empty,), 1.0), CasePool((), 5.0)]
    batches = PairedBatches(pools, cutter(foreground=0.0), batch_size=10, seed=1)
    shown = [float(mask.max()) for step in range(40) for mask in batches[step]["mask"]]
    assert abs(np.mean(shown) - 0.75) < 0.07


@pytest.mark.parametrize(
    ("plane", "expected"), [("axial", [1, 2]), ("coronal", [1, 3]), ("sagittal", [2, 3]), (None, [1, 2, 3])]
)
def test_boxes_say_how_far_their_voxels_lie_apart(write, plane, expected):
    case = write(spacing_mm=(1.0, 2.0, 3.0))
    plan = cutter((6, 8), planes=(plane,)) if plane else cutter((4, 4, 4), context_slices=None)
    assert paired([case], plan=plan)[0]["spacing_mm"].tolist() == [expected] * 3
    other = write("other", spacing_mm=(4.0, 4.0, 4.0))
    batch = UnpairedBatches([case], [other], plan, batch_size=2, seed=1)[0]
    assert batch["spacing_mm"].tolist() == [expected] * 2
    assert batch["ct_spacing_mm"].tolist() == [[4.0] * len(expected)] * 2


# --- unpaired batches


def test_no_ct_is_of_a_patient_whose_mr_is_shown(write):
    cases = [write(f"c{n}", patient=f"p{n % 3}") for n in range(6)]
    batches = UnpairedBatches(cases, cases, cutter(), batch_size=2, seed=1)
    drawn: list[tuple[str, str]] = []
    original = batches._only

    def watched(box, quantity):
        drawn.append((quantity, batches_now.pop(0)))
        return original(box, quantity)

    batches_now: list[str] = []
    cut = batches.cutter.cut

    def watched_cut(case, rng, *, plane=None):
        batches_now.append(case.info.patient)
        return cut(case, rng, plane=plane)

    batches.cutter.cut, batches._only = watched_cut, watched
    for step in range(30):
        drawn.clear()
        batches[step]
        of_mr, of_ct = ({patient for quantity, patient in drawn if quantity == name} for name in ("mr", "ct"))
        assert of_mr
        assert of_ct
        assert not of_mr & of_ct


def test_an_unpaired_batch_has_the_documented_shapes_and_one_plane(write):
    batches = UnpairedBatches([write("m", has="mr")], [write("c", has="ct")], cutter(), batch_size=2, seed=1)
    for step in range(6):
        batch = batches[step]
        assert {tuple(batch[key].shape) for key in ("mr", "mr_mask", "ct", "ct_mask")} == {(2, 1, 6, 8)}
        assert len(set(batch["left_right"].tolist())) == 1
    assert same(batches[3], batches[3])


def test_unpaired_patches_need_no_plane(write):
    patches = cutter((4, 4, 4), context_slices=None)
    batch = UnpairedBatches([write("m", has="mr")], [write("c", has="ct")], patches, batch_size=2, seed=1)[0]
    assert batch["mr"].shape == batch["ct"].shape == (2, 1, 4, 4, 4)


def test_unpaired_single_slices_are_drawn_in_their_own_plane(write):
    mr = [write("m1", has="mr", shape=(10, 12, 1)), write("m2", has="mr", shape=(1, 12, 14))]
    ct = [write("c1", has="ct", shape=(10, 12, 1))]
    batches = UnpairedBatches(mr, ct, cutter(), batch_size=2, seed=1)
    assert batches.planes == ("axial",)
    assert all(batches[step]["left_right"].all() for step in range(5))


def test_unpaired_sides_that_cannot_meet_are_refused(write):
    mr = write("m", has="mr", shape=(10, 12, 1))
    with pytest.raises(DataSetError, match="needs MR cases and CT cases"):
        UnpairedBatches([mr], [], cutter(), batch_size=1, seed=1)
    with pytest.raises(DataSetError, match="no plane in common; got MR axial; CT sagittal"):
        UnpairedBatches([mr], [write("c", has="ct", shape=(1, 12, 14))], cutter(), batch_size=1, seed=1)
    alone = write("both", patient="p")
    with pytest.raises(DataSetError, match="MR and CT of different patients"):
        UnpairedBatches([alone], [alone], cutter(), batch_size=1, seed=1)[0]


# --- case weights


def _drawn(pool: CasePool, steps: int = 60) -> list[int]:
    """How often each case of a pool is drawn; the first voxel of its MR tells it."""
    batches = PairedBatches([pool], cutter((4, 4), foreground=0.0), batch_size=8, seed=0)
    values = torch.cat([batches[step]["ct"].amax(dim=(1, 2, 3)) for step in range(steps)])
    return torch.unique(values, return_counts=True)[1].tolist()


def _flat_cases(tmp_path: Path, count: int) -> tuple[StoredCase, ...]:
    create_store(tmp_path / "flat", settings={})
    for number in range(count):
        info = CaseInfo(f"c{number}", f"p{number}", "A", "real", SHAPE, np.eye(4).tolist(), {})
        ct = np.full(SHAPE, 100 * number, np.int16)
        write_case(tmp_path / "flat", info=info, mr=place_voxels(SHAPE), ct=ct, mask=np.ones(SHAPE, np.uint8))
    return CaseStore.open(tmp_path / "flat").cases


def test_case_weights_change_how_often_a_case_is_drawn(tmp_path: Path):
    cases = _flat_cases(tmp_path, 3)
    counts = np.array(_drawn(CasePool(cases, 1.0, {"c0": 0.2, "c1": 0.6})))
    # c2 is not listed and counts 1
    np.testing.assert_allclose(counts / counts.sum(), np.array([0.2, 0.6, 1.0]) / 1.8, atol=0.07)
    assert len(_drawn(CasePool(cases, 1.0, {"c1": 0.0}))) == 2


def test_without_weights_the_draws_are_what_they_were(tmp_path: Path):
    cases = _flat_cases(tmp_path, 3)
    batches = PairedBatches([CasePool(cases)], cutter((4, 4)), batch_size=4, seed=7)
    rng = np.random.default_rng((7, 0, 5))
    for ct in batches[5]["ct"]:
        # the order of draws that earlier versions had: pool, case, then the box
        rng.choice(1, p=np.array([1.0]))
        case = cases[int(rng.integers(3))]
        box = batches.cutter.cut(case, rng)
        assert np.array_equal(ct.numpy(), box["ct"])


def test_unpaired_cases_are_weighted_too(tmp_path: Path):
    cases = _flat_cases(tmp_path, 4)
    batches = UnpairedBatches(
        cases[:2], cases[2:], cutter((4, 4)), batch_size=4, seed=0, case_weights={"c2": 0.0, "c0": 0.5}
    )
    seen = {float(value) for step in range(10) for value in batches[step]["ct"].amax(dim=(1, 2, 3))}
    assert seen == {float(SCALING.to_network(np.array([300.0]))[0])}
    with pytest.raises(DataSetError, match="unpaired training needs"):
        UnpairedBatches(cases[:2], cases[2:], cutter((4, 4)), batch_size=1, seed=0, case_weights={"c2": 0.0, "c3": 0.0})
