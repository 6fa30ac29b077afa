"""The exponential moving average of a network's weights: smoother than the last step; it is validated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn


class MovingAverage(nn.Module):
    """`module`, a copy of a network, and the step count `n_averaged`, which stays on the CPU.

    As `torch.optim.swa_utils.AveragedModel`, states included, but that a GPU is never asked for the count: to read a
    number back after every step would make it wait for the step.
    """

    n_averaged: Tensor

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        super().__init__()
        self.module, self.decay = deepcopy(network), decay
        self.register_buffer("n_averaged", torch.tensor(0, dtype=torch.long))

    @torch.no_grad()
    def update_parameters(self, network: nn.Module) -> None:
        """Follow `network` by one step; the first step copies it."""
        n = int(self.n_averaged)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        pairs = list(zip(_tensors(self.module), _tensors(network), strict=True))
        smooth = [(average, current) for average, current in pairs if average.is_floating_point()]
        if n == 0:
            for average, current in pairs:
                average.copy_(current)
        else:
            averages = [average for average, _ in smooth]
            torch._foreach_lerp_(averages, [current.to(average.dtype) for average, current in smooth], weight)
            for average, current in pairs:
                if not average.is_floating_point():
                    average.copy_(current)
        self.n_averaged += 1


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from (parameter.detach() for parameter in network.parameters())
    yield from (buffer.detach() for buffer in network.buffers())


def moving_average(network: nn.Module, *, decay: float) -> MovingAverage:
    """A copy that follows `network` by `decay` a step (`.update_parameters(network)`), buffers included.

    Early on it follows faster, by (1 + n) / (10 + n) at step n, so that the random weights of the start are soon gone.

    Example
    -------
    >>> moving_average(nn.Linear(1, 1), decay=0.9).module
    Linear(in_features=1, out_features=1, bias=True)
    """
    average = MovingAverage(network, decay=decay)
    average.requires_grad_(False)
    average.eval()
    return average
