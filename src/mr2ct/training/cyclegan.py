"""CycleGAN (Zhu 2017, arXiv:1703.10593): two generators and two discriminators, for MR and CT of different patients.

Unpaired MR and CT do not say by themselves that the dark skull is bright in CT and dark air is not. What tells them
apart here: outline masks, a structure term that keeps edges in place, and, where a recipe names some, pairs whose truth
is known (phantoms), learnt from alone at first and beside the unpaired images afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mr2ct.training.averaged_method import AveragedMethod
from mr2ct.training.image_pool import ImagePool
from mr2ct.training.learner import Learner, update
from mr2ct.training.losses import AIR, adversarial, gradient_difference, masked_l1, outside_l1, structure_difference
from mr2ct.training.mind import descriptor_difference

MR_BACKGROUND = 0.0
StructureKind = Literal["gradient_fields", "mind"]
STRUCTURE_TERMS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "gradient_fields": structure_difference,
    "mind": descriptor_difference,
}
"""How far the structure of two modalities' images, (N, 1, *spatial), is from alike inside an outline."""


@dataclass(frozen=True)
class CycleWeights:
    """How much each term counts.

    Parameters
    ----------
    cycle, identity : of the paper, 10 and 5 there. adversarial : 1 in the paper.
    structure : edges of the MR and of its sCT stay parallel, and of the CT and its sMR.
    outside : air outside the sCT's outline, background outside the synthetic MR's.
    paired : of L1 and gradients on pairs of known truth, if the batch has any.
    structure_kind : one of `STRUCTURE_TERMS`.
    """

    cycle: float = 10.0
    identity: float = 5.0
    adversarial: float = 1.0
    structure: float = 1.0
    outside: float = 1.0
    paired: float = 10.0
    structure_kind: StructureKind = "gradient_fields"


@dataclass(frozen=True)
class _Synthetic:
    """One direction and back: the other modality's image made from a real one, and the real one made again from it."""

    image: Tensor
    again: Tensor


class Players(NamedTuple):
    """The four learners: generators MR to CT and CT to MR, discriminators of CT and of MR."""

    to_ct: Learner
    to_mr: Learner
    judge_ct: Learner
    judge_mr: Learner


