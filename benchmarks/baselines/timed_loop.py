"""Trains a baseline for so many minutes, going on where it was stopped, and converts slices with it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.pictures import Pair, ct_picture, hu_of, mr_picture, slice_axis, slices_of
from mr2ct.io.atomic import atomic_file
from mr2ct.models.bfloat16 import has_bfloat16

SAVE_EVERY_MINUTES = 3.0


def train(
    model: Any, pairs: Sequence[Pair], *, minutes: float, checkpoint: Path, device: str, seed: int
) -> dict[str, Any]:
    """Train until `minutes` have been spent on it, those before an interruption included; how that went.

    bfloat16 is used where our families use it, so that the minutes of all are spent on the same arithmetic.
    """
    torch.manual_seed(seed)
    random.seed(seed)
    model.to(device).train()
    steps, before = _taken_up(model, checkpoint, device)
    # made once: to make one takes longer than a step of a small network
    mr_pictures = [mr_picture(pair.mr, bits=model.bits) for pair in pairs]
    ct_pictures = [ct_picture(pair.ct_hu, bits=model.bits) for pair in pairs]
    rng = np.random.default_rng((seed, steps))
    began = saved = time.monotonic()
    seconds = before
    while seconds < 60 * minutes:
        for optimiser in model.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = model.learning_rate * model.rate(seconds / (60 * minutes))
        of_mr, of_ct = _drawn(pairs, model, rng)
        mr = torch.stack([mr_pictures[n] for n in of_mr]).to(device)
        ct = torch.stack([ct_pictures[n] for n in of_ct]).to(device)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=has_bfloat16(device)):
            model.learn(mr, ct)
        steps, seconds = steps + 1, before + time.monotonic() - began
        if time.monotonic() - saved > 60 * SAVE_EVERY_MINUTES:
            _save(model, checkpoint, steps, seconds)
            saved = time.monotonic()
    _save(model, checkpoint, steps, seconds)
    return {"steps": steps, "minutes": seconds / 60, "seconds_per_step": seconds / max(steps, 1)}


def _drawn(pairs: Sequence[Pair], model: Any, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Which MRs and which CTs: the same of paired models, of different patients else."""
    of_mr = [int(n) for n in rng.integers(len(pairs), size=model.batch_size)]
    if model.paired:
        return of_mr, of_mr
    seen = {pairs[n].patient for n in of_mr}
    others = [n for n, pair in enumerate(pairs) if pair.patient not in seen]
    return of_mr, [int(n) for n in rng.choice(others, size=model.batch_size)]


def convert(model: Any, mr_voxels: np.ndarray, affine: np.ndarray, *, device: str) -> np.ndarray:
    """HU (int16) of an MR volume (i, j, k), slice by slice, in full precision."""
    model.to(device)
    found = []
    with torch.no_grad():
        for mr in slices_of(mr_voxels, affine):
            answer = model.translate(mr_picture(mr, bits=model.bits)[None].to(device))
            found.append(hu_of(answer[0].float().cpu(), mr.shape))
    hu = np.stack(found, axis=slice_axis(mr_voxels.shape, affine))
    return np.rint(hu).astype(np.int16)


def load(model: Any, checkpoint: Path) -> Any:
    """The model with the weights of its last save."""
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    return model


def _taken_up(model: Any, checkpoint: Path, device: str) -> tuple[int, float]:
    """Steps done and seconds spent before; the model and its optimisers as they were then."""
    if not checkpoint.exists():
        return 0, 0.0
    state = torch.load(checkpoint, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    for optimiser, own in zip(model.optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(own)
    return state["steps"], state["seconds"]


def _save(model: Any, checkpoint: Path, steps: int, seconds: float) -> None:
    optimisers = [optimiser.state_dict() for optimiser in model.optimisers]
    with atomic_file(checkpoint) as partial:
        torch.save({"model": model.state_dict(), "optimisers": optimisers, "steps": steps, "seconds": seconds}, partial)
