"""An audit of a small data set on disk, with a fault planted into each of some cases: found, ranked, weighed."""

from __future__ import annotations

import csv
import json
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from mr2ct.datasets.case_images import Reading
from mr2ct.datasets.case_weights import read_case_weights
from mr2ct.datasets.cases import PairedCase, UnpairedCase, find_synthrad
from mr2ct.errors import DataSetError
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.trust import pair_audit
from mr2ct.trust.audit_files import counted, write_audit
from mr2ct.trust.audit_sheet import sheet_figure, write_sheet
from mr2ct.trust.pair_audit import audit
from mr2ct.trust.pair_findings import CODES, Severity
from mr2ct.trust.pair_fingerprint import Likeness
from mr2ct.trust.pair_leaks import duplicate_findings, read_sides
from mr2ct.volume import Quantity, Volume

from .pair_heads import arrays, moved, volumes

SOUND = [f"1BA{n:03d}" for n in range(9)]


def _without_side(image: np.ndarray, value: float) -> np.ndarray:
    cut = image.copy()
    cut[:, :70] = value
    return cut


def _with_metal(ct: np.ndarray) -> np.ndarray:
    implanted = ct.copy()
    implanted[80:88, 120:128] = 3071
    return implanted


FAULTS = {
    "1BA100": ("displaced", lambda mr, ct: (mr, moved(ct, shift=(2.5, 2)))),
    "1BA101": ("displaced", lambda mr, ct: (mr, moved(ct, shift=(-7, 4)))),
    "1BA102": ("mismatch", lambda mr, ct: (mr, arrays(99)[1])),
    "1BA103": ("hu-offset", lambda mr, ct: (mr, ct + 1024)),
    "1BA104": ("hu-clipped", lambda mr, ct: (mr, np.minimum(ct, 800))),
    "1BA105": ("ct-field-of-view", lambda mr, ct: (mr, _without_side(ct, -1000))),
    "1BA106": ("truncated", lambda mr, ct: (mr, _without_side(ct, 0))),
    "1BA107": ("mr-field-of-view", lambda mr, ct: (_without_side(mr, 0), ct)),
    "1BA108": ("metal", lambda mr, ct: (mr, _with_metal(ct))),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine sound heads, nine with a fault each, one of them under two names, one unreadable, one on two grids."""
    root = tmp_path_factory.mktemp("data")

    def write(case: str, mr: np.ndarray, ct: np.ndarray) -> None:
        for name, volume in zip(("mr", "ct"), volumes(mr, ct), strict=True):
            write_volume(volume, root / case / f"{name}.nii.gz")

    for number, case in enumerate(SOUND):
        write(case, *arrays(number))
    for number, (case, (_, plant)) in enumerate(FAULTS.items()):
        write(case, *plant(*arrays(50 + number)))
    mr, ct = arrays(0)
    rng = np.random.default_rng(0)
    write(
        "1BA200", 0.8 * np.maximum(moved(mr, shift=(3, -2)), 0) + rng.normal(0, 2, mr.shape), moved(ct, shift=(3, -2))
    )
    (root / "1BA300").mkdir()
    (root / "1BA300" / "mr.nii.gz").write_bytes(b"cut off")
    (root / "1BA300" / "ct.nii.gz").write_bytes(b"cut off")
    mr_volume, ct_volume = volumes(*arrays(70))
    write_volume(mr_volume, root / "1BA301" / "mr.nii.gz")
    away = ct_volume.geometry.affine.copy()
    away[0, 3] += 0.5
    other = Volume(ct_volume.voxels, Geometry(ct_volume.geometry.shape, away), Quantity.HU)
    write_volume(other, root / "1BA301" / "ct.nii.gz")
    return root


@pytest.fixture(scope="module")
def audited(data):
    sides = {case.patient: ("train",) for case in find_synthrad(data)} | {
        "1BA200": ("test",), "1BA001": ("train", "validation")
    }  # fmt: skip
    del sides["1BA002"]
    return audit(find_synthrad(data), sides=sides)


def codes(audited, case: str) -> set[str]:
    return {finding.code for one in audited if one.case.case == case for finding in one.findings}


def weight(audited, case: str) -> float:
    return next(one.weight for one in audited if one.case.case == case)


@pytest.mark.parametrize("case", FAULTS)
def test_every_planted_fault_is_found(audited, case):
    assert FAULTS[case][0] in codes(audited, case)
    assert weight(audited, case) < 1


def test_sound_pairs_are_left_alone(audited):
    for case in SOUND[3:]:
        assert codes(audited, case) == set()
        assert weight(audited, case) == 1


def test_a_head_on_two_sides_of_the_split_is_a_leak_and_leaves_training(audited):
    assert codes(audited, "1BA000") == codes(audited, "1BA200") == {"leak"}
    assert weight(audited, "1BA000") == 0
    # a held-out copy is not trained on anyway
    assert weight(audited, "1BA200") == 1
    assert codes(audited, "1BA001") == codes(audited, "1BA002") == {"split"}
    assert (weight(audited, "1BA001"), weight(audited, "1BA002")) == (0, 1)


def test_what_cannot_be_read_is_a_finding_and_not_an_end(audited):
    assert codes(audited, "1BA300") == {"unreadable"}
    assert weight(audited, "1BA300") == 0
    assert "grids" in codes(audited, "1BA301")
    assert weight(audited, "1BA301") == 1


def test_the_worst_come_first_and_a_larger_shift_weighs_less(audited):
    assert [one.gravity for one in audited] == sorted((one.gravity for one in audited), reverse=True)
    assert audited[-1].verdict == "ok"
    assert weight(audited, "1BA101") < weight(audited, "1BA100") < 1


def test_without_a_split_copies_share_one_weight(data):
    chosen = [case for case in find_synthrad(data) if case.case in ("1BA000", "1BA200", "1BA003")]
    found = audit(chosen)
    assert codes(found, "1BA000") == codes(found, "1BA200") == {"duplicate"}
    assert weight(found, "1BA000") == weight(found, "1BA200") == 0.5
    assert codes(found, "1BA003") == set()


def copies(n, *, patients=None):
    names = [f"c{k:02d}" for k in range(n)]
    return {name: PairedCase(name, patients or name, "", Path(name), Path(name)) for name in names}


def shared(cases, pairs, sides=None):
    """The weights of cases of which these pairs are alike."""
    likenesses = [(one, other, Likeness(0, 1, 0.99, 0.98)) for one, other in pairs]
    found = duplicate_findings(cases, likenesses, sides or {})
    assert all(len([own for own in findings if own.code == "duplicate"]) <= 1 for findings in found.values())
    return [np.prod([finding.weight for finding in found.get(name, [])]) for name in cases]


@pytest.mark.parametrize("patients", [None, "p"])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_any_number_of_copies_share_one_weight(n, patients):
    cases = copies(n, patients=patients)
    assert shared(cases, combinations(cases, 2)) == pytest.approx([1 / n] * n)
    # copies of copies
    assert shared(cases, zip(list(cases), list(cases)[1:], strict=False)) == pytest.approx([1 / n] * n)


def test_two_groups_of_copies_and_a_leak_do_not_mix():
    cases = copies(5)
    assert shared(cases, [("c00", "c01"), ("c02", "c03")]) == [0.5, 0.5, 0.5, 0.5, 1]
    sides = dict.fromkeys(cases, ("test",)) | {"c00": ("train",)}
    assert shared(cases, combinations(list(cases)[:3], 2), sides) == [0, 0.5, 0.5, 1, 1]


def test_copies_say_how_many_they_are_and_doubt_comes_before_a_note():
    cases = copies(3) | {"d": PairedCase("d", "c00", "", Path("d"), Path("d"))}
    pairs = [("c00", "d", 1.0), ("c00", "c01", 0.9), ("c01", "c02", 0.95)]
    found = duplicate_findings(cases, [(one, other, Likeness(0, 1, like, like)) for one, other, like in pairs], {})
    (of_first,), (of_last,) = found["c00"], found["d"]
    assert (of_first.severity, of_last.severity) == (Severity.DOUBT, Severity.NOTE)
    assert of_first.sentence.startswith("of the same head as c01")
    assert of_first.sentence.endswith("; 4 copies in all")


def _killed(case, *, reading):
    if case.case == "1BA003":
        os._exit(9)
    return case.case, "was read"


def test_a_process_that_dies_costs_its_case_alone(data, monkeypatch):
    monkeypatch.setattr(pair_audit, "_named", _killed)
    chosen = [case for case in find_synthrad(data) if case.case in ("1BA003", "1BA004", "1BA005")]
    reasons = {one.case.case: one.findings[0].sentence for one in audit(chosen, jobs=2)}
    assert reasons == {
        "1BA003": "its process died, as it does when memory runs out", "1BA004": "was read", "1BA005": "was read"
    }  # fmt: skip


def test_the_files_say_what_was_found(audited, tmp_path):
    write_audit(audited, tmp_path, options={"split": None})
    rows = list(csv.DictReader((tmp_path / "audit.csv").open()))
    assert [row["rank"] for row in rows] == [str(n + 1) for n in range(len(audited))]
    assert rows[0]["verdict"] == "exclude"
    assert next(row for row in rows if row["case"] == "1BA103")["findings"].split(";")[0] == "hu-offset"
    record = json.loads((tmp_path / "audit.json").read_text())
    assert record["verdicts"]["exclude"] == counted(audited)[0]["exclude"]
    assert record["limits"]["displaced_mm"] > 0
    worst = next(pair for pair in record["pairs"] if pair["case"] == "1BA101")
    assert worst["local_shifts"][0].keys() == {"at_mm", "shift_mm"}
    assert set(record["findings"]) <= set(CODES)
    weights = read_case_weights(tmp_path / "weights.csv")
    assert len(weights) == len(audited)
    assert min(weights.values()) == 0
    assert max(weights.values()) == 1


def test_the_sheet_shows_the_worst_and_survives_what_cannot_be_read(audited, data, tmp_path):
    unreadable = [one for one in audited if one.case.case in ("1BA300", "1BA101", "1BA103")]
    path = write_sheet(unreadable, tmp_path / "sheet.png", reading=Reading(), count=2)
    assert path.read_bytes()[:4] == b"\x89PNG"
    figure = sheet_figure(unreadable, reading=Reading(), total=22)
    words = " ".join(text.get_text() for text in figure.texts)
    assert "3 worst of 22" in words
    assert "1BA101" in words
    assert sheet_figure([], reading=Reading(), total=0).texts


def test_two_processes_find_what_one_does(data):
    chosen = [case for case in find_synthrad(data) if case.case in ("1BA003", "1BA101", "1BA300")]
    alone, together = audit(chosen), audit(chosen, jobs=2)
    assert [(one.case.case, one.findings, one.weight) for one in together] == [
        (one.case.case, one.findings, one.weight) for one in alone
    ]


def test_an_audit_is_of_pairs(data):
    with pytest.raises(DataSetError, match="no pair"):
        audit([])
    with pytest.raises(DataSetError, match="an audit is of pairs; got case a, mr alone"):
        audit([UnpairedCase("a", "a", "", data, Quantity.MR)])
    case = find_synthrad(data)[0]
    with pytest.raises(DataSetError, match="duplicate case"):
        audit([case, case])


def test_sides_are_read_from_a_split_file_whatever_is_wrong_with_it(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"format_version": 1, "seed": 0, "train": ["a"], "validation": [], "test": ["a", "b"]}))
    assert read_sides(path) == {"a": ("train", "test"), "b": ("test",)}
    path.write_text('{"train": ["a"]}')
    with pytest.raises(DataSetError, match="not a split file"):
        read_sides(path)
    with pytest.raises(DataSetError, match="no split file"):
        read_sides(tmp_path / "none.json")
