"""What a generator and its discriminator owe each other where the discriminator has several layers and scales.

A discriminator's layers are given scale by scale, the finest first: the features of each level, and last the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mr2ct.hounsfield import HuScaling
from mr2ct.training.losses import AdversarialKind, adversarial

_BEYOND = 0.1
_SMALL = 1e-6

Layers = Sequence[Sequence[Tensor]]


@dataclass(frozen=True)
class Game:
    """How generator and discriminator play.

    Parameters
    ----------
    kind : "cross_entropy" as in the paper, or "least_squares".
    adversarial, feature_matching : how much the two terms count for the generator; the second is not computed at 0.
    begins : the step from which the discriminator counts; before it the generator learns from the pairs alone.
    window : what the discriminator sees of the CT.
    """

    kind: AdversarialKind = "cross_entropy"
    adversarial: float = 1.0
    feature_matching: float = 0.0
    begins: int = 0
    window: JudgeWindow | None = None


@dataclass(frozen=True)
class JudgeWindow:
    """The limits, in network units, between which a discriminator sees the full contrast; beyond them it sees a tenth.

    Over the whole range of HU a metal filling has most of the contrast, and the skull little of it.

    Example
    -------
    >>> JudgeWindow(-0.5, 0.5)(torch.tensor([-0.5, 0.25, 1.0])).tolist()
    [-1.0, 0.5, 1.100000023841858]
    """

    low: float
    high: float

    @classmethod
    def in_hu(cls, scaling: HuScaling, low_hu: float, high_hu: float) -> JudgeWindow:
        """With limits in HU."""
        return cls(*((hu - scaling.lowest_hu) / scaling.hu_per_unit - 1 for hu in (low_hu, high_hu)))

    def __call__(self, ct: Tensor) -> Tensor:
        """The CT in the window's own units, -1 at its lower limit and 1 at its upper one; same shape."""
        seen = 2 * (ct - self.low) / (self.high - self.low) - 1
        within = seen.clamp(-1, 1)
        return within + _BEYOND * (seen - within)


def judged(layers: Layers, *, real: bool, kind: AdversarialKind) -> Tensor:
    """How far the scores are from "real" or "not real": the mean over the scales of `losses.adversarial`.

    Example
    -------
    >>> judged([[torch.ones(1, 1, 2, 2)], [torch.zeros(1, 1, 1, 1)]], real=True, kind="least_squares").item()
    0.5
    """
    return torch.stack([adversarial(scale[-1], real=real, kind=kind) for scale in layers]).mean()


def feature_difference(of_sct: Layers, of_ct: Layers) -> Tensor:
    """L1 between a discriminator's features of the sCT and of the CT, relative to the CT's; the mean over all levels.

    Source: Wang 2018 (arXiv:1711.11585), equation 4. Relative, for features without a normalisation have any size.

    Example
    -------
    >>> ones, scores = torch.ones(1, 2, 4, 4), torch.zeros(1, 1, 2, 2)
    >>> round(feature_difference([[1.5 * ones, scores]], [[ones, scores]]).item(), 5)
    0.5
    """
    differences = [
        (one - other).abs().mean() / other.abs().mean().clamp(min=_SMALL)
        for one_scale, other_scale in zip(of_sct, of_ct, strict=True)
        for one, other in zip(one_scale[:-1], other_scale[:-1], strict=True)
    ]
    return torch.stack(differences).mean()
