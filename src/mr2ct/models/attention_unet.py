"""Attention U-Net (Oktay 2018, arXiv:1804.03999): a U-Net whose skip connections pass through attention gates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.models.blocks import (
    ConvolutionBlock,
    convolution,
    cropped_to,
    every_second,
    in_full_precision,
    normalisation,
    padded_to_multiple,
    upsample_to,
)


class AttentionGate(nn.Module):
    """Weigh a skip connection's voxels by what the coarser level has recognised there (Oktay 2018, equation 1).

    `skip` (N, channels_skip, *spatial) and `gate` (N, channels_gate, *spatial / 2) give `skip` times a map in [0, 1].
    """

    def __init__(self, channels_skip: int, channels_gate: int, *, dims: int, norm: str) -> None:
        super().__init__()
        between = max(channels_skip // 2, 1)
        self.from_skip = convolution(dims, channels_skip, between, size=1)
        self.from_gate = convolution(dims, channels_gate, between, size=1)
        self.weigh = nn.Sequential(
            normalisation(norm, dims=dims, channels=between),
            nn.LeakyReLU(0.1),
            convolution(dims, between, 1, size=1),
            nn.Sigmoid(),
        )

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        return skip * upsample_to(self.weigh(self.from_skip(every_second(skip)) + self.from_gate(gate)), skip)


class GatedRise(nn.Module):
    """One level up: narrow the channels, resize, join the gated skip connection, convolve.

    `below` (N, channels_below, *spatial / 2) and `skip` (N, channels, *spatial) give (N, channels, *spatial).
    """

    def __init__(self, channels_below: int, channels: int, *, dims: int, norm: str) -> None:
        super().__init__()
        self.gate = AttentionGate(channels, channels_below, dims=dims, norm=norm)
        # 1-wide convolution and linear resizing commute; before resizing it costs a quarter
        self.narrow = convolution(dims, channels_below, channels, size=1)
        self.block = ConvolutionBlock(2 * channels, channels, dims=dims, norm=norm)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        joined = torch.cat([upsample_to(self.narrow(below), skip), self.gate(skip, below)], dim=1)
        risen: Tensor = self.block(joined)
        return risen


class AttentionUNet(nn.Module):
    """MR (N, in_channels, *spatial) to sCT (N, out_channels, *spatial), in network units, any spatial size.

    Parameters
    ----------
    in_channels : 1, or the number of neighbouring slices (2.5-D).
    dims : 2 or 3 spatial dimensions.
    widths : channels at each level, the finest first.
    norm : "batch", "group", "instance", "channel" or "none".
    dropout : at the coarsest level.

    Example
    -------
    >>> AttentionUNet(widths=(4, 8))(torch.zeros(1, 1, 9, 7)).shape
    torch.Size([1, 1, 9, 7])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        dims: int = 2,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        levels = list(zip([in_channels, *widths[:-1]], widths, strict=True))
        last = len(levels) - 1
        self.down = nn.ModuleList(
            ConvolutionBlock(before, after, dims=dims, norm=norm, dropout=dropout if level == last else 0.0)
            for level, (before, after) in enumerate(levels)
        )
        self.up = nn.ModuleList(
            GatedRise(below, width, dims=dims, norm=norm)
            for width, below in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.head = convolution(dims, widths[0], out_channels, size=1)
        self.multiple = 2 ** (len(widths) - 1)

    def forward(self, mr: Tensor) -> Tensor:
        features = padded_to_multiple(mr, self.multiple)
        pool = F.max_pool2d if mr.dim() == 4 else F.max_pool3d
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else pool(features, 2))
            skips.append(features)
        for rise, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            features = rise(features, skip)
        return cropped_to(in_full_precision(self.head, features), mr)
