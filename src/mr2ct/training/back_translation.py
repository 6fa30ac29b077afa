"""CycleGAN whose cycles teach by back-translation: one generator makes an image, and the other learns to undo it.

A cycle through both generators at once can be closed by a code: the first hides in its image what the second needs
(Chu 2017, arXiv:1712.02950), and the mapping may be wrong all along. Here the image in the middle of a cycle is
detached, as in translation between languages without pairs (Sennrich 2016, arXiv:1511.06709; Lample 2018,
arXiv:1711.00043). The CT-to-MR generator makes an MR of a real CT; contrast and noise of that MR are changed; and the
MR-to-CT generator learns from it as from a pair, with the real CT as truth. The other way round likewise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mr2ct.datasets.augmentation import IntensityAugmentation
from mr2ct.datasets.coil_fall_off import CoilFallOff
from mr2ct.datasets.lost_signal import LostSignal
from mr2ct.datasets.short_field import ShortField
from mr2ct.datasets.soft_tissue_texture import SoftTissueTexture
from mr2ct.training.average import moving_average
from mr2ct.training.averaged_method import AveragedMethod
from mr2ct.training.cyclegan import (
    MR_BACKGROUND,
    Players,
    StructureKind,
    anatomy_terms,
    convinces,
    judge_step,
    outlined,
)
from mr2ct.training.image_pool import ImagePool
from mr2ct.training.learner import update
from mr2ct.training.losses import AIR, gradient_difference, masked_l1, outside_l1

# an sMR is never sure of the contrast, and what it is for is the sCT
_MR_SHARE, _AIR_SHARE = 0.5, 0.2


@dataclass(frozen=True)
class BackTranslationWeights:
    """How much each term counts.

    Parameters
    ----------
    cycle : of a real CT made again from its synthetic MR, and of a real MR from its sCT.
    gradient : of edges as sharp as the CT's, beside every L1 to a CT.
    adversarial_mr, adversarial_ct : of what each discriminator says of synthetic MR and sCT.
    structure : edges of the MR and of its sCT stay parallel, and of the CT and its synthetic MR.
    outside : air outside the sCT's outline, background outside the synthetic MR's.
    paired, paired_last : of pairs of known truth at the first step of play and at the last, linear between.
    structure_kind : one of `cyclegan.STRUCTURE_TERMS`.
    """

    cycle: float = 10.0
    gradient: float = 0.3
    adversarial_mr: float = 0.5
    adversarial_ct: float = 0.1
    structure: float = 0.3
    outside: float = 1.0
    paired: float = 10.0
    paired_last: float = 3.0
    structure_kind: StructureKind = "gradient_fields"


@dataclass(frozen=True)
class Course:
    """When what is learnt.

    Parameters
    ----------
    total_steps : of the run, along which the weight of pairs falls.
    pairs_alone_steps : how many first steps learn only from pairs of known truth.
    play_every : of so many steps one is a round of all four networks. In the others the MR-to-CT generator alone
        learns, from synthetic MR that the averaged CT-to-MR generator makes, at a third of the cost.
    """

    total_steps: int
    pairs_alone_steps: int = 0
    play_every: int = 1

    def plays(self, step: int) -> bool:
        """Whether this step is a round of all four."""
        return (step - self.pairs_alone_steps) % self.play_every == 0

    def along(self, step: int) -> float:
        """The share of the run after the pairs alone that is over, 0 to 1.

        Example
        -------
        >>> Course(total_steps=30, pairs_alone_steps=10).along(20)
        0.5
        """
        done, all_steps = step - self.pairs_alone_steps, self.total_steps - self.pairs_alone_steps
        return min(max(done / max(all_steps, 1), 0.0), 1.0)


@dataclass(frozen=True)
class MrChanges:
    """What is done to MR on their way into the MR-to-CT generator.

    Parameters
    ----------
    augmentation : of every MR (`IntensityAugmentation`); None leaves them as they are.
    texture : what a CT does not show, put upon MR that come with a CT, made from it or of a pair.
    lost_signal : dark tissue made darker in patches, of the same MR. fall_off : signal lost towards one side, likewise.
    short_field : nothing to see at the body's cuts, likewise.
    soft_tissue : the CT's values, in network units, between which it shows nothing. tissue : the value above which a CT
        shows tissue.
    """

    augmentation: IntensityAugmentation | None = None
    texture: SoftTissueTexture | None = None
    lost_signal: LostSignal | None = None
    fall_off: CoilFallOff | None = None
    short_field: ShortField | None = None
    soft_tissue: tuple[float, float] = (-0.51, -0.456)
    tissue: float = -0.646

    def __call__(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 1, *spatial) MR, real ones without a CT, to the changed ones."""
        return mr if self.augmentation is None else self.augmentation(mr, generator)

    def of_pairs(self, mr: Tensor, ct: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """The same for MR that come with their (N, 1, *spatial) CT, air outside of it, and outline."""
        if self.texture is not None:
            soft = (ct > self.soft_tissue[0]) & (ct < self.soft_tissue[1])
            mr = self.texture(mr, soft.to(mr.dtype), generator)
        if self.lost_signal is not None:
            mr = self.lost_signal(mr, generator)
        if self.fall_off is not None:
            mr = self.fall_off(mr, generator)
        if self.short_field is not None:
            mr = self.short_field(mr, (ct > self.tissue).to(mr.dtype), mask.to(mr.dtype), generator)
        return self(mr, generator)


class BackTranslation(AveragedMethod):
    """Two generators that teach each other, and two discriminators that keep what they make like the real thing.

    A generator sees all its images of a step as one batch: the statistics that batch norm keeps are of the mixture
    that it has learnt with. The discriminators see whole outlined images, as in `CycleGAN`.

    Parameters
    ----------
    weights : of the terms. course : when what is learnt.
    changes : of MR before the MR-to-CT generator sees them.
    pool_size : images each pool keeps (50 in the paper). ema_decay : of both averaged generators.
    """

    parts = ("to_ct", "to_mr", "judge_ct", "judge_mr", "average_to_mr")
    pools = ("ct_pool", "mr_pool")

    def __init__(
        self,
        players: Players,
        *,
        weights: BackTranslationWeights,
        course: Course,
        changes: MrChanges,
        pool_size: int = 50,
        ema_decay: float = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__(players.to_ct, ema_decay=ema_decay)
        self.to_ct, self.to_mr, self.judge_ct, self.judge_mr = players
        self.weights, self.course, self.changes, self.seed = weights, course, changes, seed
        self.ct_pool, self.mr_pool = ImagePool(size=pool_size, seed=seed), ImagePool(size=pool_size, seed=seed + 1)
        self.average_to_mr = moving_average(players.to_mr.network, decay=ema_decay)

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one batch: mr, mr_mask, ct, ct_mask of different patients; pair_mr, pair_ct, pair_mask if any."""
        noise = torch.Generator().manual_seed(self.seed * 1_000_003 + self.steps)
        if "pair_mr" in batch and self.steps < self.course.pairs_alone_steps:
            terms = self._learn_pairs(batch, noise)
        elif self.course.plays(self.steps):
            terms = self._play(batch, noise)
        else:
            terms = self._learn_to_ct(batch, noise)
        self._count_step()
        return {name: term.detach() for name, term in terms.items()}

    def _learn_pairs(self, batch: dict[str, Tensor], noise: torch.Generator) -> dict[str, Tensor]:
        pair_ct = _pair_ct(batch)
        seen = self.changes.of_pairs(batch["pair_mr"], pair_ct[0], batch["pair_mask"], noise)
        terms = self._paired_terms(batch, [self.to_ct(seen)], [self.to_mr(pair_ct[0])])
        update(self._owed_for_pairs(terms), [self.to_ct, self.to_mr])
        self.average_to_mr.update_parameters(self.to_mr.network)
        return terms

    def _learn_to_ct(self, batch: dict[str, Tensor], noise: torch.Generator) -> dict[str, Tensor]:
        """Back-translation from CT alone: the cheap step."""
        of_ct, ct = batch["ct_mask"], outlined(batch["ct"], batch["ct_mask"], AIR)
        smr = outlined(self._made(self.average_to_mr.module, ct), of_ct, MR_BACKGROUND)
        seen = self._seen(batch, smr, ct, noise)
        again_ct, *pair_sct = torch.split(self.to_ct(seen), len(ct))
        terms = {"cycle": self._to_ct_loss(again_ct, ct, of_ct), **self._paired_terms(batch, pair_sct, [])}
        update(self.weights.cycle * terms["cycle"] + self._owed_for_pairs(terms), [self.to_ct])
        return terms

    def _play(self, batch: dict[str, Tensor], noise: torch.Generator) -> dict[str, Tensor]:
        """One round of generators against discriminators."""
        mr = outlined(batch["mr"], batch["mr_mask"], MR_BACKGROUND)
        ct = outlined(batch["ct"], batch["ct_mask"], AIR)
        taught = outlined(self._made(self.averaged, mr), batch["mr_mask"], AIR)
        self._freeze_judges(True)
        smr, again_mr, *pair_smr = torch.split(self.to_mr(torch.cat([ct, taught, *_pair_ct(batch)])), len(ct))
        masked_smr = outlined(smr, batch["ct_mask"], MR_BACKGROUND)
        known = self._seen(batch, masked_smr.detach(), ct, noise)
        seen = torch.cat([self.changes(mr, noise), known])
        sct, again_ct, *pair_sct = torch.split(self.to_ct(seen), len(mr))
        masked_sct = outlined(sct, batch["mr_mask"], AIR)
        terms = {
            "cycle": self._to_ct_loss(again_ct, ct, batch["ct_mask"]),
            "cycle_mr": masked_l1(again_mr, mr, batch["mr_mask"]),
            "adversarial_ct": convinces(self.judge_ct, masked_sct),
            "adversarial_mr": convinces(self.judge_mr, masked_smr),
            **anatomy_terms(batch, self.weights.structure_kind, mr=mr, sct=sct, ct=ct, smr=smr),
            **self._paired_terms(batch, pair_sct, pair_smr),
        }
        update(self._owed(terms) + self._owed_for_pairs(terms), [self.to_ct, self.to_mr])
        self.average_to_mr.update_parameters(self.to_mr.network)
        self._freeze_judges(False)
        terms["judge_ct"] = judge_step(self.judge_ct, real=ct, synthetic=self.ct_pool.swap(masked_sct))
        terms["judge_mr"] = judge_step(self.judge_mr, real=mr, synthetic=self.mr_pool.swap(masked_smr))
        return terms

    def _seen(self, batch: dict[str, Tensor], smr: Tensor, ct: Tensor, noise: torch.Generator) -> Tensor:
        """The MR that come with a CT, made from it or of a pair, as the MR-to-CT generator sees them."""
        mask = [batch["ct_mask"], *([batch["pair_mask"]] if "pair_mask" in batch else [])]
        mr, cts = torch.cat([smr, *_pair_mr(batch)]), torch.cat([ct, *_pair_ct(batch)])
        return self.changes.of_pairs(mr, cts, torch.cat(mask), noise)

    def _made(self, network: nn.Module, image: Tensor) -> Tensor:
        """What an averaged generator makes of an image, for the other one to learn from; no gradient goes through."""
        with torch.no_grad(), self.to_ct.fabric.autocast():
            made: Tensor = network(image)
        return made.float()

    def _to_ct_loss(self, sct: Tensor, ct: Tensor, mask: Tensor) -> Tensor:
        near = masked_l1(sct, ct, mask) + self.weights.gradient * gradient_difference(sct, ct, mask)
        return near + _AIR_SHARE * outside_l1(sct, mask, value=AIR)

    def _paired_terms(self, batch: dict[str, Tensor], sct: list[Tensor], smr: list[Tensor]) -> dict[str, Tensor]:
        """Of what was made of the batch's pairs; `sct` and `smr` hold one image batch each, or none."""
        terms = {}
        if sct:
            terms["paired"] = self._to_ct_loss(sct[0], batch["pair_ct"], batch["pair_mask"])
        if smr:
            terms["paired_mr"] = masked_l1(smr[0], batch["pair_mr"], batch["pair_mask"])
        return terms

    def _owed_for_pairs(self, terms: dict[str, Tensor]) -> Tensor:
        weight, last = self.weights.paired, self.weights.paired_last
        weight += (last - weight) * self.course.along(self.steps)
        nothing = torch.zeros(())
        return weight * (terms.get("paired", nothing) + _MR_SHARE * terms.get("paired_mr", nothing))

    def _owed(self, terms: dict[str, Tensor]) -> Tensor:
        weights = self.weights
        return (
            weights.cycle * (terms["cycle"] + _MR_SHARE * terms["cycle_mr"])
            + weights.adversarial_ct * terms["adversarial_ct"]
            + weights.adversarial_mr * terms["adversarial_mr"]
            + weights.structure * terms["structure"]
            + weights.outside * terms["outside"]
        )

    def _freeze_judges(self, frozen: bool) -> None:
        self.judge_ct.freeze(frozen)
        self.judge_mr.freeze(frozen)


def _pair_mr(batch: dict[str, Tensor]) -> list[Tensor]:
    return [batch["pair_mr"]] if "pair_mr" in batch else []


def _pair_ct(batch: dict[str, Tensor]) -> list[Tensor]:
    return [outlined(batch["pair_ct"], batch["pair_mask"], AIR)] if "pair_ct" in batch else []
