"""Supervised training on paired MR and CT: one network, the terms of `paired_loss`. The attention U-Net's method."""

from __future__ import annotations

from torch import Tensor

from mr2ct.training.averaged_method import AveragedMethod
from mr2ct.training.learner import Learner, update
from mr2ct.training.paired_loss import PairedLoss


class Supervised(AveragedMethod):
    """One learner, one loss.

    Parameters
    ----------
    generator : MR to sCT.
    loss : between sCT and CT.
    ema_decay : of the moving average `averaged`, which is validated and kept.
    """

    parts = ("generator",)

    def __init__(self, generator: Learner, *, loss: PairedLoss, ema_decay: float = 0.999) -> None:
        super().__init__(generator, ema_decay=ema_decay)
        self.generator, self.loss = generator, loss

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one paired batch (mr, ct, mask) and return the loss's terms, unweighted."""
        terms = self.loss.terms(self.generator(batch["mr"]), batch["ct"], batch["mask"])
        update(self.loss.total(terms), [self.generator])
        self._count_step()
        return {name: term.detach() for name, term in terms.items()}