class CycleGAN(AveragedMethod):
    """Two generators against two discriminators.

    Parameters
    ----------
    weights : of the terms. pool_size : images each pool keeps (50 in the paper).
    pairs_alone_steps : how many first steps learn only from pairs of known truth.
    """

    parts = ("to_ct", "to_mr", "judge_ct", "judge_mr")
    pools = ("ct_pool", "mr_pool")

    def __init__(
        self,
        players: Players,
        *,
        weights: CycleWeights,
        pool_size: int = 50,
        pairs_alone_steps: int = 0,
        ema_decay: float = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__(players.to_ct, ema_decay=ema_decay)
        self.to_ct, self.to_mr, self.judge_ct, self.judge_mr = players
        self.weights, self.pairs_alone_steps = weights, pairs_alone_steps
        self.ct_pool, self.mr_pool = ImagePool(size=pool_size, seed=seed), ImagePool(size=pool_size, seed=seed + 1)

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one batch: mr, mr_mask, ct, ct_mask of different patients; pair_mr, pair_ct, pair_mask if any."""
        terms: dict[str, Tensor] = {}
        loss = torch.zeros((), device=batch["mr"].device)
        if "pair_mr" in batch:
            terms["paired"] = self._paired(batch)
            loss = loss + self.weights.paired * terms["paired"]
        if self.steps < self.pairs_alone_steps:
            update(loss, [self.to_ct, self.to_mr])
        else:
            terms |= self._play(batch, loss)
        self._count_step()
        return {name: term.detach() for name, term in terms.items()}

    def _play(self, batch: dict[str, Tensor], loss: Tensor) -> dict[str, Tensor]:
        """One round of generators against discriminators; `loss` is what the generators owe already."""
        mr = outlined(batch["mr"], batch["mr_mask"], MR_BACKGROUND)
        ct = outlined(batch["ct"], batch["ct_mask"], AIR)
        self._freeze_judges(True)
        sct, smr = self._there_and_back(mr, self.to_ct, self.to_mr), self._there_and_back(ct, self.to_mr, self.to_ct)
        terms = {
            **self._cycle_terms(mr, sct, ct, smr),
            **anatomy_terms(batch, self.weights.structure_kind, mr=mr, sct=sct.image, ct=ct, smr=smr.image),
        }
        masked_sct = outlined(sct.image, batch["mr_mask"], AIR)
        masked_smr = outlined(smr.image, batch["ct_mask"], MR_BACKGROUND)
        terms["adversarial"] = convinces(self.judge_ct, masked_sct) + convinces(self.judge_mr, masked_smr)
        loss = loss + sum((getattr(self.weights, name) * term for name, term in terms.items()), torch.zeros_like(loss))
        update(loss, [self.to_ct, self.to_mr])
        self._freeze_judges(False)
        terms["judge_ct"] = judge_step(self.judge_ct, real=ct, synthetic=self.ct_pool.swap(masked_sct))
        terms["judge_mr"] = judge_step(self.judge_mr, real=mr, synthetic=self.mr_pool.swap(masked_smr))
        return terms

    def _paired(self, batch: dict[str, Tensor]) -> Tensor:
        mr, ct, mask = batch["pair_mr"], batch["pair_ct"], batch["pair_mask"]
        sct, smr = self.to_ct(mr), self.to_mr(outlined(ct, mask, AIR))
        to_ct = masked_l1(sct, ct, mask) + gradient_difference(sct, ct, mask) + 0.2 * outside_l1(sct, mask, value=AIR)
        return to_ct + 0.5 * masked_l1(smr, mr, mask)

    @staticmethod
    def _there_and_back(image: Tensor, there: Learner, back: Learner) -> _Synthetic:
        synthetic = there(image)
        return _Synthetic(synthetic, back(synthetic))

    def _cycle_terms(self, mr: Tensor, sct: _Synthetic, ct: Tensor, smr: _Synthetic) -> dict[str, Tensor]:
        terms = {"cycle": (sct.again - mr).abs().mean() + (smr.again - ct).abs().mean()}
        if self.weights.identity:
            terms["identity"] = (self.to_ct(ct) - ct).abs().mean() + (self.to_mr(mr) - mr).abs().mean()
        return terms

    def _freeze_judges(self, frozen: bool) -> None:
        self.judge_ct.freeze(frozen)
        self.judge_mr.freeze(frozen)


def anatomy_terms(
    batch: dict[str, Tensor], structure: StructureKind, *, mr: Tensor, sct: Tensor, ct: Tensor, smr: Tensor
) -> dict[str, Tensor]:
    """The terms "structure" and "outside" of both directions: edges stay in place, nothing lies beyond the outline."""
    of_mr, of_ct = batch["mr_mask"], batch["ct_mask"]
    apart = STRUCTURE_TERMS[structure]
    return {
        "structure": apart(mr, sct, of_mr) + apart(ct, smr, of_ct),
        "outside": outside_l1(sct, of_mr, value=AIR) + outside_l1(smr, of_ct, value=MR_BACKGROUND),
    }


def outlined(image: Tensor, mask: Tensor, outside: float) -> Tensor:
    """The image inside the mask, `outside` beyond it.

    Example
    -------
    >>> outlined(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]), -1.0).tolist()
    [0.5, -1.0]
    """
    return image * mask + outside * (1 - mask)


def convinces(judge: Learner, synthetic: Tensor) -> Tensor:
    """The generator's least-squares loss: how far the discriminator is from taking its images for real ones."""
    return adversarial(judge(synthetic), real=True, kind="least_squares")


def judge_step(judge: Learner, *, real: Tensor, synthetic: Tensor) -> Tensor:
    """Let a discriminator learn from real and synthetic images; returns its least-squares loss."""
    of_real = adversarial(judge(real), real=True, kind="least_squares")
    of_synthetic = adversarial(judge(synthetic), real=False, kind="least_squares")
    loss = 0.5 * (of_real + of_synthetic)
    update(loss, [judge])
    return loss
