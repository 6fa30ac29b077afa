"""Supervised training on paired MR and CT: one network, the terms of `paired_loss`. The attention U-Net's method."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mr2ct.training.average import moving_average
from mr2ct.training.learner import Learner, update
from mr2ct.training.paired_loss import PairedLoss


class Supervised:
    """One learner, one loss.

    Parameters
    ----------
    generator : MR to sCT.
    loss : between sCT and CT.
    ema_decay : of the moving average `averaged`, which is validated and kept.
    """

    def __init__(self, generator: Learner, *, loss: PairedLoss, ema_decay: float = 0.999) -> None:
        self.generator, self.loss = generator, loss
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
        """Learn from one paired batch (mr, ct, mask) and return the loss's terms, unweighted."""
        terms = self.loss.terms(self.generator(batch["mr"]), batch["ct"], batch["mask"])
        update(self.loss.total(terms), [self.generator])
        self._average.update_parameters(self.generator.network)
        return {name: term.detach() for name, term in terms.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"generator": self.generator.state_dict(), "average": self._average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.generator.load_state_dict(state["generator"])
        self._average.load_state_dict(state["average"])

    def own_state_dict(self) -> dict[str, Any]:
        """Nothing: every process holds the same."""
        return {}

    def load_own_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""
