"""The only training loop: every method, every network, from the first step to the last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn

from mr2ct.errors import RecipeError
from mr2ct.training.checkpoint import read_checkpoint, write_checkpoint
from mr2ct.training.learner import require_finite

LAST, BEST = "last.pt", "best.pt"
FINISHED, OUT_OF_TIME, NOT_IMPROVING, STOPPED = "finished", "out of time", "no longer improving", "stopped"


def _never() -> bool:
    return False


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

    def gradient_norms(self) -> list[Tensor]:
        """Of each network, the norm of the gradient that it last stepped by."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""

    def own_state_dict(self) -> dict[str, Any]:
        """What of `state_dict` differs between the processes of a run, such as image pools."""

    def load_own_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `own_state_dict` gave in this process."""


class Witness(Protocol):
    """What the loop tells the outside: a progress bar, a table, TensorBoard."""

    def on_start(self, step: int) -> None:
        """The run begins, or goes on, after `step` finished steps."""

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
    validate_every : steps; a run that ends before its first validation is validated then.
    checkpoint_minutes : between checkpoints.
    patience : validations without a better score after which the run ends; None is no early stop.
    stop_asked : asked after every step; once true, the run is saved and ends. Several processes ask, and look at the
        clock, at every 16th step.
    keep_last : the weights of the last validation are kept, whatever their score.
    """

    max_steps: int
    max_minutes: float | None = None
    validate_every: int = 500
    checkpoint_minutes: float = 3.0
    patience: int | None = None
    stop_asked: Callable[[], bool] = _never
    keep_last: bool = False


@dataclass
class Position:
    """Where a run stands: finished steps, the best score so far, and validations since."""

    step: int = 0
    best_mae_hu: float = math.inf
    validations_since_best: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended: `reason` is FINISHED, OUT_OF_TIME, NOT_IMPROVING or STOPPED.

    `timed_steps` took `timed_seconds`, data included, validation and saving left out, and the call's first few steps,
    in which a GPU compiles.
    """

    steps: int
    best_mae_hu: float
    reason: str
    timed_steps: int = 0
    timed_seconds: float = 0.0


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
    validate : from the averaged network to scores; "mae_hu" decides which weights are best. Where there is no such
        score the newest are. Called in the first process only.
    folder : gets `last.pt` (all of the run) and `best.pt` (the averaged network's weights).
    """
    position = _resume(fabric, method, folder)
    witness.on_start(position.step)
    started = saved = time.monotonic()
    reason = _reason(position, limits)
    report, clock = _Report(fabric, witness, method), _Clock()
    judge = _Judge(fabric, method, validate, folder, witness, keep_last=limits.keep_last)
    judge.kept = fabric.broadcast(position.step > 0 and (folder / BEST).exists())
    if reason is not None and not judge.kept:
        # stopped before its first validation, and resumed to end there
        judge(position)
    for batch in batches(position.step) if reason is None else ():
        report.add(position.step + 1, method.train_step(batch), method.learning_rate)
        position.step += 1
        cut_short, unsaved_for_long = _look_at_clocks(fabric, limits, position.step, started=started, saved=saved)
        last = position.step >= limits.max_steps or (cut_short is not None and not judge.kept)
        validates = position.step % limits.validate_every == 0 or last
        clock.step_done()
        if validates or unsaved_for_long or cut_short is not None:
            report.tell()
            clock.pause()
        if validates:
            judge(position)
        reason = _reason(position, limits, cut_short=cut_short)
        if reason is not None or unsaved_for_long:
            _save(fabric, method, position, folder)
            saved = time.monotonic()
        if reason is not None:
            break
        clock.go_on()
    return Outcome(position.step, position.best_mae_hu, reason or FINISHED, clock.steps, clock.seconds)


@dataclass
class _Judge:
    """Validates the averaged network, keeps its weights where they are wanted, and tells the witness."""

    fabric: Fabric
    method: Method
    validate: Callable[[nn.Module], dict[str, float]]
    folder: Path
    witness: Witness
    keep_last: bool
    kept: bool = False

    def __call__(self, position: Position) -> None:
        scores, best = _validate(self.fabric, self.method, position, self.validate)
        if (best or self.keep_last or not self.kept) and self.fabric.is_global_zero:
            weights = self.method.averaged.state_dict()
            write_checkpoint(self.folder / BEST, {"network": weights, "step": position.step, **scores})
        self.kept = True
        if self.fabric.is_global_zero:
            self.witness.on_validation(position.step, scores, best=best)
        self.fabric.barrier()


_REPORT_STEPS, _WARM_UP_STEPS = 20, 3


class _Report:
    """Tells the witness of each step: at once on a CPU, some steps together on a GPU, which it would else hold up."""

    def __init__(self, fabric: Fabric, witness: Witness, method: Method) -> None:
        self._method = method
        self._told_together = _REPORT_STEPS if fabric.device.type == "cuda" else 1
        self._witness = witness if fabric.is_global_zero else None
        self._untold: list[tuple[int, dict[str, Tensor], float]] = []

    def add(self, step: int, terms: dict[str, Tensor], learning_rate: float) -> None:
        self._untold.append((step, terms, learning_rate))
        if len(self._untold) >= self._told_together:
            self.tell()

    def tell(self) -> None:
        """Tell what is untold, once a GPU has done it.

        RecipeError where a term of the loss is no finite number any more, or a gradient that the weights have followed.
        """
        for step, terms, learning_rate in self._untold:
            values = {name: float(term) for name, term in terms.items()}
            if self._told_together > 1:
                require_finite(sum(values.values()))
            if self._witness is not None:
                self._witness.on_step(step, values, learning_rate)
        self._untold.clear()
        if self._told_together > 1:
            for norm in self._method.gradient_norms():
                require_finite(float(norm), what="gradient")


