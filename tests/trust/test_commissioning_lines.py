"""Lines of an acceptance test: what passes, what fails, what is not judged, and what all of them come to."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from mr2ct.trust.commissioning_lines import LineVerdict, holds, judge, judge_all, overall
from mr2ct.trust.commissioning_tolerances import ENTRIES, Rule, Tolerances

numbers = st.floats(-1e4, 1e4)
limits = st.floats(0, 1e4)


@given(numbers, limits)
def test_rules(value, limit):
    assert holds(value, Rule.AT_MOST, limit) == (value <= limit)
    assert holds(value, Rule.AT_LEAST, limit) == (value >= limit)
    assert holds(value, Rule.WITHIN, limit) == holds(-value, Rule.WITHIN, limit) == (-limit <= value <= limit)


@given(st.sampled_from(sorted(ENTRIES)), numbers)
def test_a_line_says_the_same_in_json(key, value):
    line = judge(key, value, Tolerances(), remark="why")
    said = json.loads(json.dumps(line.to_json(), allow_nan=False))
    assert (said["key"], said["value"], said["verdict"], said["remark"]) == (key, value, line.verdict.value, "why")
    assert said["limit"] == Tolerances().limit_of(key)
    assert said["rule"] == ENTRIES[key].rule.value


def test_no_value_is_not_judged_and_says_so():
    for value in (None, math.nan):
        line = judge("mae_hu", value, Tolerances())
        assert (line.verdict, line.value, line.remark) == (LineVerdict.NOT_JUDGED, None, "no value")
        assert line.value_words == "–"


def test_what_the_sct_lacks_fails():
    line = judge("median_body_hd95_mm", math.inf, Tolerances())
    assert line.verdict is LineVerdict.FAIL
    assert line.value_words == "none"
    assert line.to_json()["value"] is None


def test_a_limit_that_is_switched_off():
    line = judge("mae_hu", 9999.0, Tolerances(mae_hu=None), remark="70 to 90")
    assert line.verdict is LineVerdict.NOT_JUDGED
    assert line.remark == "switched off by the tolerances; 70 to 90"
    assert line.limit_words == "none"


def test_overall():
    one = {value: judge("mae_hu", value, Tolerances()) for value in (90.0, 900.0, None)}
    assert overall([one[90.0], one[900.0], one[None]]) is LineVerdict.FAIL
    assert overall([one[90.0], one[None]]) is LineVerdict.PASS
    assert overall([one[None]]) is LineVerdict.NOT_JUDGED
    assert overall([]) is LineVerdict.NOT_JUDGED


def test_lines_come_in_the_order_of_the_table():
    lines = judge_all({"bone_dice": 0.9, "mae_hu": 80.0}, Tolerances(), remarks={"mae_hu": "70 to 90"})
    assert [(line.key, line.remark) for line in lines] == [("mae_hu", "70 to 90"), ("bone_dice", "")]


def test_words():
    assert judge("mean_error_bone_hu", -12.34, Tolerances()).value_words == "−12.3 HU"
    assert judge("mean_error_bone_hu", -0.01, Tolerances()).value_words == "0.0 HU"
    assert judge("repeat_inputs_changed", 2.0, Tolerances()).value_words == "2"
    assert judge("mean_error_bone_hu", 1.0, Tolerances()).limit_words == "within ±280 HU"
    assert judge("bone_dice", 1.0, Tolerances()).limit_words == "at least 0.7"
