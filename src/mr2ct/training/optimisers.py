"""The optimisers that a recipe can name: a registry, and how each is made from a recipe's values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from mr2ct.training.muon import Muon

MakesOptimiser = Callable[..., torch.optim.Optimizer]
"""Called with a network's parameters and `lr`, the learning rate."""

OPTIMISERS: dict[str, MakesOptimiser] = {"adamw": torch.optim.AdamW, "muon": Muon}

plain_adamw: MakesOptimiser = partial(torch.optim.AdamW, weight_decay=0.0)
"""AdamW with torch's values, and no weight decay."""


def optimiser_of(name: str, *, betas: tuple[float, float], weight_decay: float, fused: bool = False) -> MakesOptimiser:
    """What makes the named optimiser; `fused` makes AdamW's step one kernel on a GPU, and changes nothing of Muon's.

    Example
    -------
    >>> layer = torch.nn.Linear(16, 16)
    >>> type(optimiser_of("muon", betas=(0.9, 0.999), weight_decay=0.0)(layer.parameters(), lr=1e-3)).__name__
    'Muon'
    """
    make = partial(OPTIMISERS[name], betas=betas, weight_decay=weight_decay)
    return partial(make, fused=True) if fused and name == "adamw" else make
