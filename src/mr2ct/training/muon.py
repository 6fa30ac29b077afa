"""Muon: momentum whose every matrix is made orthogonal before it is followed, and AdamW for all that is no matrix.

AdamW weighs every number of a kernel by itself; a convolution's gradient has few strong directions, and those alone are
learnt. Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) gives all directions of a weight matrix the same
step. On a CPU, where steps are few, a network from nothing needs about two thirds of AdamW's
(docs/explanation/what-helped.md). `torch.optim.Muon` takes two-dimensional weights only, and not before torch 2.9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from mr2ct.models.bfloat16 import has_bfloat16

MATRIX_RATE = 4.0
"""How many times AdamW's learning rate the matrices take."""

_MOMENTUM = 0.95
_FEWEST = 16
# of the quintic iteration, tuned by Jordan for fast growth of small singular values; they end between 0.7 and 1.2
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def is_matrix(parameter: Tensor) -> bool:
    """Whether a weight is large enough to be followed by direction: 16 outputs or more, and 16 inputs to each.

    Example
    -------
    >>> is_matrix(torch.zeros(64, 32, 3, 3)), is_matrix(torch.zeros(1, 64, 1, 1))
    (True, False)
    """
    return parameter.ndim >= 2 and parameter.shape[0] >= _FEWEST and parameter[0].numel() >= _FEWEST


def orthogonalised(matrix: Tensor) -> Tensor:
    """Nearly U Vᵀ of a matrix U S Vᵀ, by five steps of a Newton-Schulz iteration.

    (rows, columns) in, the same shape out, its singular values between 0.7 and 1.2; in bfloat16, which is all it needs,
    where the matrix's device multiplies that itself, else in float32: emulated, it takes twenty times as long.

    Example
    -------
    >>> torch.linalg.svdvals(orthogonalised(torch.diag(torch.tensor([9.0, 1.0, 0.5]))).float()).min() > 0.6
    tensor(True)
    """
    a, b, c = _QUINTIC
    wide: Tensor = matrix.to(torch.bfloat16 if has_bfloat16(matrix.device.type) else torch.float32)
    is_tall = wide.shape[0] > wide.shape[1]
    if is_tall:
        wide = wide.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if is_tall else wide


class Muon(torch.optim.Optimizer):
    """Steps matrices (see `is_matrix`; kernels as outputs by all else) by Muon, other parameters by AdamW.

    A matrix moves by `MATRIX_RATE` times the learning rate, scaled so that its numbers move as far as AdamW's do
    (0.2 times the root of the longer side; Liu 2025, arXiv:2502.16982).

    Parameters
    ----------
    lr, betas, weight_decay : as of AdamW, the names too; matrices shrink `MATRIX_RATE` times as fast.

    Example
    -------
    >>> layer = torch.nn.Linear(16, 16)
    >>> optimiser = Muon(layer.parameters(), lr=1e-3)
    >>> layer(torch.ones(1, 16)).sum().backward(); optimiser.step()
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        everything = list(params)
        groups = [
            {"params": [p for p in everything if is_matrix(p) == matrices], "matrices": matrices}
            for matrices in (True, False)
        ]
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; a `closure` is not supported and not called."""
        for group in self.param_groups:
            move = _move_matrix if group["matrices"] else _move_number
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"] * (MATRIX_RATE if group["matrices"] else 1))
                    move(parameter, parameter.grad, self.state[parameter], group)


def _move_matrix(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["momentum"] = torch.zeros_like(parameter)
    momentum: Tensor = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
    ahead = gradient.lerp(momentum, _MOMENTUM)
    flat = ahead.reshape(len(ahead), -1)
    reach = 0.2 * max(flat.shape) ** 0.5 * MATRIX_RATE * group["lr"]
    parameter.add_(orthogonalised(flat).reshape(ahead.shape).to(parameter.dtype), alpha=-reach)


def _move_number(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """AdamW (Loshchilov 2019, arXiv:1711.05101)."""
    if not state:
        state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(parameter)}
        state["exp_avg_sq"] = torch.zeros_like(parameter)
    first, second = group["betas"]
    state["step"] += 1
    taken = float(state["step"])
    mean = state["exp_avg"].lerp_(gradient, 1 - first)
    spread = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    size = (spread / (1 - second**taken)).sqrt_().add_(group["eps"])
    parameter.addcdiv_(mean, size, value=-group["lr"] / (1 - first**taken))
