"""The exponential moving average of a network's weights: smoother than the last step; it is validated and kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(network: nn.Module, *, decay: float) -> AveragedModel:
    """A copy that follows `network` by `decay` a step (`.update_parameters(network)`), buffers included.

    Early on it follows faster, by (1 + n) / (10 + n) at step n, so that the random weights of the start are soon gone.

    Example
    -------
    >>> moving_average(nn.Linear(1, 1), decay=0.9).module
    Linear(in_features=1, out_features=1, bias=True)
    """

    def follow(average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return current
        n = float(steps)
        return torch.lerp(average, current.to(average.dtype), 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(network, avg_fn=follow, use_buffers=True).requires_grad_(False).eval()
