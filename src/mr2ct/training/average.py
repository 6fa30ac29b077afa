"""The exponential moving average of a network's weights: smoother than the last step; it is validated and kept."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(network: nn.Module, *, decay: float) -> AveragedModel:
    """A copy that follows `network` by `decay` a step (`.update_parameters(network)`), buffers included.

    Example
    -------
    >>> moving_average(nn.Linear(1, 1), decay=0.9).module
    Linear(in_features=1, out_features=1, bias=True)
    """
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True).requires_grad_(False).eval()
