"""The acceptance test's lines, from cases whose figures are known: means, shares, reasons, warnings."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.errors import DataSetError, InputError, MissingDependencyError
from mr2ct.trust import commissioning
from mr2ct.trust.commissioning import commission, paired_only
from mr2ct.trust.commissioning_case import CaseOptions, CommissionedCase, score_figures
from mr2ct.trust.commissioning_gatekeeper import BrokenCopy
from mr2ct.trust.commissioning_lines import LineVerdict
from mr2ct.trust.commissioning_tolerances import Tolerances
from mr2ct.trust.input_check import NO_REFERENCE
from mr2ct.trust.verdict import InputVerdict, Verdict
from mr2ct.volume import Quantity

GOOD = {
    "mae_hu": 80.0,
    "mae_soft_tissue_hu": 40.0,
    "mae_bone_hu": 250.0,
    "mae_air_hu": 100.0,
    "mean_error_soft_tissue_hu": -2.0,
    "mean_error_bone_hu": -100.0,
    "bone_dice": 0.8,
    "body_dice": 0.98,
    "body_hd95_mm": 3.0,
    "path_length_mae_mm": 2.0,
    "path_length_mean_error_mm": 0.5,
}
PROMISED = {f"coverage_off{tissue}_percent": -1.0 for tissue in ("", "_soft_tissue", "_bone", "_air")}


def model_with(*, reference=True, calibration=True):
    description = SimpleNamespace(
        input_reference={} if reference else None, calibration={} if calibration else None, name="tiny"
    )
    return SimpleNamespace(bundle=SimpleNamespace(description=description))


@pytest.fixture
def site(monkeypatch, tmp_path):
    """Runs the test on cases named `<patient>-<n>` with figures, or with the error that a case raises."""

    def run(results, *, model=None, caught=1.0, tolerances=None, **options):
        pairs = [PairedCase(name, name.partition("-")[0], "", tmp_path, tmp_path) for name in results]

        def one(case, model, *, options, folder):
            result = results[case.case]
            if isinstance(result, Exception):
                raise result
            figures = {key: value for key, value in result.items() if key not in ("verdict", "grid")}
            verdict = InputVerdict(result.get("verdict", Verdict.PASS))
            return CommissionedCase(case.case, case.patient, "", figures, verdict, result.get("grid"), tmp_path, {})

        def broken(cases, description, *, reading, per_kind, report):
            seen.extend(case.case for case in cases)
            verdicts = [Verdict.WARN] * round(20 * caught) + [Verdict.PASS] * round(20 * (1 - caught))
            return tuple(BrokenCopy("a", "noise", verdict) for verdict in verdicts if cases and per_kind)

        seen: list[str] = []
        monkeypatch.setattr(commissioning, "commission_case", one)
        monkeypatch.setattr(commissioning, "check_broken_copies", broken)
        copies = options.pop("copies_per_kind", 2)
        found = commission(
            pairs,
            model or model_with(),
            options=CaseOptions(**options),
            folder=tmp_path,
            tolerances=tolerances or Tolerances(),
            copies_per_kind=copies,
        )
        return found, {line.key: line for line in found.lines}, seen

    return run


def many(n=6, **changes):
    return {f"p{k}-a": GOOD | PROMISED | {"predicted_mae_off_percent": 9.0} | changes for k in range(n)}


def failing(lines):
    return [key for key, line in lines.items() if line.verdict is LineVerdict.FAIL]


def test_a_good_model_passes_every_line(site):
    found, lines, seen = site(many())
    assert found.verdict is LineVerdict.PASS
    assert {line.verdict for line in found.lines} == {LineVerdict.PASS}
    assert found.warnings == ()
    assert len(seen) == 6
    assert lines["caught_percent"].value == 100
    # neither lungs nor dose were there to be judged
    assert not {"mae_lung_hu", "photon_high_dose_mae_percent"} & lines.keys()
    assert not any(key.startswith("repeat_") for key in lines)


def test_means_worst_and_median(site):
    results = many()
    results["p3-a"] = results["p3-a"] | {"mae_hu": 380.0, "body_hd95_mm": 90.0}
    _, lines, _ = site(results)
    assert lines["mae_hu"].value == pytest.approx(130)
    assert lines["mae_hu"].remark.startswith("80.0 to 380.0; 95 % CI of the mean ")
    assert (lines["worst_mae_hu"].value, lines["worst_mae_hu"].remark) == (380, "p3-a")
    assert (lines["median_body_hd95_mm"].value, lines["median_body_hd95_mm"].remark) == (3, "3.0 to 90.0")
    assert failing(lines) == ["worst_mae_hu"]


def test_a_case_without_a_tissue_does_not_count_there(site):
    results = many()
    results["p0-a"] = {key: value for key, value in results["p0-a"].items() if "bone" not in key}
    results["p1-a"] = results["p1-a"] | {"bone_dice": math.nan, "mae_lung_hu": 150.0}
    _, lines, _ = site(results)
    assert lines["mae_bone_hu"].value == 250
    assert "5 of 6 cases" in lines["mae_bone_hu"].remark
    assert "4 of 6 cases" in lines["bone_dice"].remark
    assert lines["mae_lung_hu"].value == 150


def test_an_sct_without_a_body_fails(site):
    _, lines, _ = site(many(body_dice=0.0, body_hd95_mm=math.inf))
    assert failing(lines) == ["body_dice", "median_body_hd95_mm"]


def test_cases_that_fail_are_named_and_counted(site):
    results = many() | {"p7-a": InputError("cannot be read"), "p8-a": ZeroDivisionError("odd")}
    found, lines, seen = site(results)
    assert [(one.case, one.reason) for one in found.failed] == [
        ("p7-a", "cannot be read"),
        ("p8-a", "ZeroDivisionError: odd"),
    ]
    assert lines["not_done_percent"].value == 25
    assert failing(lines) == ["not_done_percent"]
    assert len(seen) == 6


def test_what_fails_every_case_is_raised(site):
    with pytest.raises(MissingDependencyError):
        site(many() | {"p7-a": MissingDependencyError("no pyRadPlan")})
    with pytest.raises(DataSetError, match="none of 2 cases could be converted; got a: bad; b: bad"):
        site({"a": InputError("bad"), "b": InputError("bad")})
    with pytest.raises(DataSetError, match="none of 0 cases"):
        site({})


def test_the_gatekeeper_on_own_and_broken_cases(site):
    results = many(20)
    results["p1-a"]["verdict"], results["p2-a"]["verdict"] = Verdict.REFUSE, Verdict.REFUSE
    results["p3-a"]["verdict"] = Verdict.WARN
    _, lines, seen = site(results, caught=0.85)
    assert [lines[key].value for key in ("refused_percent", "warned_percent", "caught_percent")] == [10, 5, 85]
    assert failing(lines) == ["refused_percent", "caught_percent"]
    # only what passes as it is is broken
    assert len(seen) == 17
    assert not {"p1-a", "p2-a", "p3-a"} & set(seen)


def test_no_copies(site):
    _, lines, _ = site(many(), copies_per_kind=0)
    assert (lines["caught_percent"].verdict, lines["caught_percent"].remark) == (
        LineVerdict.NOT_JUDGED,
        "not asked for",
    )
    _, lines, _ = site(many(verdict=Verdict.WARN))
    assert "no case passes the check as it is" in lines["caught_percent"].remark


def test_a_model_without_reference_or_calibration_says_so(site):
    found, lines, seen = site({f"p{k}": GOOD for k in range(6)}, model=model_with(reference=False, calibration=False))
    for key in ("refused_percent", "warned_percent", "caught_percent"):
        assert (lines[key].verdict, lines[key].remark) == (LineVerdict.NOT_JUDGED, NO_REFERENCE)
    for key in (*PROMISED, "predicted_mae_off_percent"):
        assert lines[key].verdict is LineVerdict.NOT_JUDGED
        assert lines[key].remark == "the model holds no calibration, so it states no interval"
    assert found.verdict is LineVerdict.PASS
    assert seen == []


def test_an_interval_that_holds_too_little_or_too_much_fails(site):
    _, lines, _ = site(many(coverage_off_percent=-7.0, coverage_off_bone_percent=9.0))
    assert failing(lines) == ["coverage_off_percent", "coverage_off_bone_percent"]


def test_what_was_not_asked_for(site):
    _, lines, _ = site({f"p{k}": {k: v for k, v in GOOD.items() if "path" not in k} for k in range(6)})
    assert lines["path_length_mae_mm"].remark == "not asked for"
    assert lines["coverage_off_percent"].remark.startswith("no interval could be predicted")
    no_air = {f"p{k}": GOOD | {key: 0.0 for key in PROMISED if "air" not in key} for k in range(6)}
    assert site(no_air)[1]["coverage_off_air_percent"].remark == "no case has such voxels"
    _, lines, _ = site(dict.fromkeys(("p1", "p2"), GOOD), uncertainty=False)
    assert lines["coverage_off_percent"].remark == "not asked for"
    _, lines, _ = site(many(), beams=("photon",))
    assert "proton_gamma_pass_2_2_percent" not in lines
    assert lines["photon_gamma_pass_2_2_percent"].verdict is LineVerdict.NOT_JUDGED
    assert "could be planned on" in lines["photon_gamma_pass_2_2_percent"].remark
    _, lines, _ = site(many(photon_gamma_pass_2_2_percent=85.0), beams=("photon",))
    assert failing(lines) == ["photon_gamma_pass_2_2_percent"]


def test_files_on_another_grid_fail(site):
    results = many()
    results["p2-a"]["grid"] = "shape (1, 2, 3) and (3, 2, 1)"
    _, lines, _ = site(results)
    assert failing(lines) == ["grid_differs_percent"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["p1-a"], "only 1 case:"),
        (["p1-a", "p2-a", "p3-a", "p4-a"], "only 4 cases:"),
        ([f"p1-{n}" for n in range(8)], "only 8 cases of 1 patient:"),
        (["p1-a", "p1-b", "p2-a", "p3-a", "p4-a"], "only 5 cases of 4 patients:"),
        ([f"p{n}" for n in range(5)], None),
    ],
)
def test_few_cases_are_warned_of(site, names, words):
    found, _, _ = site(dict.fromkeys(names, GOOD))
    assert [warning.startswith(words) for warning in found.warnings] == ([True] if words else [])


def test_limits_of_the_site(site):
    _, lines, _ = site(many(), tolerances=Tolerances(mae_hu=79.9, bone_dice=None))
    assert failing(lines) == ["mae_hu"]
    assert lines["bone_dice"].verdict is LineVerdict.NOT_JUDGED


def test_pairs_only(tmp_path):
    alone = UnpairedCase("m1-mr", "m1", "", tmp_path, Quantity.MR)
    with pytest.raises(DataSetError, match="needs pairs; got m1-mr alone"):
        paired_only([alone])


def test_figures_of_a_score():
    from mr2ct.evaluation.case_score import CaseScore
    from mr2ct.evaluation.image_metrics import HuError

    tissues = {"all": HuError(80.0, -5.0, 99.0, 9), "soft tissue": HuError(40.0, 1.0, 50.0, 5)}
    geometry = {"bone_dice": 0.0, "bone_hd95_mm": math.nan, "body_dice": math.nan, "body_hd95_mm": math.nan}
    score = CaseScore({"mae_hu": 80.0}, tissues, geometry, 0.9, (), ())
    found = score_figures(score)
    assert (found["mae_hu"], found["mean_error_hu"], found["mae_soft_tissue_hu"]) == (80, -5, 40)
    assert found["bone_hd95_mm"] == math.inf
    # the CT has none either
    assert math.isnan(found["body_hd95_mm"])
    other = replace(score, geometry={"bone_dice": 0.7, "bone_hd95_mm": 2.0})
    assert score_figures(other)["bone_hd95_mm"] == 2.0
