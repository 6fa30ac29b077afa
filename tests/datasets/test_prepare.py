from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mr2ct.datasets import prepare as prepare_module
from mr2ct.datasets.case_images import Reading
from mr2ct.datasets.cases import PairedCase, find_folders, find_synthrad, find_unpaired
from mr2ct.datasets.pictures import find_pictures
from mr2ct.datasets.prepare import Outcome, prepare
from mr2ct.datasets.processes import in_processes
from mr2ct.datasets.store import CaseStore, create_store, finished_cases
from mr2ct.errors import DataSetError, DiskSpaceError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.preprocessing.pipeline import Pipeline, default_pipeline
from mr2ct.preprocessing.rigid_transform import RigidTransform
from mr2ct.volume import Quantity, Volume

from .conftest import SHAPE, tiny_head


def test_a_paired_case_is_prepared_in_ras_at_one_millimetre(write_synthrad, tmp_path: Path):
    cases = find_synthrad(write_synthrad("1BA001", "1BB002"))
    summary = prepare(cases, default_pipeline(), tmp_path / "store")
    assert summary.prepared == ("1BA001", "1BB002")
    assert (summary.skipped, summary.failed) == ((), {})
    store = CaseStore.open(tmp_path / "store")
    case = store.cases[0]
    assert (case.info.patient, case.info.centre, case.info.source) == ("1BA001", "A", "real")
    assert case.info.shape == tuple(2 * n for n in SHAPE)
    np.testing.assert_allclose(np.diag(case.info.affine), [1, 1, 1, 1])
    assert case.mr().max() <= 1.5
    assert case.ct().min() >= -1024
    assert 0 < case.mask().mean() < 1
    assert store.settings["pipeline"] == default_pipeline().to_record()
    assert Pipeline.from_record(case.info.record) == default_pipeline()


def test_progress_is_reported_and_finished_cases_are_skipped(write_synthrad, tmp_path: Path):
    cases = find_synthrad(write_synthrad("a", "b", "c"))
    seen: list[Outcome] = []
    prepare(cases[:2], default_pipeline(), tmp_path / "store", report=seen.append)
    assert seen == [Outcome("a"), Outcome("b")]
    summary = prepare(cases, default_pipeline(), tmp_path / "store")
    assert (summary.prepared, summary.skipped) == (("c",), ("a", "b"))


def test_a_case_that_fails_does_not_stop_the_others(write_synthrad, tmp_path: Path):
    root = write_synthrad("a", "b", "c", "d")
    (root / "a" / "mr.nii.gz").write_bytes(b"no gzip")
    ct = tiny_head()[1]
    write_volume(Volume(ct.voxels, ct.geometry, Quantity.MR), root / "b" / "mr.nii.gz")
    other = Geometry((4, 4, 4), np.eye(4))
    write_volume(Volume(np.ones((4, 4, 4), np.uint8), other, Quantity.MASK), root / "d" / "mask.nii.gz")
    summary = prepare(find_synthrad(root), default_pipeline(), tmp_path / "store")
    assert summary.prepared == ("c",)
    assert list(summary.failed) == ["a", "b", "d"]
    assert "looks like a CT" in summary.failed["b"]
    assert "mask" in summary.failed["d"]
    assert finished_cases(tmp_path / "store") == ["c"]
    write_volume(tiny_head()[0], root / "a" / "mr.nii.gz")
    again = prepare(find_synthrad(root), default_pipeline(), tmp_path / "store", reading=Reading(force=True))
    assert (again.prepared, again.skipped, list(again.failed)) == (("a", "b"), ("c",), ["d"])


def test_a_programming_error_in_one_case_is_that_case_s_failure(write_synthrad, tmp_path: Path, monkeypatch):
    def strange(case: PairedCase, reading: Reading) -> None:
        raise IndexError("out of bounds")

    monkeypatch.setattr(prepare_module, "read_paired", strange)
    summary = prepare(find_synthrad(write_synthrad("a")), default_pipeline(), tmp_path / "store")
    assert summary.failed == {"a": "IndexError: out of bounds"}


