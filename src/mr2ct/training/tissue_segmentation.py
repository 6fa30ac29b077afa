"""Train the tissue segmenter on the CTs of prepared stores, whose labels are made from the CTs themselves.

What it sees is a CT made worse (noise, blur, shifted HU), what it has to tell are the tissues of the CT as it was:
thresholds alone would not do, and the blurred sCTs it is to judge later are no surprise to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.datasets.augmentation import SpatialAugmentation
from mr2ct.datasets.store import StoredCase
from mr2ct.errors import DataSetError
from mr2ct.hounsfield import HuScaling
from mr2ct.training.averaged_method import AveragedMethod
from mr2ct.training.learner import Learner, update
from mr2ct.training.losses import AIR
from mr2ct.training.tissue_labels import IGNORED, TissueClass, gaussian_blur, tissue_labels


@dataclass(frozen=True)
class LabelledSlice:
    """CT in network units, air outside the mask, and its tissue classes; (1, h, w) float32 and uint8."""

    ct: Tensor
    labels: Tensor
    spacing_mm: tuple[float, ...] = (1.0, 1.0)


def labelled_slices(
    cases: Iterable[StoredCase], scaling: HuScaling, *, of_volume: int = 4
) -> tuple[LabelledSlice, ...]:
    """The slices of cases that are one slice thick; of volumes `of_volume` in each plane, spread over its inner half.

    Raises
    ------
    DataSetError : no case has a CT.
    """
    found = tuple(
        _labelled(
            np.take(case.ct(), n, axis),
            np.take(case.mask(), n, axis),
            scaling,
            spacing_mm=case.info.spacing_mm_beside(axis),
        )
        for case in cases
        if case.has_ct
        for axis, n in _places(case.info.shape, of_volume)
    )
    if not found:
        raise DataSetError("no CT to learn the tissues from", expected="prepared cases with a CT")
    return found


def _places(shape: Sequence[int], of_volume: int) -> Iterator[tuple[int, int]]:
    thin = [axis for axis, size in enumerate(shape) if size == 1]
    if thin:
        yield thin[0], 0
        return
    for axis, size in enumerate(shape):
        yield from ((axis, int(n)) for n in np.linspace(0.25 * size, 0.75 * size, of_volume))


def _labelled(ct_hu: Any, mask: Any, scaling: HuScaling, *, spacing_mm: tuple[float, ...]) -> LabelledSlice:
    inside = torch.from_numpy(np.asarray(mask) > 0)[None, None]
    hu = torch.from_numpy(np.asarray(ct_hu, dtype=np.float32))[None, None]
    units = torch.from_numpy(scaling.to_network(np.asarray(ct_hu)))[None]
    return LabelledSlice(torch.where(inside[0], units, AIR), tissue_labels(hu, inside), spacing_mm)


class LabelledBatches:
    """Batch number `step` of crops that hold the head: degraded (N, 1, size, size), labels (N, size, size) int64.

    Parameters
    ----------
    hu_per_unit : of the network units the slices are in.
    """

    def __init__(
        self, slices: Sequence[LabelledSlice], *, size: int, batch_size: int, hu_per_unit: float, seed: int
    ) -> None:
        self.slices, self.size, self.batch_size = slices, size, batch_size
        self.hu_per_unit, self.seed = hu_per_unit, seed
        self._move = SpatialAugmentation(rotation_deg=20.0, scaling=0.15)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        chosen = torch.randint(len(self.slices), (self.batch_size,), generator=generator).tolist()
        crops = [_crop(self.slices[n], self.size, generator) for n in chosen]
        ct, labels = (torch.stack([crop[part] for crop in crops]) for part in range(2))
        spacing_mm = torch.tensor([self.slices[n].spacing_mm for n in chosen])
        images = {"ct": ct, "label_mask": labels.float()}
        moved = self._move(images, torch.ones(self.batch_size), generator, spacing_mm=spacing_mm)
        return {
            "degraded": degraded(moved["ct"], hu_per_unit=self.hu_per_unit, generator=generator),
            "labels": moved["label_mask"][:, 0].long(),
        }


def _crop(labelled: LabelledSlice, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    padding = [n for side in reversed(labelled.ct.shape[1:]) for n in (0, max(size - side, 0))]
    ct, labels = F.pad(labelled.ct, padding, value=AIR), F.pad(labelled.labels, padding)
    start = [int(torch.randint(n - size + 1, (1,), generator=generator)) for n in ct.shape[1:]]
    window = (slice(None), *(slice(s, s + size) for s in start))
    return ct[window], labels[window]


def degraded(ct: Tensor, *, hu_per_unit: float, generator: torch.Generator) -> Tensor:
    """CT (N, 1, *spatial) in network units with other HU, blurred, with noise: each sample by its own draw.

    Up to 8 % and 30 HU off, Gaussian blur of 0 to 2.5 voxels in two of three samples, then noise of 0 to 60 HU.
    """
    ones = [ct.shape[0]] + [1] * (ct.dim() - 1)
    slope, offset, level, blur = (2 * torch.rand(ones, generator=generator) - 1 for _ in range(4))
    changed = (ct - AIR) * (1 + 0.08 * slope) + AIR + 30 / hu_per_unit * offset
    sigmas = (2.5 * (1.5 * (blur + 1) / 2 - 0.5)).flatten().tolist()
    blurred = [gaussian_blur(one[None] - AIR, s) for one, s in zip(changed.unbind(0), sigmas, strict=True)]
    changed = torch.cat(blurred) + AIR
    noise = torch.randn(ct.shape, generator=generator) * (30 * (level + 1)) / hu_per_unit
    return (changed + noise).clamp(-1, 1)


class TissueSegmentation(AveragedMethod):
    """One learner, cross-entropy and Dice; a method as `training.loop.fit` takes it."""

    parts = ("segmenter",)

    def __init__(self, segmenter: Learner, *, ema_decay: float = 0.99) -> None:
        super().__init__(segmenter, ema_decay=ema_decay)
        self.segmenter = segmenter

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one batch (degraded, labels) and return the loss's terms."""
        scores, labels = self.segmenter(batch["degraded"]), batch["labels"]
        terms = {
            "cross_entropy": F.cross_entropy(scores, labels, ignore_index=IGNORED),
            "dice": 1 - class_dice(scores.softmax(1), labels).mean(),
        }
        update(terms["cross_entropy"] + terms["dice"], [self.segmenter])
        self._count_step()
        return {name: term.detach() for name, term in terms.items()}


