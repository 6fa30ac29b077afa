"""How much each case counts in training: a CSV that `mr2ct audit` writes, a recipe names and a person may edit."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from mr2ct.datasets.case_names import read_table
from mr2ct.errors import DataSetError
from mr2ct.io.atomic import atomic_file


def write_case_weights(weights: Mapping[str, float], path: str | Path) -> Path:
    """Write case -> weight (0 to 1) as a CSV with the columns case and weight, whole or not at all.

    Example
    -------
    >>> import tempfile
    >>> path = write_case_weights({"1BA001": 0.5}, Path(tempfile.mkdtemp()) / "weights.csv")
    >>> read_case_weights(path)
    {'1BA001': 0.5}
    """
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case", "weight"])
        writer.writerows([case, f"{weight:.6g}"] for case, weight in weights.items())
    return Path(path)


def read_case_weights(path: str | Path) -> dict[str, float]:
    """Case -> weight, 0 or more; cases that are not listed count 1.

    Raises
    ------
    DataSetError : no such file, a missing column, a case that stands twice, a weight that is not a number of 0 or more.
    """
    weights = {}
    for row in read_table(Path(path), required=("case", "weight")):
        try:
            weight = float(row["weight"])
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight >= 0):
            raise DataSetError(
                f"unusable weight of case {row['case']} in {path}", got=repr(row["weight"]), expected="0 or more"
            )
        weights[row["case"]] = weight
    return weights
