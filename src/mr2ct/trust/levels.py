"""Which probability makes an interval hold its word in every tissue.

An interval that holds for 90 % of all voxels may hold for 95 % of brain and 60 % of bone. After class-conditional
conformal prediction (Vovk 2012, arXiv:1209.2673; Ding et al. 2023, arXiv:2306.09335), it is set so that of the voxels
whose *true* tissue is air, soft tissue and bone, 90 % each are inside. The truth being unknown at use, a voxel's
probability inside its interval is mixed (in log odds) from three shares, one a tissue, by how likely each is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import DataSetError
from mr2ct.hounsfield import Tissue
from mr2ct.trust.hu_distribution import (
    TISSUE_OF_BIN,
    TISSUES,
    Float32,
    bin_of,
    half_widths_hu,
    reweighted,
    tissue_shares,
)

_ROUNDS, _STEP, _VOXELS_A_TISSUE = 40, 0.7, 20_000
_LOWEST_LOGIT, _HIGHEST_LOGIT = -4.0, 11.0
_LARGEST_MISS = 0.02

OPTIMISM = 0.015
"""How far the coverage of training patients is thought to lie above that of others, before looking."""


@dataclass(frozen=True)
class Levels:
    """How bin probabilities become a half-width.

    Parameters
    ----------
    tissue_weights : of air, soft tissue, bone: how much more likely than found each is taken to be.
    shares : of air, soft tissue, bone: the probability inside the interval where that tissue is certain.

    Example
    -------
    >>> sure = np.zeros((1, len(TISSUE_OF_BIN)), np.float32); sure[0, bin_of(np.array(45))] = 1
    >>> float(Levels((1, 1, 1), (0.9, 0.9, 0.9)).half_widths_hu(sure, np.float32([45]))[0].round(1))
    4.5
    """

    tissue_weights: tuple[float, float, float]
    shares: tuple[float, float, float]

    def half_widths_hu(self, probabilities: Float32, sct_hu: Float32) -> Float32:
        """Half-widths about the sCT: (voxels, bins) and (voxels,) to (voxels,)."""
        weighted = reweighted(probabilities, self.tissue_weights)
        logits = tissue_shares(weighted) @ np.asarray([_logit(share) for share in self.shares], dtype=np.float32)
        share = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return half_widths_hu(weighted, sct_hu, share)


@dataclass(frozen=True)
class CalibrationVoxels:
    """Voxels of known truth: bin probabilities (voxels, bins), sCT and CT in HU, patients' numbers, all (voxels,).

    `held_out` : (voxels,), of patients that the model was not trained on.
    """

    probabilities: Float32
    sct_hu: Float32
    ct_hu: Float32
    patient: NDArray[np.intp]
    held_out: NDArray[np.bool_]


def find_levels(voxels: CalibrationVoxels, *, interval: float = 0.9, seed: int = 0) -> Levels:
    """The levels with which `interval` of the voxels of each true tissue are covered.

    Held-out patients are few, so their coverage is noisy; training patients are many, but the model may do better on
    them. So the coverage to expect is that of training patients, less a part of the gap to the held-out ones: the whole
    gap where it is far beyond their noise (from how patients differ), a small part where it is not (shrinkage, with a
    prior of `OPTIMISM`).

    Raises
    ------
    DataSetError : a tissue that no voxel has, no held-out patient, or tissues so alike that no levels do.

    Example
    -------
    >>> find_levels(voxels).shares  # doctest: +SKIP
    (0.86, 0.83, 0.93)
    """
    if not voxels.held_out.any():
        raise DataSetError("nobody to calibrate on", got="no held-out patient", expected="validation patients")
    tissue = TISSUE_OF_BIN[bin_of(voxels.ct_hu)]
    rng = np.random.default_rng(seed)
    samples = [_drawn(np.flatnonzero(tissue == t), voxels.held_out, rng, name=TISSUES[t]) for t in range(len(TISSUES))]
    weights = _square_root_balanced(tissue)
    logits = np.full(len(TISSUES), _logit(interval))
    for _ in range(_ROUNDS):
        levels = Levels(weights, _shares(logits))
        covered = np.array([_coverage(levels, voxels, trained, held_out) for trained, held_out in samples])
        logits += _STEP * np.clip(_logit(interval) - _logit(np.clip(covered, 0.01, 0.995)), -1, 1)
        logits = np.clip(logits, _LOWEST_LOGIT, _HIGHEST_LOGIT)
    if np.abs(covered - interval).max() > _LARGEST_MISS:
        raise DataSetError(
            "no levels hold in every tissue",
            got=", ".join(f"{tissue} {share:.1%}" for tissue, share in zip(TISSUES, covered, strict=True)),
            expected=f"{interval:.0%} each",
            remedy="calibrate on more patients, or train a model that tells the tissues apart",
        )
    return levels


def _square_root_balanced(tissue: NDArray[np.intp]) -> tuple[float, float, float]:
    """Half-way, in logarithms, from tissues as frequent as they are to all alike: gave the shortest intervals."""
    counts = np.bincount(tissue, minlength=len(TISSUES))
    air, soft, bone = (float(round(np.sqrt(counts[1] / count), 4)) for count in counts)
    return air, soft, bone


def _drawn(
    of_tissue: NDArray[np.intp], held_out: NDArray[np.bool_], rng: np.random.Generator, *, name: Tissue
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Some voxels of training patients and some of held-out ones."""
    sides = [of_tissue[~held_out[of_tissue]], of_tissue[held_out[of_tissue]]]
    if not len(sides[1]):
        raise DataSetError("a tissue cannot be calibrated", got=f"no held-out voxel of {name}", expected="some of each")
    trained, others = (rng.permutation(side)[:_VOXELS_A_TISSUE] for side in sides)
    return trained, others


def _coverage(
    levels: Levels, voxels: CalibrationVoxels, trained: NDArray[np.intp], held_out: NDArray[np.intp]
) -> float:
    """Of one tissue in new patients, from what was seen of both kinds."""
    inside = _inside(levels, voxels, held_out)
    of_held_out = float(inside.mean())
    if not len(trained):
        return of_held_out
    _, number = np.unique(voxels.patient[held_out], return_inverse=True)
    by_patient = np.bincount(number, inside) / np.bincount(number)
    noise = float(by_patient.var(ddof=1)) / len(by_patient) if len(by_patient) > 1 else 1.0
    of_trained = float(_inside(levels, voxels, trained).mean())
    # a model does not do worse on what it was trained on: held-out patients that are covered better were lucky
    gap = max(of_trained - of_held_out, 0.0)
    prior = max(OPTIMISM**2, gap**2 - noise)
    return of_trained - gap * prior / (prior + noise)


def _inside(levels: Levels, voxels: CalibrationVoxels, chosen: NDArray[np.intp]) -> NDArray[np.bool_]:
    sct_hu = voxels.sct_hu[chosen]
    half_widths = levels.half_widths_hu(voxels.probabilities[chosen], sct_hu)
    return np.asarray(np.abs(voxels.ct_hu[chosen] - sct_hu) <= half_widths)


def _logit(share: Any) -> Any:
    return np.log(share / (1 - share))


def _shares(logits: NDArray[Any]) -> tuple[float, float, float]:
    air, soft, bone = (round(float(1 / (1 + np.exp(-logit))), 6) for logit in logits)
    return air, soft, bone
