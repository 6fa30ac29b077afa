"""What all training methods share: a learner whose moving average is kept, a count of steps, a state of named parts."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from mr2ct.training.average import moving_average
from mr2ct.training.learner import Learner

_STATISTICS = "statistics"


class AveragedMethod:
    """All of `training.loop.Method` but the step itself.

    A method names its own parts, attributes with a state: `parts` are the same in every process of a run, `pools` each
    process has of its own. Its step ends with `_count_step`.

    Parameters
    ----------
    learner : whose network is averaged, validated and kept.
    ema_decay : of the moving average, a step.
    """

    parts: ClassVar[tuple[str, ...]]
    pools: ClassVar[tuple[str, ...]] = ()

    def __init__(self, learner: Learner, *, ema_decay: float) -> None:
        self._learner, self.steps = learner, 0
        self.average = moving_average(learner.network, decay=ema_decay)

    @property
    def averaged(self) -> nn.Module:
        """The averaged network."""
        module: nn.Module = self.average.module
        return module

    @property
    def learning_rate(self) -> float:
        """The next learning rate of the network that is averaged."""
        return self._learner.learning_rate

    def gradient_norms(self) -> list[Tensor]:
        """One number a learner, on the device: the norm of the gradient that it last stepped by."""
        parts = [getattr(self, name) for name in self.parts]
        return [part.gradient_norm for part in parts if isinstance(part, Learner)]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {**self._states(("average", *self.parts, *self.pools)), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self._load_states(("average", *self.parts, *self.pools), state)
        # states of methods that do not look at their steps once had no count
        self.steps = int(state.get("steps", 0))

    def own_state_dict(self) -> dict[str, Any]:
        """What of the state differs between the processes of a run: pools, and the statistics of batch norms."""
        return {**self._states(self.pools), _STATISTICS: self._statistics()}

    def load_own_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `own_state_dict` gave in this process."""
        self._load_states(self.pools, state)
        mine = self._statistics()
        # checkpoints of older versions have none
        for name, tensors in state.get(_STATISTICS, {}).items():
            for key, values in tensors.items():
                mine[name][key].copy_(values)

    def _statistics(self) -> dict[str, dict[str, Tensor]]:
        """The buffers of every network among the parts, by part and name: the tensors themselves."""
        parts = {name: getattr(self, name) for name in ("average", *self.parts)}
        networks = {name: getattr(part, "network", part) for name, part in parts.items()}
        return {
            name: dict(network.named_buffers()) for name, network in networks.items() if isinstance(network, nn.Module)
        }

    def _count_step(self) -> None:
        """The average follows, and a step is done."""
        self.average.update_parameters(self._learner.network)
        self.steps += 1

    def _states(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in names}

    def _load_states(self, names: tuple[str, ...], state: dict[str, Any]) -> None:
        for name in names:
            getattr(self, name).load_state_dict(state[name])
