"""cases.csv and summary.json hold what the cases say, in the shapes other programs count on."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mr2ct.evaluation.scoring import Evaluation
from mr2ct.evaluation.summary import common_cases, compare, figures_of, write_cases, write_summary


def worse(evaluation: Evaluation, model: str, by: float) -> Evaluation:
    """The same cases with MAE and PSNR worse by a factor."""
    cases = []
    for case in evaluation.cases:
        image = dict(case.score.image)
        image |= {"mae_hu": image["mae_hu"] * by, "psnr_db": image["psnr_db"] / by}
        cases.append(replace(case, score=replace(case.score, image=image)))
    return Evaluation(model, evaluation.protocol, tuple(cases))


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_begins_with_the_agreed_columns(scored: Evaluation, tmp_path: Path):
    write_cases(tmp_path / "cases.csv", scored)
    header = (tmp_path / "cases.csv").read_text().splitlines()[0]
    assert header.startswith("case,patient,centre,mae_hu,psnr_db,ssim,ms_ssim,")
    rows = read_rows(tmp_path / "cases.csv")
    assert [row["case"] for row in rows] == [case.pair.case for case in scored.cases]
    assert rows[0]["ms_ssim"] == ""
    for row, case in zip(rows, scored.cases, strict=True):
        assert float(row["mae_hu"]) == pytest.approx(case.score.image["mae_hu"], rel=1e-9)
        assert float(row["bone_mae_hu"]) == pytest.approx(case.score.tissues["bone"].mae_hu, rel=1e-9)
        assert row["ct_sha256"] == case.checksums["ct"]


def test_the_json_has_the_agreed_shape_and_figures(scored: Evaluation, tmp_path: Path):
    write_summary(tmp_path / "summary.json", [scored], seed=0)
    record = json.loads((tmp_path / "summary.json").read_text())
    maes = [case.score.image["mae_hu"] for case in scored.cases]
    mae = record["overall"]["mae_hu"]
    assert record["protocol"] == "synthrad2023"
    assert (mae["mean"], mae["median"]) == pytest.approx((np.mean(maes), np.median(maes)))
    assert mae["ci95"][0] <= mae["mean"] <= mae["ci95"][1]
    assert sorted(record["by_centre"]) == ["A", "B"]
    assert record["by_centre"]["A"]["mae_hu"]["n_cases"] == 4
    assert {"air", "soft tissue", "bone"} <= set(record["by_tissue"])
    assert record["by_tissue"]["bone"]["mae_hu"]["mean"] > 0
    assert record["files"][scored.cases[0].pair.case]["sct"]["sha256"] == scored.cases[0].checksums["sct"]


def test_a_single_patient_s_interval_is_null(scored: Evaluation, tmp_path: Path):
    alone = Evaluation("first", scored.protocol, scored.cases[:1])
    write_summary(tmp_path / "summary.json", [alone], seed=0)
    assert json.loads((tmp_path / "summary.json").read_text())["overall"]["mae_hu"]["ci95"] == [None, None]


def test_infinite_figures_leave_valid_json(scored: Evaluation, tmp_path: Path):
    same = replace(scored.cases[0].score, image={"mae_hu": 0.0, "psnr_db": math.inf, "ssim": 1.0})
    equal = Evaluation("first", scored.protocol, (replace(scored.cases[0], score=same),))
    write_summary(tmp_path / "summary.json", [equal], seed=0)
    record = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert record["overall"]["psnr_db"]["n_cases"] == 0


def test_models_are_compared_on_the_cases_they_share(scored: Evaluation, tmp_path: Path):
    other = worse(Evaluation("other", scored.protocol, scored.cases[1:]), "other", 2.0)
    assert common_cases([scored, other]) == tuple(case.pair.case for case in scored.cases[1:])
    tests, ranks = compare([scored, other])
    assert [(rank.model, rank.rank) for rank in ranks] == [("first", 1), ("other", 2)]
    mae = next(test for test in tests if test.metric == "mae_hu")
    assert (mae.n_patients, mae.rank_biserial) == (3, -1.0)
    write_summary(tmp_path / "summary.json", [scored, other], seed=0)
    record = json.loads((tmp_path / "summary.json").read_text())
    assert record["models"]["other"]["n_cases"] == 5
    assert len(record["comparison"]["cases"]) == 5
    assert len(record["comparison"]["paired_tests"]) == 3


def with_psnr(evaluation: Evaluation, model: str, psnrs_db: list[float]) -> Evaluation:
    """The first cases with other PSNR."""
    cases = tuple(
        replace(case, score=replace(case.score, image=case.score.image | {"psnr_db": psnr}))
        for case, psnr in zip(evaluation.cases, psnrs_db, strict=False)
    )
    return Evaluation(model, evaluation.protocol, cases)


def test_a_perfect_model_is_compared_by_the_other_metrics(scored: Evaluation, tmp_path: Path):
    perfect = with_psnr(scored, "perfect", [math.inf] * 6)
    tests, ranks = compare([scored, perfect])
    assert {test.metric for test in tests} == {"mae_hu", "ssim"}
    assert [list(rank.scores) for rank in ranks] == [["mae_hu", "ssim"]] * 2
    write_summary(tmp_path / "summary.json", [scored, perfect], seed=0)
    assert json.loads((tmp_path / "summary.json").read_text())["comparison"]["ranks"]


def test_models_are_compared_on_the_cases_that_all_have_figures_of(scored: Evaluation):
    # the first is better on every case on which both have a PSNR, and its mean over all its own cases is lower
    first = with_psnr(scored, "first", [10.0, 10.0, 40.0, 40.0])
    second = with_psnr(scored, "second", [math.inf, math.nan, 30.0, 30.0])
    tests, ranks = compare([first, second])
    [psnr] = [test for test in tests if test.metric == "psnr_db"]
    assert (psnr.n_patients, psnr.hodges_lehmann) == (1, 10.0)
    assert {rank.model: rank.scores["psnr_db"] for rank in ranks} == {"first": 1.0, "second": 0.0}


def test_extra_figures_are_figures(scored: Evaluation):
    case = replace(scored.cases[0], extras={"gamma_2mm_percent": 99.0})
    assert figures_of(case)["gamma_2mm_percent"] == 99.0