def class_dice(shares: Tensor, labels: Tensor) -> Tensor:
    """(classes,) Dice of `shares` (N, classes, *spatial), each voxel's adding up to 1, and `labels` (N, *spatial).

    Voxels labelled IGNORED do not count; a class that is nowhere has 1.

    Example
    -------
    >>> labels = torch.tensor([[[0, 1]]])
    >>> class_dice(F.one_hot(labels, 3).movedim(-1, 1).float(), labels).tolist()
    [1.0, 1.0, 1.0]
    """
    counted = labels != IGNORED
    truth = F.one_hot(torch.where(counted, labels, 0), shares.shape[1]).movedim(-1, 1) * counted[:, None]
    axes = [0, *range(2, shares.dim())]
    both = (shares * truth).sum(axes)
    total = (shares * counted[:, None]).sum(axes) + truth.sum(axes)
    return (2 * both + 1) / (total + 1)


def segmentation_dice(network: nn.Module, slices: Sequence[LabelledSlice]) -> dict[str, float]:
    """Dice of each tissue class over all the slices, as they are (not degraded), decided by the highest score."""
    shares, labels = [], []
    with torch.inference_mode():
        for labelled in slices:
            scores = network(labelled.ct[None].to(next(network.parameters()).device)).cpu()
            shares.append(F.one_hot(scores.argmax(1), len(TissueClass)).movedim(-1, 1).float().flatten(2))
            labels.append(labelled.labels.long().flatten(1))
    dice = class_dice(torch.cat(shares, 2), torch.cat(labels, 1))
    return {f"dice_{tissue.name.lower()}": float(dice[tissue]) for tissue in TissueClass}
