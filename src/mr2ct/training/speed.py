"""How fast a run computes, and what share of the device's peak that is.

The operations of a step are counted by `torch.utils.flop_counter` (convolutions and matrix products, forward and
backward, two operations a multiply-add) in one step of each kind; a step that has other terms is of another kind.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mr2ct.training.loop import Method

PEAK_TFLOPS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
}
"""By a part of the GPU's name: 10^12 operations a second, dense bfloat16, by the makers' datasheets."""


@dataclass(frozen=True)
class Peak:
    """What a device can do at most; None where it is not known. `source` says who says so."""

    tflops: float | None
    source: str


@dataclass(frozen=True)
class Speed:
    """Steps a second and operations a step of a run, and the peak of its device."""

    steps_per_second: float
    gflop_per_step: float
    peak: Peak

    @property
    def tflops(self) -> float:
        """10^12 operations a second, reached over whole steps: data, losses and optimisers included in the time."""
        return self.steps_per_second * self.gflop_per_step / 1000

    @property
    def share_of_peak(self) -> float | None:
        """From 0 to 1; None where the peak is not known."""
        return self.tflops / self.peak.tflops if self.peak.tflops else None

    @property
    def words(self) -> str:
        """For a person.

        Example
        -------
        >>> Speed(10.0, 200.0, Peak(100.0, "measured")).words
        '10 steps/s, 200 GFLOP a step: 2 TFLOP/s, 2.0 % of the peak (100 TFLOP/s, measured)'
        """
        steps = f"{self.steps_per_second:.3g} steps/s, {self.gflop_per_step:.3g} GFLOP a step"
        reached = f"{steps}: {_rate(self.tflops)}"
        if self.share_of_peak is None:
            return f"{reached}, peak unknown ({self.peak.source})"
        peak = f"{_rate(self.peak.tflops or 0)}, {self.peak.source}"
        return f"{reached}, {100 * self.share_of_peak:.1f} % of the peak ({peak})"


def _rate(tflops: float) -> str:
    return f"{tflops:.3g} TFLOP/s" if tflops >= 1 else f"{1000 * tflops:.3g} GFLOP/s"


_MOST_COUNTED = 12


class CountedMethod:
    """A training method whose operations are counted; it learns as the method itself does."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._gflop: dict[frozenset[str], float] = {}
        self._steps: Counter[frozenset[str]] = Counter()
        self._counts_next, self._counted_steps = True, 0

    @property
    def gflop_per_step(self) -> float:
        """The mean over the steps so far, 0 before the first; steps of a kind that was never counted are left out."""
        counted = {kind: n for kind, n in self._steps.items() if kind in self._gflop}
        return sum(self._gflop[kind] * n for kind, n in counted.items()) / max(sum(counted.values()), 1)

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one batch; count its operations where it may be the first of its kind."""
        if not self._counts_next:
            terms = self._method.train_step(batch)
        else:
            terms, gflop = _counted(self._method, batch)
            self._gflop[frozenset(terms)] = gflop
            self._counted_steps += 1
        self._steps[frozenset(terms)] += 1
        # a counted step is not compiled: a kind that hardly ever comes is not waited for
        self._counts_next = self._counted_steps < _MOST_COUNTED and not self._steps.keys() <= self._gflop.keys()
        return terms

    @property
    def averaged(self) -> nn.Module:
        """The method's averaged network."""
        return self._method.averaged

    @property
    def learning_rate(self) -> float:
        """The method's next learning rate."""
        return self._method.learning_rate

    def gradient_norms(self) -> list[Tensor]:
        """Of the method's networks, the norms of the gradients they last stepped by."""
        return self._method.gradient_norms()

    def state_dict(self) -> dict[str, Any]:
        """The method's state."""
        return self._method.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the method's state."""
        self._method.load_state_dict(state)

    def own_state_dict(self) -> dict[str, Any]:
        """What of the method's state is of this process alone."""
        return self._method.own_state_dict()

    def load_own_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `own_state_dict` gave."""
        self._method.load_own_state_dict(state)


def _counted(method: Method, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    from torch.utils.flop_counter import FlopCounterMode

    # operations inside a compiled network are not seen
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        terms = method.train_step(batch)
    return terms, counter.get_total_flops() / 1e9


def peak_of(device: torch.device, *, dtype: torch.dtype) -> Peak:
    """The peak of a GPU by its name, of a CPU by a short matrix product in `dtype` on the threads torch uses."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = next((tflops for part, tflops in PEAK_TFLOPS.items() if part in name), None)
        return Peak(known, f"{name}, dense bf16 by its datasheet" if known else name)
    product = _matrix_product_tflops(device, dtype)
    return Peak(product, f"a matrix product on {torch.get_num_threads()} CPU threads in {str(dtype)[6:]}")


def _matrix_product_tflops(device: torch.device, dtype: torch.dtype, *, size: int = 512, repeats: int = 20) -> float:
    # not from torch's own generator, on which a resumed run relies
    factor = torch.linspace(-1, 1, size * size, device=device).reshape(size, size).to(dtype)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        torch.mm(factor, factor)
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds) / 1e12
