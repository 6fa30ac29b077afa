"""The pipeline that a data set is prepared with: the default one with a few choices, and what is learnt from the cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mr2ct.datasets.case_images import Reading
from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.errors import DataSetError
from mr2ct.preprocessing.pipeline import Pipeline, default_pipeline


def choose_pipeline(
    fit_on: Sequence[PairedCase | UnpairedCase],
    reading: Reading,
    root: Path,
    *,
    normalise: str,
    n4: bool,
    spacing_mm: float,
) -> Pipeline:
    steps = []
    for step in default_pipeline().steps:
        steps.append(dataclasses.replace(step, spacing_mm=spacing_mm) if step.name == "to_spacing" else step)
    if n4 or normalise != "percentile":
        raise DataSetError("not yet")
    return Pipeline(tuple(steps))
