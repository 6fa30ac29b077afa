"""From measures to findings: each rule's limit, in the measure's own unit and, where contrast decides, in the cohort's.

Limits in mm and HU hold for any data set. How much MR and CT have in common depends on the sequence and the region, so
that is judged against other cases of the same plane and centre, where there are enough of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mr2ct.trust.pair_cohort import Usual
from mr2ct.trust.pair_findings import PairFinding, Severity, excluded
from mr2ct.trust.pair_measures import PairMeasures

DISPLACED_MM = 1.8
FAR_MM = 5.0
MIRRORED_GAIN = 1.05
BENT_MM = 6.0
CT_LACKS_MM, MR_LACKS_MM = 16.0, 45.0
CT_VOID_MM, MR_VOID_MM = 8.0, 22.0
OUTLINES_MM = 6.0
METAL_MM3 = 15.0
ROUGH_HU = 60.0
TRUNCATED_MM = 5.0
NO_AGREEMENT = 0.15
"""Below this agreement of edges, at the best of all poses, the images have nothing in common, whatever the cohort."""

MISMATCH_SPREADS, ODD_SPREADS = -8.5, -6.0
"""Of the sum of four measures; untouched pairs of brain-slices reach -7.7, and 1 in 100 of them lies below -5.8."""

_IN_COMMON = {
    "mutual_information_in_place": 1,
    "edge_agreement_in_place": 1,
    "clear_share": 1,
    "outline_in_place_mm": -1,
}
_LEAST_DEPARTURE, _MOST_DEPARTURE = -6.0, 3.0

_LEAST_SPREAD = {
    "edge_agreement_in_place": 0.025,
    "mutual_information": 0.03,
    "mutual_information_in_place": 0.03,
    "clear_share": 0.05,
    "outline_in_place_mm": 0.75,
    "bend_mm": 1.0,
    "ct_lacks_mm": 2.0,
    "mr_lacks_mm": 4.0,
    "ct_void_mm": 1.0,
    "mr_void_mm": 2.0,
    "roughness_hu": 5.0,
}

Usuals = Mapping[str, Usual]


def judge(measures: PairMeasures, usual: Usuals) -> list[PairFinding]:
    """All findings of a pair by itself.

    Parameters
    ----------
    usual : of its cohort, see `usual_for`; empty where there is none, and then limits in mm and HU alone hold.

    Example
    -------
    >>> [finding.code for finding in judge(measures, {})]  # doctest: +SKIP
    ['displaced']
    """
    numbers = measures.numbers()
    return [finding for rule in _RULES for finding in rule(measures, numbers, usual)]


def _departure(name: str, numbers: Mapping[str, float], usual: Usuals) -> float:
    """How many spreads of the cohort a measure lies above its median; 0 without a cohort."""
    if name not in usual:
        return 0.0
    far = usual[name].departure(numbers[name], least_spread=_LEAST_SPREAD[name])
    return far if np.isfinite(far) else 0.0


def _registration(measures: PairMeasures, numbers: Mapping[str, float], usual: Usuals) -> list[PairFinding]:
    """One finding at most: a pair that shows two anatomies has no pose worth naming."""
    value, limit = numbers["mirrored_gain"], MIRRORED_GAIN
    turned = {**numbers, "edge_agreement_in_place": value * numbers["edge_agreement_in_place"]}
    if value > limit and _departure("edge_agreement_in_place", turned, usual) > -2.5:
        sentence = f"edges agree {100 * (value - 1):.0f} % better with the CT turned round along an axis"
        return [excluded("mirrored", sentence, value=value, limit=limit)]
    if _is_mismatch(numbers, usual):
        value = numbers["mutual_information_in_place"]
        sentence = (
            f"MR and CT have little in common at the best pose: mutual information {value:.2f}, "
            f"edge agreement {numbers['edge_agreement_in_place']:.2f}, "
            f"outlines {numbers['outline_in_place_mm']:.1f} mm apart"
        )
        return [excluded("mismatch", sentence, value=value)]
    return _displaced(numbers) + _bent(numbers, usual) + _odd(numbers, usual)


def _is_mismatch(numbers: Mapping[str, float], usual: Usuals) -> bool:
    little = numbers["edge_agreement_in_place"] < NO_AGREEMENT
    return little or _in_common(numbers, usual) < MISMATCH_SPREADS


def _in_common(numbers: Mapping[str, float], usual: Usuals) -> float:
    """How much MR and CT have in common at the best pose, in spreads of the cohort: 0 is usual, below 0 is less.

    The sum of four measures, of which none alone tells another patient's CT from an unusual head.
    """
    return sum(
        float(np.clip(sign * _departure(name, numbers, usual), _LEAST_DEPARTURE, _MOST_DEPARTURE))
        for name, sign in _IN_COMMON.items()
    )


def _displaced(numbers: Mapping[str, float]) -> list[PairFinding]:
    value = numbers["displacement_mm"]
    if value <= DISPLACED_MM:
        return []
    sentence = (
        f"the CT lies {value:.1f} mm from its place on average: "
        f"shifted by {numbers['shift_mm']:.1f} mm, turned by {numbers['rotation_deg']:.1f} degrees"
    )
    if value >= FAR_MM:
        return [excluded("displaced", sentence, value=value, limit=DISPLACED_MM)]
    weight = (DISPLACED_MM / value) ** 2
    return [PairFinding("displaced", Severity.DOUBT, sentence, value, DISPLACED_MM, weight)]


def _bent(numbers: Mapping[str, float], usual: Usuals) -> list[PairFinding]:
    value = numbers["bend_mm"]
    if value <= BENT_MM or _departure("bend_mm", numbers, usual) < 4 * bool(usual):
        return []
    sentence = f"a quarter of the blocks lie more than {value:.1f} mm from where a rigid pose puts them"
    return [PairFinding("bent", Severity.NOTE, sentence, value, BENT_MM, 0.7)]


def _odd(numbers: Mapping[str, float], usual: Usuals) -> list[PairFinding]:
    found, value, apart_mm = [], _in_common(numbers, usual), numbers["outline_in_place_mm"]
    if value < ODD_SPREADS:
        sentence = (
            f"MR and CT have less in common than others of the cohort ({value:.1f} spreads): "
            f"mutual information {numbers['mutual_information_in_place']:.2f}, "
            f"usual {usual['mutual_information_in_place'].median:.2f}"
        )
        found.append(PairFinding("odd", Severity.DOUBT, sentence, value, ODD_SPREADS, 0.5))
    if apart_mm > OUTLINES_MM:
        sentence = f"the outlines of MR and CT lie {apart_mm:.1f} mm apart"
        found.append(PairFinding("outlines", Severity.DOUBT, sentence, apart_mm, OUTLINES_MM, 0.5))
    return found


def _grids(measures: PairMeasures, numbers: Mapping[str, float], usual: Usuals) -> list[PairFinding]:
    if measures.grids is None:
        return []
    sentence = f"MR and CT lie on different grids ({measures.grids}): preprocess with --resample-ct or --register"
    return [PairFinding("grids", Severity.NOTE, sentence)]


def _levels(measures: PairMeasures, numbers: Mapping[str, float], usual: Usuals) -> list[PairFinding]:
    levels = measures.levels
    where = f"the body's commonest value is {levels.tissue:.0f} and the air's {levels.air:.0f}"
    if levels.verdict == "offset":
        sentence = f"the rescale intercept was not applied: {where}, {levels.offset_hu:.0f} too high"
        return [excluded("hu-offset", sentence, value=levels.tissue)]
    if levels.verdict == "scale":
        return [excluded("hu-scale", f"not in HU: {where}; expected about 40 and -1000", value=levels.tissue)]
    if levels.verdict == "air":
        sentence = f"air is not black: {where}; expected about 40 and -1000"
        return [PairFinding("hu-air", Severity.DOUBT, sentence, levels.air, None, 0.3)]
    return []


def _extremes(measures: PairMeasures, numbers: Mapping[str, float], usual: Usuals) -> list[PairFinding]:
    extremes, found = measures.extremes, []
    if extremes.clipped:
        sentence = (
            f"clipped: {100 * extremes.at_highest:.1f} % of bone is {extremes.highest_hu:.0f} HU exactly, and none more"
        )
        found.append(PairFinding("hu-clipped", Severity.DOUBT, sentence, extremes.highest_hu, None, 0.2))
    if extremes.metal_mm3 > METAL_MM3:
        sentence = f"{extremes.metal_mm3:.0f} mm3 above 2990 HU: metal"
        found.append(PairFinding("metal", Severity.DOUBT, sentence, extremes.metal_mm3, METAL_MM3, 0.5))
    if extremes.not_finite:
        sentence = f"{extremes.not_finite} voxels of the CT are NaN or infinite"
        found.append(PairFinding("not-finite", Severity.DOUBT, sentence, float(extremes.not_finite), 0.0, 0.5))
    value = numbers["roughness_hu"]
    if value > ROUGH_HU or _departure("roughness_hu", numbers, usual) > 8:
        sentence = f"soft tissue of the CT varies by {value:.0f} HU from place to place: streaks or noise"
        found.append(PairFinding("streaks", Severity.DOUBT, sentence, value, ROUGH_HU, 0.5))
    return found


def _coverage(measures: PairMeasures, numbers: Mapping[str, float], usual: Usuals) -> list[PairFinding]:
    found = []
    if numbers["constant_mm"] > TRUNCATED_MM:
        value = numbers["constant_mm"]
        sentence = f"truncated: {value:.0f} mm of the CT from one border on hold {measures.constant_hu:.0f} HU alone"
        # what fills the block may look like a body
        return [excluded("truncated", sentence, value=value, limit=TRUNCATED_MM)]
    for which, other, limit, weight in (("ct", "MR", CT_VOID_MM, 0.2), ("mr", "CT", MR_VOID_MM, 0.5)):
        value = numbers[f"{which}_void_mm"]
        # half the limit will do where the cohort has nothing of the kind
        if value > limit or (value > limit / 2 and _departure(f"{which}_void_mm", numbers, usual) > 4):
            sentence = f"the {which.upper()} ends {value:.0f} mm before the body that the {other} shows does"
            found.append(PairFinding(f"{which}-field-of-view", Severity.DOUBT, sentence, value, limit, weight))
    for which, other, limit, weight in (("ct", "MR", CT_LACKS_MM, 0.2), ("mr", "CT", MR_LACKS_MM, 0.5)):
        name = f"{which}_lacks_mm"
        value, share = numbers[name], numbers[f"{which}_lacks_share"]
        if value > limit and _departure(name, numbers, usual) >= 5 * bool(usual):
            sentence = (
                f"the {other} shows tissue {value:.0f} mm thick ({100 * share:.0f} % of the body) "
                f"where the {which.upper()} has none"
            )
            severity = Severity.DOUBT if which == "ct" else Severity.NOTE
            found.append(PairFinding(f"{which}-field-of-view", severity, sentence, value, limit, weight))
    return found


_RULES: tuple[Callable[[PairMeasures, Mapping[str, float], Usuals], list[PairFinding]], ...] = (
    _grids,
    _levels,
    _registration,
    _coverage,
    _extremes,
)
