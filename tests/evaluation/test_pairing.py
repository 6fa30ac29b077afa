"""Files, folders and CSVs become pairs; whatever has no partner is named with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from mr2ct.errors import DataSetError, InputError
from mr2ct.evaluation.pairing import Pairing, Sources, find_pairs, of_patients


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def pair(scts: Path, cts: Path, **parts: Path) -> Pairing:
    return find_pairs(Sources(scts, cts, parts))


SCT_NAMES = ["{}_sct.nii.gz", "{}/mr_sct.nii.gz", "{}.mha", "{}/sct.nii", "{}_mr_sct.nrrd", "deep/{}_sct.mha"]


@pytest.mark.parametrize("sct_name", SCT_NAMES)
@pytest.mark.parametrize("ct_name", ["{}.nii.gz", "{}/ct.nii.gz", "{}_ct.mha", "ct/{}.mha"])
def test_the_usual_layouts_meet(tmp_path: Path, sct_name: str, ct_name: str):
    scts = touch(tmp_path / "scts", *(sct_name.format(case) for case in ("p1", "p2")))
    cts = touch(tmp_path / "cts", *(ct_name.format(case) for case in ("p1", "p2")))
    found = pair(scts, cts)
    assert [(p.case, p.sct, p.ct) for p in found.pairs] == [
        (case, scts / sct_name.format(case), cts / ct_name.format(case)) for case in ("p1", "p2")
    ]
    assert found.excluded == ()


def test_masks_and_mrs_beside_the_cts_are_taken(tmp_path: Path):
    scts = touch(tmp_path / "out", "1BA001/mr_sct.nii.gz")
    cts = touch(tmp_path / "data", "1BA001/mr.nii.gz", "1BA001/ct.nii.gz", "1BA001/mask.nii.gz")
    [only] = pair(scts, cts).pairs
    assert (only.mask, only.mr) == (cts / "1BA001/mask.nii.gz", cts / "1BA001/mr.nii.gz")
    assert (only.patient, only.centre) == ("1BA001", "A")


def test_one_tree_may_hold_everything(tmp_path: Path):
    root = touch(tmp_path, *(f"p{n}/{name}.mha" for n in (1, 2) for name in ("mr", "ct", "sct", "mask")))
    assert [(p.sct.name, p.ct.name) for p in pair(root, root).pairs] == [("sct.mha", "ct.mha")] * 2


def test_what_has_no_partner_is_excluded_with_a_reason(tmp_path: Path):
    scts = touch(tmp_path / "scts", "p1_sct.mha", "p2_sct.mha", "p4_sct.mha", "p4_sct.nii")
    cts = touch(tmp_path / "cts", "p1.mha", "p3.mha", "p4.mha")
    found = pair(scts, cts)
    assert [p.case for p in found.pairs] == ["p1"]
    reasons = {e.case: e.reason for e in found.excluded}
    assert reasons["p2"].startswith("no CT of that name")
    assert reasons["p3"].startswith("no sCT of that name")
    assert reasons["p4"].startswith("several sCTs of that name: ")


def test_a_case_without_its_mask_in_the_named_folder_is_excluded(tmp_path: Path):
    scts, cts = touch(tmp_path / "s", "p1_sct.mha", "p2_sct.mha"), touch(tmp_path / "c", "p1.mha", "p2.mha")
    found = pair(scts, cts, mask=touch(tmp_path / "m", "p1.mha"))
    assert [p.case for p in found.pairs] == ["p1"]
    assert "no mask of that name" in found.excluded[0].reason


def test_no_name_in_common_is_an_error_that_says_so(tmp_path: Path):
    with pytest.raises(DataSetError, match=r"no sCT has its CT; got a: no CT of that name.*b: no sCT"):
        pair(touch(tmp_path / "s", "a_sct.mha"), touch(tmp_path / "c", "b.mha"))


def test_a_file_and_a_folder_cannot_be_compared(tmp_path: Path):
    with pytest.raises(DataSetError, match="a single volume"):
        pair(touch(tmp_path, "a_sct.mha") / "a_sct.mha", touch(tmp_path / "c", "a.mha"))


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        pair(tmp_path / "no.mha", touch(tmp_path, "a.mha") / "a.mha")


def test_two_files_are_one_case_named_after_file_or_folder(tmp_path: Path):
    touch(tmp_path, "1BB007/sct.mha", "1BB007/ct.mha", "x_sct.mha")
    folder = tmp_path / "1BB007"
    [named] = pair(folder / "sct.mha", folder / "ct.mha").pairs
    assert (named.case, named.centre, named.mask) == ("1BB007", "B", None)
    assert pair(tmp_path / "x_sct.mha", folder / "ct.mha").pairs[0].case == "x"


def test_the_listing_beside_the_cts_tells_patient_and_centre(tmp_path: Path):
    cts = touch(tmp_path / "c", "a1.mha", "a2.mha")
    (cts / "cases.csv").write_text("case,patient,centre\na1,anna,Ulm\na2,anna,Ulm\n")
    found = pair(touch(tmp_path / "s", "a1_sct.mha", "a2_sct.mha"), cts)
    assert {(p.patient, p.centre) for p in found.pairs} == {("anna", "Ulm")}


def write_csv(folder: Path, *rows: str, head: str = "case,patient,centre,sct,ct,mask") -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join((head, *rows)) + "\n")
    return path


def test_a_csv_tells_everything(tmp_path: Path):
    touch(tmp_path, "s1.mha", "c1.mha", "m1.mha")
    found = find_pairs(Sources(write_csv(tmp_path, "one,anna,Ulm,s1.mha,c1.mha,m1.mha", "two,,,s2.mha,c1.mha,")))
    [only] = found.pairs
    assert (only.case, only.patient, only.centre, only.mask) == ("one", "anna", "Ulm", tmp_path / "m1.mha")
    assert found.excluded[0].case == "two"
    assert "sct: no file" in found.excluded[0].reason


def test_a_csv_needs_no_case_column(tmp_path: Path):
    touch(tmp_path, "p1/sct.mha", "p1/ct.mha")
    [only] = find_pairs(Sources(write_csv(tmp_path, "p1/sct.mha,p1/ct.mha", head="sct,ct"))).pairs
    assert only.case == "p1"


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        (["a,s.mha"], "case,sct", "lacks the column"),
        (["a,s.mha,c.mha,extra"], "case,sct,ct", "more cells than columns"),
        (["a,s.mha,c.mha", "a,s.mha,c.mha"], "case,sct,ct", "two cases of one name"),
        (["a,no.mha,c.mha"], "case,sct,ct", "no sCT has its CT"),
    ],
)
def test_a_bad_csv_is_an_error(tmp_path: Path, rows: list[str], head: str, words: str):
    touch(tmp_path, "s.mha", "c.mha")
    with pytest.raises(DataSetError, match=words):
        find_pairs(Sources(write_csv(tmp_path, *rows, head=head)))


def test_a_csv_and_a_mask_option_contradict_each_other(tmp_path: Path):
    touch(tmp_path, "s.mha", "c.mha")
    table = write_csv(tmp_path, "a,s.mha,c.mha", head="case,sct,ct")
    with pytest.raises(DataSetError, match="names masks"):
        find_pairs(Sources(table, None, {"mask": tmp_path}))
    with pytest.raises(DataSetError, match="names the CTs itself"):
        find_pairs(Sources(table, tmp_path))


def test_the_patients_of_a_split_are_kept_and_the_missing_named(tmp_path: Path):
    scts = touch(tmp_path / "s", "1BA001_sct.mha", "1BA003_sct.mha")
    cts = touch(tmp_path / "c", *(f"1BA00{n}.mha" for n in (1, 2, 3, 4)))
    kept = of_patients(pair(scts, cts), ["1BA001", "1BA002", "1BA009"])
    assert [p.case for p in kept.pairs] == ["1BA001"]
    assert [e.case for e in kept.excluded] == ["1BA002", "1BA009"]
    with pytest.raises(DataSetError, match="no case of these patients"):
        of_patients(kept, ["1BA003"])