def test_a_full_disk_stops_everything(write_synthrad, tmp_path: Path, monkeypatch):
    cases = find_synthrad(write_synthrad("a", "b"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2000})())
    with pytest.raises(DiskSpaceError):
        prepare(cases, default_pipeline(), tmp_path / "store")


def test_several_processes_give_the_same_store_as_one(write_synthrad, tmp_path: Path):
    root = write_synthrad("a", "b", "c")
    (root / "b" / "ct.nii.gz").write_bytes(b"")
    one = prepare(find_synthrad(root), default_pipeline(), tmp_path / "one")
    two = prepare(find_synthrad(root), default_pipeline(), tmp_path / "two", jobs=2)
    assert one == two
    for left, right in zip(CaseStore.open(tmp_path / "one").cases, CaseStore.open(tmp_path / "two").cases, strict=True):
        assert left.info == right.info
        np.testing.assert_array_equal(left.mr(), right.mr())
        np.testing.assert_array_equal(left.ct(), right.ct())


def _die(case: PairedCase) -> Outcome:
    if case.case == "b":
        os._exit(9)
    return Outcome(case.case)


def test_a_process_that_dies_is_the_failure_of_its_case_alone():
    cases = [PairedCase(name, name, "", Path(name), Path(name)) for name in "abc"]
    outcomes = {o.case: o.reason for o in in_processes(_die, cases, jobs=2, died=prepare_module._died)}
    assert outcomes["a"] is None
    assert outcomes["c"] is None
    assert "memory" in str(outcomes["b"])


def test_other_settings_other_patients_and_double_names_are_refused(write_synthrad, tmp_path: Path):
    cases = find_synthrad(write_synthrad("a"))
    prepare(cases, default_pipeline(), tmp_path / "store")
    with pytest.raises(DataSetError, match="other settings; got .*align = rigid"):
        prepare(cases, default_pipeline(), tmp_path / "store", reading=Reading(align="rigid"))
    with pytest.raises(DataSetError, match="of another patient"):
        prepare([dataclasses.replace(cases[0], patient="z")], default_pipeline(), tmp_path / "store")
    with pytest.raises(DataSetError, match="duplicate case a"):
        prepare([*cases, *cases], default_pipeline(), tmp_path / "store")
    with pytest.raises(DataSetError, match="no case to prepare"):
        prepare([], default_pipeline(), tmp_path / "store")


def test_two_preparations_of_one_store_at_a_time_are_refused(write_synthrad, tmp_path: Path):
    cases = find_synthrad(write_synthrad("a"))

    def meanwhile(outcome: Outcome) -> None:
        with pytest.raises(DataSetError, match="another process is preparing"):
            prepare(cases, default_pipeline(), tmp_path / "store")

    assert prepare(cases, default_pipeline(), tmp_path / "store", report=meanwhile).prepared == ("a",)


def test_settings_stay_those_of_whoever_is_preparing(write_synthrad, tmp_path: Path):
    cases = find_synthrad(write_synthrad("a"))
    create_store(tmp_path / "store", settings={"pipeline": "theirs"})
    with (tmp_path / "store" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataSetError, match="another process is preparing"):
            prepare(cases, default_pipeline(), tmp_path / "store")
    assert CaseStore.open(tmp_path / "store").settings == {"pipeline": "theirs"}


