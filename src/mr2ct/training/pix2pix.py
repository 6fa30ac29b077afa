"""Pix2Pix (Isola 2017, arXiv:1611.07004): an L1 term and a discriminator that sees the MR beside the CT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mr2ct.training.average import moving_average
from mr2ct.training.learner import Learner, update
from mr2ct.training.losses import AdversarialKind, adversarial, gradient_difference, masked_l1, outside_l1
from mr2ct.training.supervised import AIR


@dataclass(frozen=True)
class PairWeights:
    """How much each term counts beside the adversarial one.

    Parameters
    ----------
    l1 : lambda of the paper, 100 there, for images in [-1, 1].
    gradient, outside : gradients as sharp as the CT's, and air outside the mask; not in the paper.
    """

    l1: float = 100.0
    gradient: float = 0.0
    outside: float = 20.0


class Pix2Pix:
    """Two learners against each other.

    Parameters
    ----------
    generator : MR to sCT. discriminator : MR and CT, stacked as channels, to patch scores.
    weights : of the terms beside the adversarial one.
    adversarial_from : the step from which the discriminator counts; before it the generator learns from L1 alone.
    kind : "cross_entropy" as in the paper, or "least_squares".
    """

    def __init__(
        self,
        generator: Learner,
        discriminator: Learner,
        *,
        weights: PairWeights,
        adversarial_from: int = 0,
        kind: AdversarialKind = "cross_entropy",
        ema_decay: float = 0.999,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.weights = weights
        self.kind: AdversarialKind = kind
        self.adversarial_from, self.steps = adversarial_from, 0
        self._average = moving_average(generator.network, decay=ema_decay)

    @property
    def averaged(self) -> nn.Module:
        """The averaged MR-to-sCT network."""
        module: nn.Module = self._average.module
        return module

    @property
    def learning_rate(self) -> float:
        """The MR-to-sCT network's next learning rate."""
        return self.generator.learning_rate

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one paired batch (mr, ct, mask), the generator first, and return the terms, unweighted."""
        mr, ct, mask = batch["mr"], batch["ct"], batch["mask"]
        sct = self.generator(mr)
        terms = {
            "l1": masked_l1(sct, ct, mask),
            "gradient": gradient_difference(sct, ct, mask),
            "outside": outside_l1(sct, mask, value=AIR),
        }
        loss = sum((getattr(self.weights, name) * term for name, term in terms.items()), torch.zeros_like(terms["l1"]))
        if self.steps >= self.adversarial_from:
            self.discriminator.freeze(True)
            terms["adversarial"] = self._adversarial(mr, sct, mask, real=True)
            self.discriminator.freeze(False)
            loss = loss + terms["adversarial"]
        update(loss, [self.generator])
        if self.steps >= self.adversarial_from:
            terms["discriminator"] = self._discriminate(mr, sct.detach(), ct, mask)
        self._average.update_parameters(self.generator.network)
        self.steps += 1
        return {name: term.detach() for name, term in terms.items()}

    def _discriminate(self, mr: Tensor, sct: Tensor, ct: Tensor, mask: Tensor) -> Tensor:
        loss = 0.5 * (self._adversarial(mr, ct, mask, real=True) + self._adversarial(mr, sct, mask, real=False))
        update(loss, [self.discriminator])
        return loss

    def _adversarial(self, mr: Tensor, ct: Tensor, mask: Tensor, *, real: bool) -> Tensor:
        # the table outside the mask would tell a real CT at once
        outlined = ct * mask + AIR * (1 - mask)
        return adversarial(self.discriminator(torch.cat([mr, outlined], dim=1)), real=real, kind=self.kind)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self._average.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self._average.load_state_dict(state["average"])
        self.steps = int(state["steps"])

    def own_state_dict(self) -> dict[str, Any]:
        """Nothing: every process holds the same."""
        return {}

    def load_own_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""
