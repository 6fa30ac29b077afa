"""The Pix2Pix generator (Isola 2017, arXiv:1611.07004): a U-Net of strided convolutions that sees the whole slice.

Two departures from the paper, both against its checkerboard: resizing and a 3-wide convolution instead of transposed
convolutions (Odena 2016), and a level at full resolution so that thin bone keeps its place.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mr2ct.models.blocks import (
    CONVOLUTION,
    convolution,
    cropped_to,
    in_full_precision,
    normalisation,
    padded_to_multiple,
    upsample_to,
)


class _Fall(nn.Module):
    """LeakyReLU, a 4-wide convolution of stride 2, normalisation: the paper's Ck in the encoder."""

    def __init__(self, channels_in: int, channels_out: int, *, dims: int, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LeakyReLU(0.2),
            CONVOLUTION[dims](channels_in, channels_out, 4, stride=2, padding=1),
            normalisation(norm, dims=dims, channels=channels_out),
        )

    def forward(self, features: Tensor) -> Tensor:
        fallen: Tensor = self.body(features)
        return fallen


class _Rise(nn.Module):
    """Resize, a 3-wide convolution, normalisation, dropout where asked, then join the skip connection."""

    def __init__(self, channels_in: int, channels_out: int, *, dims: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(dims, channels_in, channels_out, size=3),
            normalisation(norm, dims=dims, channels=channels_out),
            nn.Dropout(dropout) if dropout else nn.Identity(),
        )

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([self.body(upsample_to(torch.relu(below), skip)), skip], dim=1)


class Pix2PixUNet(nn.Module):
    """MR (N, in_channels, *spatial) to sCT (N, out_channels, *spatial), in network units, any spatial size.

    Parameters
    ----------
    width : channels of the first level; doubled at each level, up to eight times.
    levels : how often the grid is halved.
    dropout : in the three coarsest levels of the decoder; the paper's source of noise.

    Example
    -------
    >>> Pix2PixUNet(width=4, levels=3)(torch.zeros(1, 1, 9, 7)).shape
    torch.Size([1, 1, 9, 7])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        dims: int = 2,
        width: int = 16,
        levels: int = 6,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(levels + 1)]
        self.stem = convolution(dims, in_channels, width, size=3)
        self.falls = nn.ModuleList(
            # a normalised single voxel would always be zero
            _Fall(before, after, dims=dims, norm="none" if level == levels - 1 else norm)
            for level, (before, after) in enumerate(pairwise(widths))
        )
        self.rises = nn.ModuleList(
            _Rise(
                widths[level] * (1 if level == levels else 2),
                widths[level - 1],
                dims=dims,
                norm=norm,
                dropout=dropout if level > levels - 3 else 0.0,
            )
            for level in range(levels, 0, -1)
        )
        self.refine = nn.Sequential(
            nn.ReLU(), convolution(dims, 2 * width, width, size=3), normalisation(norm, dims=dims, channels=width)
        )
        self.head = nn.Sequential(nn.ReLU(), convolution(dims, width, out_channels, size=1))
        self.multiple = 2**levels

    def forward(self, mr: Tensor) -> Tensor:
        features = self.stem(padded_to_multiple(mr, self.multiple))
        skips = [features]
        for fall in self.falls:
            features = fall(features)
            skips.append(features)
        for rise, skip in zip(self.rises, reversed(skips[:-1]), strict=True):
            features = rise(features, skip)
        return cropped_to(in_full_precision(self.head, self.refine(features)), mr)
