"""From cases with a CT to a calibration: voxels drawn from each, a distribution fitted, levels set, the MAE related."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError
from mr2ct.inference.translator import PreparedBody, Translator
from mr2ct.trust.calibration import INTERVAL, OWN, Variant
from mr2ct.trust.hu_distribution import N_BINS, Float32, bin_of, expected_error_hu
from mr2ct.trust.levels import CalibrationVoxels, find_levels
from mr2ct.trust.small_network import SmallNetwork, fit_network
from mr2ct.trust.uncertainty import near_body, slices_of
from mr2ct.volume import Volume

_SHARE = 0.1
"""Of a case's voxels: neighbours tell the same, and all would not fit in memory."""


@dataclass(frozen=True)
class DrawnCase:
    """Some voxels of a case, for one set of models.

    Parameters
    ----------
    patient : whose it is. held_out : whether the models were not trained on it.
    features : (voxels, features). sct_hu, ct_hu, inside : (voxels,); inside the given mask.
    true_mae_hu : inside the given mask, over all its voxels.
    outline : (voxels,), inside the outline that the MR alone gives. far_error_hu : (n,), |CT| errors far outside it.
    """

    patient: str
    held_out: bool
    features: Float32
    sct_hu: Float32
    ct_hu: Float32
    inside: NDArray[np.bool_]
    outline: NDArray[np.bool_]
    far_error_hu: Float32
    true_mae_hu: float


@dataclass(frozen=True)
class Truth:
    """The CT of a case and the mask to be scored in, in the box of its `PreparedBody`, and whose it is."""

    patient: str
    held_out: bool
    ct_hu: Float32
    mask: NDArray[np.bool_]


def truth_of(
    translator: Translator, mr: Volume, ct: Volume, mask: Volume, body: PreparedBody
) -> tuple[Float32, NDArray[np.bool_]]:
    """CT in HU and mask on the voxels of `body`, prepared as the MR was; errors as in `Pipeline.apply`."""
    given = translator.pipeline.apply(mr, ct=ct, mask=mask)
    if given.ct is None:
        raise DataSetError("no CT to calibrate with", got="none after preprocessing", expected="one")
    return np.asarray(given.ct.voxels[body.box], dtype=np.float32), np.asarray(given.mask.voxels[body.box] != 0)


def draw_case(
    members: Sequence[Translator],
    answers: Sequence[Sequence[Float32]],
    body: PreparedBody,
    truth: Truth,
    *,
    plane: str,
    rng: np.random.Generator,
    sct: str = OWN,
) -> DrawnCase:
    """Draw a tenth of a case's voxels in one plane; `answers` of `member_answers`, `sct` as in `slices_of`."""
    features, sct_hu, ct_hu, inside, outline = [], [], [], [], []
    errors = [np.zeros(0, np.float32)]
    for at, near, of_slice, sct_slice in slices_of(members, answers, body, plane, sct=sct):
        ct_slice, mask = truth.ct_hu[at], truth.mask[at]
        errors.append(np.abs(sct_slice - ct_slice)[mask])
        drawn = (rng.random(mask.shape) < _SHARE) & near & (mask | body.outline[at])
        features.append(of_slice[drawn])
        sct_hu.append(sct_slice[drawn])
        ct_hu.append(ct_slice[drawn])
        inside.append(mask[drawn])
        outline.append(body.outline[at][drawn])
    far = ~near_body(body) & (rng.random(body.weight.shape) < _SHARE)
    lowest = members[0].description.hu_range[0]
    return DrawnCase(
        truth.patient,
        truth.held_out,
        np.concatenate(features),
        np.concatenate(sct_hu),
        np.concatenate(ct_hu),
        np.concatenate(inside),
        np.concatenate(outline),
        np.abs(truth.ct_hu[far] - np.float32(lowest)),
        float(np.concatenate(errors).mean()),
    )


def fit_variant(
    members: Sequence[Translator], cases: Sequence[DrawnCase], *, seed: int = 0, steps: int = 4000
) -> Variant:
    """Fit a calibration for one set of models.

    The shape (which features mean which HU) is learnt on training patients, the levels on held-out and training
    patients together (see `find_levels`), the relation of expected and true MAE on all cases.

    Raises
    ------
    DataSetError : no case of a training patient or none of a held-out one.
    """
    trained = [case for case in cases if not case.held_out]
    if not trained:
        raise DataSetError("nobody to learn on", got="no training patient", expected="training and validation patients")
    features = np.concatenate([case.features[case.inside] for case in trained])
    targets = bin_of(np.concatenate([case.ct_hu[case.inside] for case in trained]))
    fitted = fit_network(features, targets, outputs=N_BINS, seed=seed, steps=steps)
    # what is stored is rounded: the levels must be those of the stored network
    network = SmallNetwork.from_record(fitted.to_record())
    levels = find_levels(_voxels(network, cases), interval=INTERVAL, seed=seed)
    far = np.concatenate([case.far_error_hu for case in cases])
    offset, slope = _mae_line(network, cases)
    return Variant(
        tuple((t.description.name, t.description.weights_sha256) for t in members),
        network,
        levels,
        round(float(np.quantile(far, INTERVAL)), 1) if len(far) else 0.0,
        round(offset, 3),
        round(slope, 4),
    )


def _voxels(network: SmallNetwork, cases: Sequence[DrawnCase]) -> CalibrationVoxels:
    patients = sorted({case.patient for case in cases})
    counts = [int(np.count_nonzero(case.inside)) for case in cases]
    return CalibrationVoxels(
        np.concatenate([network.probabilities(case.features[case.inside]) for case in cases]),
        np.concatenate([case.sct_hu[case.inside] for case in cases]),
        np.concatenate([case.ct_hu[case.inside] for case in cases]),
        np.repeat([patients.index(case.patient) for case in cases], counts),
        np.repeat([case.held_out for case in cases], counts),
    )


def _mae_line(network: SmallNetwork, cases: Sequence[DrawnCase]) -> tuple[float, float]:
    """Offset and slope from a case's mean expected error inside its outline to its true MAE, by least squares."""
    seen = [case for case in cases if case.outline.any()]
    expected = [
        float(expected_error_hu(network.probabilities(c.features[c.outline]), c.sct_hu[c.outline]).mean()) for c in seen
    ]
    if len(seen) < 3 or np.ptp(expected) == 0:
        return 0.0, 1.0
    slope, offset = np.polyfit(expected, [case.true_mae_hu for case in seen], 1)
    return float(offset), float(slope)
