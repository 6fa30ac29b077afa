"""The only training loop: every method, every network, from the first step to the last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mr2ct.training.checkpoint import read_checkpoint, write_checkpoint

LAST, BEST = "last.pt", "best.pt"


class Method(Protocol):
    """What the loop asks of a training method."""

    @property
    def averaged(self) -> nn.Module:
        """The MR-to-sCT network to validate and keep."""

    @property
    def learning_rate(self) -> float:
        """The MR-to-sCT network's next learning rate."""

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one batch and return the terms of the loss."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""


class Witness(Protocol):
    """What the loop tells the outside: a progress bar, a table, TensorBoard."""

    def on_step(self, step: int, terms: dict[str, float], learning_rate: float) -> None:
        """One step is done."""

    def on_validation(self, step: int, scores: dict[str, float], *, best: bool) -> None:
        """The averaged network was validated."""


@dataclass(frozen=True)
class Limits:
    """When the loop validates, saves and ends.

    Parameters
    ----------
    max_steps : steps of the whole run, resumed or not. max_minutes : of this process; None is no limit.
    validate_every : steps. checkpoint_minutes : between checkpoints.
    patience : validations without a better score after which the run ends; None is no early stop.
    """

    max_steps: int
    max_minutes: float | None = None
    validate_every: int = 500
    checkpoint_minutes: float = 3.0
    patience: int | None = None


@dataclass
class Position:
    """Where a run stands: finished steps, the best score so far, and validations since."""

    step: int = 0
    best_mae_hu: float = math.inf
    validations_since_best: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended: "finished", "out of time" or "no longer improving"."""

    steps: int
    best_mae_hu: float
    reason: str


def fit(
    fabric: Fabric,
    method: Method,
    *,
    batches: Callable[[int], Iterable[dict[str, Tensor]]],
    validate: Callable[[nn.Module], dict[str, float]],
    folder: Path,
    limits: Limits,
    witness: Witness,
) -> Outcome:
    """Train until a limit is reached; resume first where `folder` holds a checkpoint.

    Parameters
    ----------
    batches : from a step to the batches of that step and all later ones, on the device.
    validate : from the averaged network to scores; "mae_hu" decides which weights are best.
    folder : gets `last.pt` (all of the run) and `best.pt` (the averaged network's weights).
    """
    position = _resume(method, folder)
    started = saved = time.monotonic()
    reason = "finished"
    for batch in batches(position.step) if position.step < limits.max_steps else ():
        terms = method.train_step(batch)
        position.step += 1
        if fabric.is_global_zero:
            witness.on_step(position.step, {name: float(term) for name, term in terms.items()}, method.learning_rate)
        last_step = position.step >= limits.max_steps
        if position.step % limits.validate_every == 0 or last_step:
            _validate(fabric, method, position, validate, folder, witness)
        out_of_time = _agreed(fabric, _minutes_since(started) >= (limits.max_minutes or math.inf))
        stuck = limits.patience is not None and position.validations_since_best >= limits.patience
        if last_step or out_of_time or stuck or _minutes_since(saved) >= limits.checkpoint_minutes:
            _save(fabric, method, position, folder)
            saved = time.monotonic()
        if last_step or out_of_time or stuck:
            reason = "finished" if last_step else "out of time" if out_of_time else "no longer improving"
            break
    return Outcome(position.step, position.best_mae_hu, reason)


def _resume(method: Method, folder: Path) -> Position:
    if not (folder / LAST).exists():
        return Position()
    state = read_checkpoint(folder / LAST)
    method.load_state_dict(state["method"])
    torch.set_rng_state(state["random"])
    if torch.cuda.is_available() and state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    return Position(**state["position"])


def _save(fabric: Fabric, method: Method, position: Position, folder: Path) -> None:
    if fabric.is_global_zero:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        state = {"method": method.state_dict(), "position": dict(vars(position))}
        write_checkpoint(folder / LAST, {**state, "random": torch.get_rng_state(), "random_cuda": cuda})
    fabric.barrier()


def _validate(
    fabric: Fabric,
    method: Method,
    position: Position,
    validate: Callable[[nn.Module], dict[str, float]],
    folder: Path,
    witness: Witness,
) -> None:
    scores = validate(method.averaged)
    best = scores["mae_hu"] < position.best_mae_hu
    position.best_mae_hu = min(scores["mae_hu"], position.best_mae_hu)
    position.validations_since_best = 0 if best else position.validations_since_best + 1
    if fabric.is_global_zero:
        if best:
            write_checkpoint(folder / BEST, {"network": method.averaged.state_dict(), "step": position.step, **scores})
        witness.on_validation(position.step, scores, best=best)
    fabric.barrier()


def _minutes_since(moment: float) -> float:
    return (time.monotonic() - moment) / 60


def _agreed(fabric: Fabric, ready: bool) -> bool:
    """What the first process says: clocks differ, and all processes must stop at the same step."""
    return bool(fabric.broadcast(ready)) if fabric.world_size > 1 else ready
