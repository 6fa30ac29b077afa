"""The pipeline that a data set is prepared with: the default one, with choices and what is learnt from the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mr2ct.datasets.case_images import Reading, read_mr
from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.datasets.store import finished_cases, read_settings
from mr2ct.errors import DataSetError, Mr2ctError
from mr2ct.preprocessing.bias_field import BiasFieldCorrection
from mr2ct.preprocessing.body_mask import BodyMask, body_mask
from mr2ct.preprocessing.core_scaling import CoreScaling
from mr2ct.preprocessing.hu_clipping import ClipHu
from mr2ct.preprocessing.intensity import PercentileScaling, ZScore
from mr2ct.preprocessing.nyul import PERCENTILES, Nyul
from mr2ct.preprocessing.orientation import ToCanonical
from mr2ct.preprocessing.pipeline import Pipeline
from mr2ct.preprocessing.reference_region import OUTLINE
from mr2ct.preprocessing.resampling import ToSpacing
from mr2ct.preprocessing.step import Step
from mr2ct.volume import Quantity, Volume

Case = PairedCase | UnpairedCase

SCALINGS: dict[str, CoreScaling | PercentileScaling | ZScore] = {
    "core": CoreScaling(),
    "percentile": PercentileScaling(within=OUTLINE),
    "zscore": ZScore(within=OUTLINE),
}
"""Intensity scalings that need nothing but the image itself, by their name on the command line; "nyul" is learnt."""


_UNLEARNT = Nyul(tuple(percentile / 100 for percentile in PERCENTILES), within=OUTLINE)


def choose_pipeline(root: Path, *, normalise: str, n4: bool, spacing_mm: float | tuple[float, ...]) -> Pipeline:
    """Canonical axes, one voxel size, body mask, bias field correction if asked for, intensity scaling, HU clipping.

    Bias field and intensities are measured in the MR's own outline, whatever mask is given ("core": deep inside the
    mask): alike where a case has a mask and where a converted MR has none.

    Parameters
    ----------
    root : the store; the histogram that its cases were prepared with is taken from it.
    normalise : "core", "percentile", "zscore" or "nyul". n4 : correct the bias field.
    spacing_mm : of prepared cases: one size, or three along (i, j, k) of the canonical orientation.

    Returns
    -------
    The pipeline; with "nyul" and a store without cases, one for `learn_pipeline` to complete.

    Raises
    ------
    DataSetError : an unknown normalisation, a spacing of 0 or less.
    """
    sizes = spacing_mm if isinstance(spacing_mm, tuple) else (spacing_mm,)
    if not min(sizes) > 0:
        raise DataSetError("unusable voxel size", got=f"{' x '.join(f'{s:g}' for s in sizes)} mm", expected="above 0")
    before: tuple[Step, ...] = (ToCanonical(), ToSpacing(spacing_mm), BodyMask())
    if n4:
        before += (BiasFieldCorrection(within=OUTLINE),)
    if normalise in SCALINGS:
        return Pipeline((*before, SCALINGS[normalise], ClipHu()))
    if normalise != "nyul":
        raise DataSetError("unknown normalisation", got=repr(normalise), expected=", ".join([*SCALINGS, "nyul"]))
    return Pipeline((*before, _recorded_nyul(root) or _UNLEARNT, ClipHu()))


def is_learnt(pipeline: Pipeline) -> bool:
    """Whether a chosen pipeline is complete as it is: it has no histogram, or one that the store records."""
    return _UNLEARNT not in pipeline.steps


def learn_pipeline(
    chosen: Pipeline, fit_on: Sequence[Case], reading: Reading, *, report: Callable[[str], None] | None = None
) -> Pipeline:
    """The chosen pipeline with the standard histogram of the training cases; as it is where there is none to learn.

    Parameters
    ----------
    fit_on : the training cases; those without an MR are passed over. reading : how they are read.
    report : called with the name of each case once it is learnt from, or passed over.

    Raises
    ------
    DataSetError : no case with an MR to learn from.
    """
    if is_learnt(chosen):
        return chosen
    before, after = chosen.steps[: chosen.steps.index(_UNLEARNT)], chosen.steps[chosen.steps.index(_UNLEARNT) + 1 :]
    images = _images(fit_on, Pipeline(before), reading, report)
    return Pipeline((*before, Nyul.fit(images, within=OUTLINE), *after))


def _recorded_nyul(root: Path) -> Nyul | None:
    if not (root / "store.json").exists() or not finished_cases(root):
        return None
    steps = Pipeline.from_record(read_settings(root)["pipeline"]).steps
    return next((step for step in steps if isinstance(step, Nyul)), None)


def _images(
    cases: Sequence[Case], before: Pipeline, reading: Reading, report: Callable[[str], None] | None
) -> Iterator[tuple[Volume, Volume]]:
    """MR and outline of each case that has an MR; a case that fails here will fail again, and be reported, later."""
    for case in cases:
        image = _image(case, before, reading)
        if image is not None:
            yield image
        if report is not None:
            report(case.case)


def _image(case: Case, before: Pipeline, reading: Reading) -> tuple[Volume, Volume] | None:
    if isinstance(case, UnpairedCase) and case.quantity is not Quantity.MR:
        return None
    try:
        mr, mask = read_mr(case, reading)
        prepared = before.apply(mr, mask=mask)
        return prepared.mr, body_mask(prepared.mr)
    except Mr2ctError:
        return None