def test_nothing_is_left_in_a_folder_of_other_things(write_synthrad, tmp_path: Path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.odt").touch()
    with pytest.raises(DataSetError, match="neither empty nor a store; got thesis.odt"):
        prepare(find_synthrad(write_synthrad("a")), default_pipeline(), tmp_path / "papers")
    assert [path.name for path in (tmp_path / "papers").iterdir()] == ["thesis.odt"]


def test_after_a_preparation_without_a_success_other_settings_are_taken(write_synthrad, tmp_path: Path):
    root = write_synthrad("a")
    ct = tiny_head()[1]
    coarse = Geometry((7, 8, 6), ct.geometry.affine @ np.diag([2, 2, 2, 1.0]))
    write_volume(Volume(ct.voxels[::2, ::2, ::2].copy(), coarse, Quantity.HU), root / "a" / "ct.nii.gz")
    store = tmp_path / "store"
    assert prepare(find_synthrad(root), default_pipeline(), store).failed
    assert prepare(find_synthrad(root), default_pipeline(), store, reading=Reading(align="resample")).failed == {}
    assert CaseStore.open(store).settings["reading"]["align"] == "resample"


def test_unpaired_cases_have_one_modality_and_a_mask(tmp_path: Path):
    mr, ct, _ = tiny_head()
    write_volume(mr, tmp_path / "mr" / "p1.nii.gz")
    write_volume(ct, tmp_path / "ct" / "p2.mha")
    prepare(find_unpaired(tmp_path / "mr", tmp_path / "ct"), default_pipeline(), tmp_path / "store")
    first, second = CaseStore.open(tmp_path / "store").cases
    assert (first.info.case, first.has_mr, first.has_ct) == ("p1-mr", True, False)
    assert (second.info.case, second.has_mr, second.has_ct) == ("p2-ct", False, True)
    assert first.mask().any()
    assert second.mask().any()


def test_a_ct_on_its_own_grid_is_resampled_only_where_asked(write_synthrad, tmp_path: Path):
    root = write_synthrad("a")
    ct = tiny_head()[1]
    coarse = Geometry((7, 8, 6), ct.geometry.affine @ np.diag([2, 2, 2, 1.0]))
    write_volume(Volume(ct.voxels[::2, ::2, ::2].copy(), coarse, Quantity.HU), root / "a" / "ct.nii.gz")
    refused = prepare(find_synthrad(root), default_pipeline(), tmp_path / "same")
    assert "CT and MR lie on different grids; got shape" in refused.failed["a"]
    assert refused.failed["a"].endswith("give --resample-ct where both lie right in space, else --register")
    taken = prepare(find_synthrad(root), default_pipeline(), tmp_path / "s", reading=Reading(align="resample"))
    assert taken.prepared == ("a",)


def test_a_registered_ct_lies_on_the_mr_and_the_transform_is_recorded(write_synthrad, tmp_path: Path, monkeypatch):
    root = write_synthrad("a")
    shift = np.eye(4)
    shift[0, 3] = 50.0
    ct = tiny_head()[1]
    moved = Volume(ct.voxels, Geometry(SHAPE, shift @ ct.geometry.affine), Quantity.HU)
    write_volume(moved, root / "a" / "ct.nii.gz")
    monkeypatch.setattr(
        "mr2ct.preprocessing.registration.register_rigid", lambda fixed, moving: RigidTransform(shift, 1.25)
    )
    assert prepare(find_synthrad(root), default_pipeline(), tmp_path / "s", reading=Reading(align="rigid")).failed == {}
    (case,) = CaseStore.open(tmp_path / "s").cases
    assert case.info.record["registration"] == {"matrix": shift.tolist(), "mutual_information": 1.25}
    prepare(find_synthrad(write_synthrad("a", root="unmoved")), default_pipeline(), tmp_path / "expected")
    np.testing.assert_array_equal(case.ct(), CaseStore.open(tmp_path / "expected").cases[0].ct())


def test_pictures_that_say_too_little_fail_with_the_option_that_helps(tmp_path: Path):
    for folder in ("trainA", "trainB"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 255, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / folder / f"{folder}.png")
    cases = find_pictures(tmp_path / "data").cases
    failed = prepare(cases, default_pipeline(), tmp_path / "a").failed
    assert all("give --picture-spacing-mm" in reason for reason in failed.values())
    failed = prepare(cases, default_pipeline(), tmp_path / "b", reading=Reading(picture_spacing_mm=1.0)).failed
    assert "give --hu-window LOW HIGH" in failed["train-trainB-ct"]
    # a patient's folder of slices says as little
    for folder in ("MR", "CT"):
        (tmp_path / folder / "anna").mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / folder / "anna" / "0.png")
    failed = prepare(find_folders(tmp_path / "MR", tmp_path / "CT"), default_pipeline(), tmp_path / "c").failed
    assert "give --picture-spacing-mm" in failed["anna"]


