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
    channels_to_space,
    convolution,
    cropped_to,
    in_full_precision,
    normalisation,
    padded_to_multiple,
    space_to_channels,
    upsample_to,
)

_UNFOLDED_CHANNELS = 8


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


class FineDetail(nn.Module):
    """From the folded grid back to voxels: coarse features unfolded, the MR beside them, one small convolution.

    `features` (N, C, *spatial/stem) and `mr` (N, in_channels, *spatial) give (N, out_channels, *spatial).
    """

    def __init__(self, channels: int, in_channels: int, out_channels: int, *, dims: int, stem: int) -> None:
        super().__init__()
        width = _UNFOLDED_CHANNELS
        self.stem = stem
        self.narrow = convolution(dims, channels, width * stem**dims, size=1)
        self.mix = convolution(dims, width + in_channels, 2 * width, size=3)
        self.head = convolution(dims, 2 * width, out_channels, size=1)

    def forward(self, features: Tensor, mr: Tensor) -> Tensor:
        unfolded = channels_to_space(self.narrow(features), self.stem)
        mixed = F.leaky_relu(self.mix(torch.cat([unfolded, mr.to(unfolded.dtype)], dim=1)), 0.1)
        return in_full_precision(self.head, mixed)


class MultiScaleAttentionUNet(nn.Module):
    """MR (N, in_channels, *spatial) to sCT (N, out_channels, *spatial), in network units, any spatial size.

    Parameters
    ----------
    in_channels, out_channels, dims, norm : as of `AttentionUNet`.
    widths : channels at each level, the finest (already folded) first.
    stem : voxels along each axis that are folded into channels before the first level (1: none). On a CPU, whose
        cores are fastest with many channels, 2 halves the time of a step at the same number of parameters.
    dilations : of the pyramid at the coarsest level, in its voxels.
    coarse_answers : whether each level adds to the answer; else the finest alone gives it, which learns faster.

    Example
    -------
    >>> MultiScaleAttentionUNet(widths=(4, 8), dilations=(1, 2))(torch.zeros(1, 1, 9, 7)).shape
    torch.Size([1, 1, 9, 7])
    """

    def __init__(  # noqa: PLR0913 - keys of a recipe
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        dims: int = 2,
        widths: Sequence[int] = (64, 128, 192, 256),
        norm: str = "batch",
        stem: int = 2,
        dilations: Sequence[int] = (1, 2, 4),
        coarse_answers: bool = True,
    ) -> None:
        super().__init__()
        levels = zip([in_channels * stem**dims, *widths[:-1]], widths, strict=True)
        self.down = nn.ModuleList(ConvolutionBlock(before, after, dims=dims, norm=norm) for before, after in levels)
        self.pyramid = DilatedPyramid(widths[-1], dilations=dilations, dims=dims, norm=norm)
        self.up = nn.ModuleList(
            GatedRise(below, width, dims=dims, norm=norm)
            for width, below in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        answering = reversed(widths[1:]) if coarse_answers else ()
        self.heads = nn.ModuleList(convolution(dims, width, out_channels, size=1) for width in answering)
        self.detail = FineDetail(widths[0], in_channels, out_channels, dims=dims, stem=stem)
        self.stem, self.multiple = stem, stem * 2 ** (len(widths) - 1)

    def forward(self, mr: Tensor) -> Tensor:
        padded = padded_to_multiple(mr, self.multiple)
        features = space_to_channels(padded, self.stem)
        pool = F.max_pool2d if mr.dim() == 4 else F.max_pool3d
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else pool(features, 2))
            skips.append(features)
        features = self.pyramid(features)
        levels = [features]
        for rise, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            features = rise(features, skip)
            levels.append(features)
        answer = self.detail(features, padded)
        if self.heads:
            answer = answer + upsample_to(self._coarse_answer(levels), padded)
        return cropped_to(answer, mr)

    def _coarse_answer(self, levels: Sequence[Tensor]) -> Tensor:
        """What all levels but voxels answer, at the finest of them; `levels` are features, the coarsest first."""
        answer = in_full_precision(self.heads[0], levels[0])
        for number, features in enumerate(levels[1:], start=1):
            answer = upsample_to(answer, features)
            if number < len(self.heads):
                answer = answer + in_full_precision(self.heads[number], features)
        return answer