class _Clock:
    """How long the steps took, data included, without the first few and without what comes between them."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self._before, self._since = _WARM_UP_STEPS, math.nan

    def step_done(self) -> None:
        self._before, self.steps = (self._before - 1, 0) if self._before else (0, self.steps + 1)

    def pause(self) -> None:
        self.seconds += 0.0 if math.isnan(self._since) else perf_counter() - self._since
        self._since = math.nan

    def go_on(self) -> None:
        if not self._before and math.isnan(self._since):
            self._since = perf_counter()


_LOOK_STEPS = 16
"""Between two looks at the clocks where processes have to agree on them, which costs them a message."""


def _look_at_clocks(
    fabric: Fabric, limits: Limits, step: int, *, started: float, saved: float
) -> tuple[str | None, bool]:
    """Why the run is to end now, None where it goes on; and whether a checkpoint is due."""
    if fabric.world_size > 1 and step % _LOOK_STEPS:
        return None, False
    # clocks differ, and all processes must do the same at the same step
    out_of_time, stopped, unsaved_for_long = fabric.broadcast(
        (
            _minutes_since(started) >= (limits.max_minutes or math.inf),
            limits.stop_asked(),
            _minutes_since(saved) >= limits.checkpoint_minutes,
        )
    )
    return OUT_OF_TIME if out_of_time else STOPPED if stopped else None, unsaved_for_long


def _reason(position: Position, limits: Limits, *, cut_short: str | None = None) -> str | None:
    """Why the run ends here; None where it goes on."""
    if position.step >= limits.max_steps:
        return FINISHED
    if limits.patience is not None and position.validations_since_best >= limits.patience:
        return NOT_IMPROVING
    return cut_short


_ERROR_LETTERS = 300
"""Of an error that may name every weight of a network."""


def _resume(fabric: Fabric, method: Method, folder: Path) -> Position:
    if not (folder / LAST).exists():
        return Position()
    state = read_checkpoint(folder / LAST)
    try:
        method.load_state_dict(state["method"])
        position = Position(**state["position"])
        # float16 alone has a state; a run may go on in another precision
        if state.get("precision"):
            fabric.strategy.precision.load_state_dict(state["precision"])
        # the first process's own state lies at the top, those of the others in a list
        processes = [state, *state.get("others", [])]
        if fabric.global_rank < len(processes):
            _take_back(fabric, method, processes[fabric.global_rank])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"the checkpoint {folder / LAST} is of another recipe",
            got=" ".join(str(error).split())[:_ERROR_LETTERS],
            remedy="resume with the method and the network that the run was started with",
        ) from error
    return position


def _take_back(fabric: Fabric, method: Method, own: dict[str, Any]) -> None:
    if "own" in own:
        method.load_own_state_dict(own["own"])
    torch.set_rng_state(own["random"])
    if fabric.device.type == "cuda" and own["random_cuda"]:
        torch.cuda.set_rng_state(own["random_cuda"][0], fabric.device)


def _save(fabric: Fabric, method: Method, position: Position, folder: Path) -> None:
    on_gpu = fabric.device.type == "cuda"
    random = {
        "random": torch.get_rng_state(),
        "random_cuda": [torch.cuda.get_rng_state(fabric.device)] if on_gpu else [],
    }
    others = _from_others(fabric, {"own": method.own_state_dict(), **random})
    if fabric.is_global_zero:
        state = {"method": method.state_dict(), "position": dict(vars(position)), "others": others}
        precision = fabric.strategy.precision.state_dict()
        write_checkpoint(folder / LAST, {**state, **random, "precision": precision})
    fabric.barrier()


def _from_others(fabric: Fabric, own: dict[str, Any]) -> list[dict[str, Any]]:
    """What the other processes hand over, by rank, on the CPU; the first one gets it."""
    if fabric.world_size == 1:
        return []
    everyone: list[Any] = [None] * fabric.world_size
    # the first process would take up what lies on another GPU in a context of its own there
    on_cpu = move_data_to_device(own, "cpu")
    torch.distributed.gather_object(on_cpu, everyone if fabric.is_global_zero else None)
    return everyone[1:]


def _validate(
    fabric: Fabric,
    method: Method,
    position: Position,
    validate: Callable[[nn.Module], dict[str, float]],
) -> tuple[dict[str, float], bool]:
    """The scores of the averaged network, and whether they are the best so far."""
    # batch statistics differ between processes, so that the others would find other scores
    scores = fabric.broadcast(validate(method.averaged) if fabric.is_global_zero else {})
    best = "mae_hu" not in scores or scores["mae_hu"] < position.best_mae_hu
    # not by `min`, which passes NaN on
    position.best_mae_hu = scores.get("mae_hu", position.best_mae_hu) if best else position.best_mae_hu
    position.validations_since_best = 0 if best else position.validations_since_best + 1
    return scores, best


def _minutes_since(moment: float) -> float:
    return (time.monotonic() - moment) / 60
