"""A network with its optimiser and learning-rate schedule: what one player of a training method brings along."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mr2ct.errors import RecipeError
from mr2ct.training.optimisers import MakesOptimiser, plain_adamw

Decay = Literal["constant", "linear", "cosine"]

_OF_THE_DEVICE = ("fused", "foreach", "capturable")


@dataclass(frozen=True)
class Schedule:
    """The learning rate, as a share of its peak, at each step: linear warm-up, a plateau, then decay to `final`.

    Parameters
    ----------
    total_steps, warmup_steps : in optimiser steps. decay_from : share of the run after which decay begins.

    Example
    -------
    >>> Schedule(total_steps=10, decay="linear")(5)
    0.5
    """

    total_steps: int
    warmup_steps: int = 0
    decay: Decay = "cosine"
    decay_from: float = 0.0
    final: float = 0.0

    def __call__(self, step: int) -> float:
        """The share of the peak learning rate at `step`, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        begin = max(self.warmup_steps, int(self.decay_from * self.total_steps))
        along = min(max((step - begin) / max(self.total_steps - begin, 1), 0.0), 1.0)
        falls: dict[Decay, float] = {
            "constant": 1.0,
            "linear": 1 - along,
            "cosine": (1 + math.cos(math.pi * along)) / 2,
        }
        return self.final + (1 - self.final) * falls[self.decay]


class Learner:
    """Steps a network against a loss: an optimiser, its schedule, clipping of the gradient's norm.

    Parameters
    ----------
    network : made ready for the device by Fabric; call `learner(images)` to run it.
    optimiser : makes one of (parameters, lr=...), such as `torch.optim.AdamW`; see `optimisers.optimiser_of`.
    clip_norm : the gradient's largest norm; 0 leaves it alone.

    Attributes
    ----------
    gradient_norm : of the last step, before it was clipped: one number, on the device; 0 where there was no step yet.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        *,
        learning_rate: float,
        schedule: Callable[[int], float],
        optimiser: MakesOptimiser = plain_adamw,
        clip_norm: float = 0.0,
    ) -> None:
        self.fabric, self.network, self.clip_norm = fabric, network, clip_norm
        steps = optimiser(network.parameters(), lr=learning_rate)
        self._is_compiled = False
        self._ready, self._optimiser = fabric.setup(network, steps)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(steps, schedule)
        self.gradient_norm = torch.zeros(())

    def compiled(self, *, backend: str = "inductor") -> Learner:
        """The learner itself, its network to be compiled when it first runs; what is saved of it stays the same."""
        self.network.compile(dynamic=False, backend=backend)
        self._is_compiled = True
        return self

    def __call__(self, images: Tensor) -> Tensor:
        """Run the network in the run's precision; the result is float32."""
        result: Tensor = self._ready(_in_one_layout(images) if self._is_compiled else images)
        return result.float()

    def layers(self, images: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        """What every layer of a discriminator finds, scale by scale, its scores last (`models.patchgan.Layers`)."""
        found = self._ready(_in_one_layout(images) if self._is_compiled else images, layers=True)
        return tuple(tuple(layer.float() for layer in scale) for scale in found)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def freeze(self, frozen: bool) -> None:
        """Keep gradients from reaching the network's parameters, or let them again."""
        self.network.requires_grad_(not frozen)

    def step(self) -> None:
        """Apply the gathered gradient and clear it.

        On a GPU its norm is not looked at, for that would wait for the step; the loop does it before it saves.

        Raises
        ------
        RecipeError : on a CPU, a gradient that is not finite; the network stays as it is.
        """
        # up to an infinite norm nothing is clipped
        limits = {"max_norm": self.clip_norm or math.inf, "error_if_nonfinite": False}
        norm = self.fabric.clip_gradients(self._ready, self._optimiser, **limits)
        # with float16 infinite gradients are usual: its scaler passes over the step
        if getattr(self.fabric.strategy.precision, "scaler", None) is None:
            self.gradient_norm = norm
            if not norm.is_cuda:
                require_finite(float(norm), what="gradient")
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and schedule, as tensors and numbers."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the learner that `state_dict` described, at its place in this learner's own schedule.

        Rates, decay and schedule are those this learner was made with: a run that is resumed with a longer recipe
        follows the longer schedule.
        """
        self.network.load_state_dict(state["network"])
        own = [{key: value for key, value in group.items() if key != "params"} for group in self._groups]
        # by these settings the optimiser decides where its state belongs: they are of this device, not of the state's
        groups = [
            {**group, **{key: settings[key] for key in _OF_THE_DEVICE if key in settings}}
            for group, settings in zip(state["optimiser"]["param_groups"], own, strict=True)
        ]
        self._optimiser.load_state_dict({**state["optimiser"], "param_groups": groups})
        schedule = self._schedule
        for key in ("last_epoch", "_step_count"):
            setattr(schedule, key, state["schedule"][key])
        rates = [
            base * share(schedule.last_epoch)
            for base, share in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
        ]
        schedule._last_lr = rates
        for group, settings, rate in zip(self._groups, own, rates, strict=True):
            group.update(settings | {"lr": rate})

    @property
    def _groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = self._optimiser.param_groups
        return groups


def _in_one_layout(images: Tensor) -> Tensor:
    """The same slices, channels last in their strides too.

    With one channel two sets of strides are both, and a network would be compiled for each that it meets.
    """
    if images.dim() != 4:
        return images.contiguous()
    _, channels, rows, columns = images.shape
    strides = (channels * rows * columns, 1, channels * columns, channels)
    dense = images.contiguous(memory_format=torch.channels_last)
    return dense if dense.stride() == strides else dense.as_strided(dense.shape, strides)


def update(loss: Tensor, learners: Sequence[Learner]) -> None:
    """Send the loss's gradient back and step every learner that it reaches.

    On a GPU the loss is not looked at, for that would wait for the step; the loop looks at the terms it reports.
    """
    if not loss.is_cuda:
        require_finite(float(loss.detach()))
    learners[0].fabric.backward(loss)
    for learner in learners:
        learner.step()


def require_finite(value: float, *, what: str = "loss") -> None:
    """RecipeError where a loss, a term of one, or the norm of a gradient, is no longer a finite number.

    Example
    -------
    >>> require_finite(1.5)
    """
    if not math.isfinite(value):
        raise RecipeError(
            f"the {what} is no longer a finite number",
            got=value,
            remedy="lower optimiser.learning_rate, or set run.precision=32-true",
        )
