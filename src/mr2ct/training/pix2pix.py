"""Pix2Pix (Isola 2017, arXiv:1611.07004): an L1 term and a discriminator that sees the MR beside the CT.

The discriminator may look at several scales, and its features may be matched, as in pix2pixHD (Wang 2018,
arXiv:1711.11585).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mr2ct.training.averaged_method import AveragedMethod
from mr2ct.training.judgement import Game, Layers, feature_difference, judged
from mr2ct.training.learner import Learner, update
from mr2ct.training.losses import AIR
from mr2ct.training.paired_loss import PairedLoss


class Pix2Pix(AveragedMethod):
    """Two learners against each other.

    Parameters
    ----------
    generator : MR to sCT. discriminator : MR and CT, stacked as channels, to patch scores.
    loss : between sCT and CT, beside the adversarial term; the paper's weight of L1 is 100 for images in [-1, 1].
    game : the adversarial terms, and from which step they count.
    """

    parts = ("generator", "discriminator")

    def __init__(
        self,
        generator: Learner,
        discriminator: Learner,
        *,
        loss: PairedLoss,
        game: Game | None = None,
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__(generator, ema_decay=ema_decay)
        self.generator, self.discriminator = generator, discriminator
        self.loss, self.game = loss, game or Game()

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one paired batch (mr, ct, mask), the generator first, and return the terms, unweighted."""
        mr, ct, mask = batch["mr"], batch["ct"], batch["mask"]
        sct = self.generator(mr)
        terms = self.loss.terms(sct, ct, mask)
        loss = self.loss.total(terms)
        if self.steps >= self.game.begins:
            owed = self._owed(mr, sct, ct, mask)
            terms |= owed
            loss = loss + sum((getattr(self.game, name) * term for name, term in owed.items()), torch.zeros_like(loss))
        update(loss, [self.generator])
        if self.steps >= self.game.begins:
            terms["discriminator"] = self._discriminate(mr, sct.detach(), ct, mask)
        self._count_step()
        return {name: term.detach() for name, term in terms.items()}

    def _discriminate(self, mr: Tensor, sct: Tensor, ct: Tensor, mask: Tensor) -> Tensor:
        of_real = judged(self._layers(mr, ct, mask), real=True, kind=self.game.kind)
        of_synthetic = judged(self._layers(mr, sct, mask), real=False, kind=self.game.kind)
        loss = 0.5 * (of_real + of_synthetic)
        update(loss, [self.discriminator])
        return loss

    def _owed(self, mr: Tensor, sct: Tensor, ct: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What the generator owes to the discriminator, which learns nothing from it: the terms, unweighted."""
        self.discriminator.freeze(True)
        layers = self._layers(mr, sct, mask)
        owed = {"adversarial": judged(layers, real=True, kind=self.game.kind)}
        if self.game.feature_matching:
            with torch.no_grad():
                of_ct = self._layers(mr, ct, mask)
            owed["feature_matching"] = feature_difference(layers, of_ct)
        self.discriminator.freeze(False)
        return owed

    def _layers(self, mr: Tensor, ct: Tensor, mask: Tensor) -> Layers:
        # the table outside the mask would tell a real CT at once
        outlined = ct * mask + AIR * (1 - mask)
        seen = outlined if self.game.window is None else self.game.window(outlined)
        return self.discriminator.layers(torch.cat([mr, seen], dim=1))
