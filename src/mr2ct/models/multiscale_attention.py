"""Attention U-Net that looks at several scales at once: a pyramid of dilations at the bottom, an answer at every level.

Skull and sinus are both dark in MR; what tells them apart lies centimetres away. The pyramid (Chen 2017,
arXiv:1706.05587) brings that context to the coarsest level, gates carry it to every skip connection, and each level
adds its own correction to the answer of the level below (Denton 2015, arXiv:1506.05751), so that the coarse levels
are supervised directly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.models.attention_unet import GatedRise
from mr2ct.models.blocks import (
    CONVOLUTION,
    ConvolutionBlock,
    convolution,
    cropped_to,
    in_full_precision,
    normalisation,
    padded_to_multiple,
    upsample_to,
)


class DilatedPyramid(nn.Module):
    """Convolutions that look 1, 2, 4, ... voxels far, side by side, joined into a residual; shape (N, C, *spatial).

    No pooling over the whole slice: what a voxel becomes must not depend on how much tissue the slice shows.
    """

    def __init__(self, channels: int, *, dilations: Sequence[int], dims: int, norm: str) -> None:
        super().__init__()
        each = max(channels // len(dilations), 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                CONVOLUTION[dims](channels, each, 3, padding=dilation, dilation=dilation),
                normalisation(norm, dims=dims, channels=each),
                nn.LeakyReLU(0.1),
            )
            for dilation in dilations
        )
        self.join = convolution(dims, each * len(dilations), channels, size=1)

    def forward(self, features: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([branch(features) for branch in self.branches], dim=1))
        return features + joined


class MultiScaleAttentionUNet(nn.Module):
    """MR (N, in_channels, *spatial) to sCT (N, out_channels, *spatial), in network units, any spatial size.

    Parameters
    ----------
    in_channels, out_channels, dims, widths, norm : as of `AttentionUNet`.
    dilations : of the pyramid at the coarsest level, in its voxels.

    Example
    -------
    >>> MultiScaleAttentionUNet(widths=(4, 8), dilations=(1, 2))(torch.zeros(1, 1, 9, 7)).shape
    torch.Size([1, 1, 9, 7])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        dims: int = 2,
        widths: Sequence[int] = (24, 48, 96, 160, 256),
        norm: str = "batch",
        dilations: Sequence[int] = (1, 2, 4, 6),
    ) -> None:
        super().__init__()
        levels = zip([in_channels, *widths[:-1]], widths, strict=True)
        self.down = nn.ModuleList(ConvolutionBlock(before, after, dims=dims, norm=norm) for before, after in levels)
        self.pyramid = DilatedPyramid(widths[-1], dilations=dilations, dims=dims, norm=norm)
        self.up = nn.ModuleList(
            GatedRise(below, width, dims=dims, norm=norm)
            for width, below in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.heads = nn.ModuleList(convolution(dims, width, out_channels, size=1) for width in reversed(widths))
        self.multiple = 2 ** (len(widths) - 1)

    def forward(self, mr: Tensor) -> Tensor:
        features = padded_to_multiple(mr, self.multiple)
        pool = F.max_pool2d if mr.dim() == 4 else F.max_pool3d
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else pool(features, 2))
            skips.append(features)
        features = self.pyramid(features)
        answer = in_full_precision(self.heads[0], features)
        for rise, head, skip in zip(self.up, self.heads[1:], reversed(skips[:-1]), strict=True):
            features = rise(features, skip)
            answer = upsample_to(answer, features) + in_full_precision(head, features)
        return cropped_to(answer, mr)
