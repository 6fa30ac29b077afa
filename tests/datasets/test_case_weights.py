"""The weights' CSV: written, read back, and refused where a weight is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.datasets.case_weights import read_case_weights, write_case_weights
from mr2ct.errors import DataSetError


@given(st.dictionaries(st.from_regex(r"[0-9A-Za-z_-]{1,8}", fullmatch=True), st.floats(0, 1), min_size=1))
def test_what_is_written_is_read_back(tmp_path_factory, weights):
    path = write_case_weights(weights, tmp_path_factory.mktemp("w") / "weights.csv")
    assert read_case_weights(path) == pytest.approx(weights, rel=1e-5)


@pytest.mark.parametrize("weight", ["", "much", "-0.5", "nan", "inf"])
def test_unusable_weights_are_named(tmp_path, weight):
    (tmp_path / "w.csv").write_text(f"case,weight\na,1\nb,{weight}\n")
    with pytest.raises(DataSetError, match="weight of case b"):
        read_case_weights(tmp_path / "w.csv")


def test_a_table_without_weights_or_with_a_case_twice_is_refused(tmp_path):
    (tmp_path / "w.csv").write_text("case\na\n")
    with pytest.raises(DataSetError, match="lacks the column"):
        read_case_weights(tmp_path / "w.csv")
    (tmp_path / "w.csv").write_text("case,weight\na,1\na,0\n")
    with pytest.raises(DataSetError, match="duplicate case a"):
        read_case_weights(tmp_path / "w.csv")
