"""A loss on what a tissue segmenter sees in an sCT and in its CT; and the segmenter as files.

Source: Longuefosse 2024 (arXiv:2410.10328), the anatomical feature-prioritised loss: L1 between the features of a
segmentation network. Here each level counts relative to its own size, and inside the body alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.errors import BundleError
from mr2ct.io.atomic import atomic_folder
from mr2ct.io.checksum import sha256
from mr2ct.models.tissue_segmenter import TissueSegmenter
from mr2ct.training.losses import AIR, masked_mean

WEIGHTS_FILE, DESCRIPTION_FILE, FORMAT_VERSION = "weights.safetensors", "segmenter.json", 1
_SMALL = 1e-6


class TissueFeatureLoss(nn.Module):
    """How differently a frozen segmenter sees two images: L1 between features, relative to the CT's, mean of levels.

    0 for identical images; about 1 where one has nothing of the other. The segmenter's weights are never changed and
    no gradient is kept for the CT.

    Example
    -------
    >>> ct, mask = torch.rand(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    >>> float(TissueFeatureLoss(TissueSegmenter(classes=2, widths=(4, 8)))(ct, ct, mask))
    0.0
    """

    def __init__(self, segmenter: TissueSegmenter) -> None:
        super().__init__()
        self.segmenter = segmenter.requires_grad_(False).eval()

    def forward(self, sct: Tensor, ct: Tensor, mask: Tensor) -> Tensor:
        """`sct`, `ct` (N, 1, *spatial) in network units and mask; beyond the mask both are made air."""
        with torch.no_grad():
            wanted = self.segmenter.features(_outlined(ct, mask))
        found = self.segmenter.features(_outlined(sct, mask))
        differences = []
        for seen, target in zip(found, wanted, strict=True):
            inside = F.interpolate(mask, size=target.shape[2:], mode="area")
            size = masked_mean(target.float().abs(), inside).clamp(min=_SMALL)
            differences.append(masked_mean((seen.float() - target.float()).abs(), inside) / size)
        return torch.stack(differences).mean()


def _outlined(image: Tensor, mask: Tensor) -> Tensor:
    # the table would be seen in the CT and never in the sCT
    return image * mask + AIR * (1 - mask)


def write_segmenter(
    folder: str | os.PathLike[str],
    segmenter: nn.Module,
    *,
    arguments: Mapping[str, Any],
    hu_range: tuple[float, float],
    facts: Mapping[str, Any],
) -> None:
    """Write a segmenter as safetensors and JSON into a new folder, whole or not at all.

    Parameters
    ----------
    arguments : of `TissueSegmenter`. hu_range : what network units -1 and 1 stand for.
    facts : what else is to be known of it: data, steps, Dice.
    """
    with atomic_folder(Path(folder)) as unfinished:
        weights = unfinished / WEIGHTS_FILE
        # not save_file, which lets nobody but the owner read
        weights.write_bytes(save({name: t.detach().cpu().contiguous() for name, t in segmenter.state_dict().items()}))
        description = {
            "format_version": FORMAT_VERSION,
            "arguments": dict(arguments),
            "hu_range": list(hu_range),
            "weights_sha256": sha256(weights),
            **facts,
        }
        (unfinished / DESCRIPTION_FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def read_segmenter(folder: str | os.PathLike[str], *, dims: int, hu_range: tuple[float, float]) -> TissueSegmenter:
    """Read a segmenter for images of `dims` dimensions in network units of `hu_range`; nothing in it is executed.

    Raises
    ------
    BundleError : no segmenter there, altered, of a newer format, of other dimensions or another HU range.

    Example
    -------
    >>> read_segmenter("no/such", dims=2, hu_range=(-1024, 3071))
    Traceback (most recent call last):
    mr2ct.errors.BundleError: no tissue segmenter there; got no/such; ...
    """
    place = Path(folder)
    description = _read_description(place)
    dimensions, units = description["arguments"].get("dims", 2), tuple(description["hu_range"])
    if dimensions != dims or units != tuple(hu_range):
        raise BundleError(
            f"the tissue segmenter in {place} is for other images",
            got=f"{dimensions} dimensions, {units[0]:g} to {units[1]:g} HU",
            expected=f"{dims} dimensions, {hu_range[0]:g} to {hu_range[1]:g} HU",
            remedy="train one with scripts/train_tissue_segmenter.py",
        )
    if sha256(place / WEIGHTS_FILE) != description["weights_sha256"]:
        raise BundleError(f"{place / WEIGHTS_FILE} was altered", expected=f"SHA-256 {description['weights_sha256']}")
    try:
        # without numbers of its own: drawing them would move the draws of the run that reads it
        with torch.device("meta"):
            segmenter = TissueSegmenter(**description["arguments"])
        segmenter.load_state_dict(load_file(place / WEIGHTS_FILE), assign=True)
    except (TypeError, RuntimeError, SafetensorError) as error:
        raise BundleError(f"the tissue segmenter in {place} cannot be built", got=str(error).splitlines()[0]) from error
    return segmenter


def _read_description(place: Path) -> dict[str, Any]:
    if not all((place / name).is_file() for name in (WEIGHTS_FILE, DESCRIPTION_FILE)):
        raise BundleError(
            "no tissue segmenter there",
            got=place,
            expected=f"{DESCRIPTION_FILE} and {WEIGHTS_FILE}",
            remedy="train one with scripts/train_tissue_segmenter.py",
        )
    try:
        description = json.loads((place / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{place / DESCRIPTION_FILE} cannot be read", got=error, expected="JSON") from error
    wanted = {"arguments", "hu_range", "weights_sha256"}
    if not isinstance(description, dict) or description.get("format_version") != FORMAT_VERSION:
        raise BundleError(f"{place / DESCRIPTION_FILE} is of another format", expected=f"format {FORMAT_VERSION}")
    whole = wanted <= description.keys() and isinstance(description["arguments"], dict)
    if not whole or len(description["hu_range"]) != 2:
        raise BundleError(f"{place / DESCRIPTION_FILE} is incomplete", expected=", ".join(sorted(wanted)))
    return description
