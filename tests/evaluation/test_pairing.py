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


HEADS = ["p1/head_ct.mha", "p2/head_ct.mha"]


def test_a_mask_is_not_another_patient_s(tmp_path: Path):
    scts = touch(tmp_path / "s", "p1/head_sct.mha", "p2/head_sct.mha")
    cts = touch(tmp_path / "c", *HEADS, "p1/head_mask.mha")
    assert {p.case: p.mask for p in pair(scts, cts).pairs} == {
        "p1/head": cts / "p1/head_mask.mha", "p2/head": None
    }  # fmt: skip
    found = pair(scts, touch(tmp_path / "d", *HEADS), mask=touch(tmp_path / "m", "p1/head_mask.mha"))
    assert [(p.case, p.mask) for p in found.pairs] == [("p1/head", tmp_path / "m/p1/head_mask.mha")]
    assert [(e.case, e.reason) for e in found.excluded] == [
        ("p2/head", f"no mask of that name in {tmp_path / 'm'}")
    ]  # fmt: skip


def test_one_mask_serves_one_case(tmp_path: Path):
    scts = touch(tmp_path / "s", "p1/head_sct.mha", "p2/head_sct.mha")
    with pytest.raises(DataSetError, match=r"head_mask.mha goes by the name of another case, too"):
        pair(scts, touch(tmp_path / "c", *HEADS), mask=touch(tmp_path / "m", "head_mask.mha"))
    slices = touch(tmp_path / "t", "p1/a_sct.mha", "p1/b_sct.mha")
    beside = pair(slices, touch(tmp_path / "d", "p1/a_ct.mha", "p1/b_ct.mha", "p1/mask.mha"))
    assert {p.case: p.mask for p in beside.pairs} == {"a": None, "b": None}


def test_an_sct_is_not_compared_with_another_patient_s_ct(tmp_path: Path):
    scts = touch(tmp_path / "s", "site1/p3.mha", "site2/p2.mha")
    cts = touch(tmp_path / "c", "site1/p1.mha", "site2/p2.mha", "site2/p4.mha")
    found = pair(scts, cts)
    assert [(p.case, p.sct) for p in found.pairs] == [("p2", scts / "site2/p2.mha")]
    assert [e.case for e in found.excluded] == ["p1", "p3", "p4"]
    with pytest.raises(DataSetError, match="no sCT has its CT"):
        pair(touch(tmp_path / "t", "p1/head_sct.mha"), touch(tmp_path / "d", "p2/head_ct.mha"))


@pytest.mark.parametrize("sct_name", ["{}.mha", "{}_sct.mha", "{}/mr_sct.mha", "{}/{}_sct.mha"])
@pytest.mark.parametrize("cases", [["MR_001", "MR_002", "P2"], ["MR_001", "MR_002"], ["001_mri", "002_mri"]])
def test_a_patient_s_name_may_hold_a_word_for_mr(tmp_path: Path, cases: list[str], sct_name: str):
    scts = touch(tmp_path / "s", *(sct_name.format(case, case) for case in cases))
    cts = touch(tmp_path / "c", *(f"{case}.mha" for case in cases))
    (cts / "cases.csv").write_text("case,patient\n" + "".join(f"{case},anna\n" for case in cases))
    found = pair(scts, cts, mask=touch(tmp_path / "m", *(f"{case}_mask.mha" for case in cases)))
    assert [(p.case, p.ct.name, p.patient) for p in found.pairs] == [(c, f"{c}.mha", "anna") for c in sorted(cases)]
    assert [p.mask.name for p in found.pairs if p.mask] == [f"{case}_mask.mha" for case in sorted(cases)]
    assert found.excluded == ()


def test_an_mr_is_not_taken_for_a_ct(tmp_path: Path):
    scts = touch(tmp_path / "s", "p1_sct.mha", "p2_mr.mha")
    for n, names in enumerate((["p1_ct.mha", "p2_mr.mha"], ["p1.mha", "p1_mr.mha", "p2_mr.mha"])):
        assert [p.case for p in pair(scts, touch(tmp_path / str(n), *names)).pairs] == ["p1"]


def test_what_does_not_say_its_role_beside_others_that_do_is_named(tmp_path: Path):
    found = pair(touch(tmp_path / "s", "a.mha", "b.mha"), touch(tmp_path / "c", "a_ct.mha", "b.mha"))
    assert [p.case for p in found.pairs] == ["a"]
    assert [(e.case, e.reason) for e in found.excluded] == [
        ("b", f"no CT of that name in {tmp_path / 'c'}"), ("b", "its name does not say that it is a CT")
    ]  # fmt: skip
    lonely = pair(touch(tmp_path / "t", "P2.mha"), touch(tmp_path / "d", "P2.mha", "MR_001.mha"))
    assert [(e.case, e.reason) for e in lonely.excluded] == [("MR_001", "its name does not say that it is a CT")]


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


def test_two_files_find_the_mask_beside_the_ct_as_folders_do(tmp_path: Path):
    names = ("p1/ct.mha", "p1/mask.mha", "p1/mr.mha", "flat/p1_ct.mha", "flat/p1_mask.mha", "flat/p2_mask.mha")
    data, sct = touch(tmp_path / "d", *names), touch(tmp_path / "s", "p1/mr_sct.mha") / "p1/mr_sct.mha"
    [only] = pair(sct, data / "p1/ct.mha").pairs
    assert (only.mask, only.mr) == (data / "p1/mask.mha", data / "p1/mr.mha")
    assert pair(sct, data / "flat/p1_ct.mha").pairs[0].mask == data / "flat/p1_mask.mha"
    other = touch(tmp_path, "other.mha") / "other.mha"
    assert pair(sct, data / "p1/ct.mha", mask=other).pairs[0].mask == other


def test_two_files_take_no_mask_that_may_be_another_case_s(tmp_path: Path):
    data = touch(tmp_path / "d", "a.mha", "b.mha", "c_mask.mha", "mask.mha")
    sct = touch(tmp_path / "s", "sct.mha") / "sct.mha"
    assert pair(sct, data / "a.mha").pairs[0].mask is None
    # the sCT itself is no other case
    assert pair(data / "b.mha", data / "a.mha").pairs[0].mask == data / "mask.mha"


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