def test_pictures_side_by_side_become_a_pair(tmp_path: Path):
    rng = np.random.default_rng(0)
    mr_half, ct_half = rng.integers(0, 200, (20, 16)), np.full((20, 16), 0)
    mr_half[:3], ct_half[5:15, 5:12] = 0, 255
    (tmp_path / "data" / "train").mkdir(parents=True)
    Image.fromarray(np.hstack([mr_half, ct_half]).astype(np.uint8)).save(tmp_path / "data" / "train" / "p1_1.png")
    reading = Reading(picture_spacing_mm=1.0, picture_hu_window=(-1000, 1000))
    summary = prepare(find_pictures(tmp_path / "data").cases, default_pipeline(), tmp_path / "store", reading=reading)
    assert summary.failed == {}
    (case,) = CaseStore.open(tmp_path / "store").cases
    assert case.info.shape == (16, 20, 1)
    # picture columns run to the patient's left and rows to the back; the store runs right and anterior
    np.testing.assert_array_equal(case.ct()[:, :, 0], np.where(ct_half.T[::-1, ::-1] > 0, 1000, -1000))


def test_a_picture_of_two_unequal_halves_fails(tmp_path: Path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "data" / "train" / "p1.png")
    reading = Reading(picture_spacing_mm=1.0, picture_hu_window=(-1000, 1000))
    summary = prepare(find_pictures(tmp_path / "data").cases, default_pipeline(), tmp_path / "store", reading=reading)
    assert "odd width" in summary.failed["train-p1"]


def test_an_unknown_alignment_is_refused():
    with pytest.raises(DataSetError, match="unknown alignment"):
        Reading(align="wish")


@pytest.mark.parametrize(
    ("told", "message"),
    [({"picture_hu_window": (2000.0, -1000.0)}, "unusable HU window"), ({"picture_spacing_mm": 0.0}, "spacing")],
)
def test_what_no_picture_can_have_is_refused_before_any_is_read(told: dict, message: str):
    with pytest.raises(InputError, match=message):
        Reading(**told)


SLOW_PREPARATION = """
import sys, time
from pathlib import Path
import numpy as np
from mr2ct.datasets import prepare as module
from mr2ct.datasets.cases import find_synthrad
from mr2ct.preprocessing.pipeline import default_pipeline

save = np.save
def slow_save(file, array, **options):
    save(file, array, **options)
    print("saved", file.name, flush=True)
    time.sleep(0.2)
np.save = slow_save
module.prepare(find_synthrad(sys.argv[1]), default_pipeline(), sys.argv[2])
"""


def test_a_preparation_killed_in_the_middle_of_a_case_goes_on_and_leaves_no_half_case(write_synthrad, tmp_path: Path):
    root, store = write_synthrad("a", "b", "c", "d"), tmp_path / "store"
    command = [sys.executable, "-c", SLOW_PREPARATION, str(root), str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "-c/ct.npy" in line:
                process.send_signal(signal.SIGKILL)
                break
        process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    half = [path.name for path in (store / "cases").iterdir() if path.name.startswith(".")]
    assert len(half) == 1
    assert finished_cases(store) == ["a", "b"]
    for case in CaseStore.open(store).cases:
        assert case.mr().shape == case.ct().shape == case.mask().shape == case.info.shape
    summary = prepare(find_synthrad(root), default_pipeline(), store)
    assert (summary.skipped, summary.prepared) == (("a", "b"), ("c", "d"))
    assert sorted(path.name for path in (store / "cases").iterdir()) == ["a", "b", "c", "d"]


def test_workers_of_a_killed_preparation_end_too(write_synthrad, tmp_path: Path):
    root, store = write_synthrad(*(f"c{n}" for n in range(8))), tmp_path / "store"
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, multiprocessing\n"
        "from mr2ct.datasets.prepare import prepare\n"
        "from mr2ct.datasets.cases import find_synthrad\n"
        "from mr2ct.preprocessing.pipeline import default_pipeline\n"
        "def say(outcome):\n"
        "    print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "    sys.stdin.read()\n"
        "if __name__ == '__main__':\n"
        "    prepare(find_synthrad(sys.argv[1]), default_pipeline(), sys.argv[2], jobs=2, report=say)\n"
    )
    command = [sys.executable, str(program), str(root), str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert workers
    deadline = time.monotonic() + 20
    while any(_runs(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(worker) for worker in workers)
    summary = prepare(find_synthrad(root), default_pipeline(), store)
    assert len(summary.skipped) + len(summary.prepared) == 8


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
