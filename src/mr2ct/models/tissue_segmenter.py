"""A small network that tells the tissues of a CT apart, for the sake of the features it learns by doing so.

An sCT may be right on average and wrong where it matters: a blurred skull has the mean HU of a sharp one. A network
that was trained to find sinus, brain and cortical bone in CTs sees the difference, and its features in front of a loss
ask the sCT for it (`training.tissue_features`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.models.blocks import (
    ConvolutionBlock,
    convolution,
    cropped_to,
    padded_to_multiple,
    space_to_channels,
    upsample_to,
)
from mr2ct.models.multiscale_attention import FineDetail


class PlainRise(nn.Module):
    """One level up: narrow the channels, resize, join the skip connection, convolve.

    `below` (N, channels_below, *spatial / 2) and `skip` (N, channels, *spatial) give (N, channels, *spatial).
    """

    def __init__(self, channels_below: int, channels: int, *, dims: int, norm: str) -> None:
        super().__init__()
        self.narrow = convolution(dims, channels_below, channels, size=1)
        self.block = ConvolutionBlock(2 * channels, channels, dims=dims, norm=norm)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        risen: Tensor = self.block(torch.cat([upsample_to(self.narrow(below), skip), skip], dim=1))
        return risen


class TissueSegmenter(nn.Module):
    """CT (N, 1, *spatial) in network units to scores (N, classes, *spatial) of each tissue class, any spatial size.

    Parameters
    ----------
    classes : how many tissue classes.
    dims : 2 or 3 spatial dimensions.
    widths : channels at each level, the finest (already folded) first.
    stem : voxels along each axis that are folded into channels before the first level (1: none).
    norm : as of `AttentionUNet`.

    Example
    -------
    >>> TissueSegmenter(classes=3, widths=(4, 8))(torch.zeros(1, 1, 9, 7)).shape
    torch.Size([1, 3, 9, 7])
    """

    def __init__(
        self, *, classes: int, dims: int = 2, widths: Sequence[int] = (16, 32, 64), stem: int = 2, norm: str = "batch"
    ) -> None:
        super().__init__()
        levels = zip([stem**dims, *widths[:-1]], widths, strict=True)
        self.down = nn.ModuleList(ConvolutionBlock(before, after, dims=dims, norm=norm) for before, after in levels)
        self.up = nn.ModuleList(
            PlainRise(below, width, dims=dims, norm=norm)
            for width, below in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.detail = FineDetail(widths[0], 1, classes, dims=dims, stem=stem)
        self.dims, self.stem, self.multiple = dims, stem, stem * 2 ** (len(widths) - 1)

    def features(self, ct: Tensor) -> list[Tensor]:
        """What each level sees on the way down and then up: (N, width, *spatial / factor), the last the finest.

        Sizes that are no multiple of `multiple` are continued at their far edges first.
        """
        features = space_to_channels(padded_to_multiple(ct, self.multiple), self.stem)
        pool = F.max_pool2d if ct.dim() == 4 else F.max_pool3d
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else pool(features, 2))
            seen.append(features)
        skips = seen[:-1]
        for rise, skip in zip(self.up, reversed(skips), strict=True):
            features = rise(features, skip)
            seen.append(features)
        return seen

    def forward(self, ct: Tensor) -> Tensor:
        scores: Tensor = self.detail(self.features(ct)[-1], padded_to_multiple(ct, self.multiple))
        return cropped_to(scores, ct)
