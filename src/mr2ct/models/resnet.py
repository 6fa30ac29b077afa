"""The CycleGAN generator (Zhu 2017, arXiv:1703.10593; Johnson 2016): residual blocks at a quarter of the resolution.

Up-sampling is by resizing and convolution (Odena 2016): the paper's transposed convolutions leave a checkerboard.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.models.blocks import (
    convolution,
    cropped_to,
    in_full_precision,
    normalisation,
    padded_to_multiple,
)


class _Step(nn.Module):
    """Resize where asked, convolve, normalise, ReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, *, dims: int, norm: str, size: int = 3, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.convolution = convolution(dims, channels_in, channels_out, size=size, stride=2 if scale < 1 else 1)
        self.norm = normalisation(norm, dims=dims, channels=channels_out)

    def forward(self, features: Tensor) -> Tensor:
        if self.scale > 1:
            features = F.interpolate(features, scale_factor=self.scale, mode="nearest")
        return F.relu(self.norm(self.convolution(features)))


class _ResidualBlock(nn.Module):
    """Two 3-wide convolutions around which the features pass unchanged."""

    def __init__(self, channels: int, *, dims: int, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(dims, channels, channels, size=3),
            normalisation(norm, dims=dims, channels=channels),
            nn.ReLU(),
            convolution(dims, channels, channels, size=3),
            normalisation(norm, dims=dims, channels=channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        bent: Tensor = self.body(features)
        return features + bent


class ResNetGenerator(nn.Module):
    """An image (N, in_channels, *spatial) to the other modality (N, out_channels, *spatial), network units, any size.

    Parameters
    ----------
    width : channels at full resolution; four times as many in the residual blocks. The paper has 64.
    blocks : residual blocks; the paper has 9 for 256 x 256.
    norm : the paper has "instance"; "channel" does not depend on how much tissue a slice shows.

    Example
    -------
    >>> import torch
    >>> ResNetGenerator(width=4, blocks=1)(torch.zeros(1, 1, 9, 7)).shape
    torch.Size([1, 1, 9, 7])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        dims: int = 2,
        width: int = 64,
        blocks: int = 9,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Step(in_channels, width, dims=dims, norm=norm, size=7),
            _Step(width, 2 * width, dims=dims, norm=norm, scale=0.5),
            _Step(2 * width, 4 * width, dims=dims, norm=norm, scale=0.5),
            *(_ResidualBlock(4 * width, dims=dims, norm=norm) for _ in range(blocks)),
            _Step(4 * width, 2 * width, dims=dims, norm=norm, scale=2.0),
            _Step(2 * width, width, dims=dims, norm=norm, scale=2.0),
        )
        self.head = convolution(dims, width, out_channels, size=7)
        self.multiple = 4

    def forward(self, image: Tensor) -> Tensor:
        features = self.body(padded_to_multiple(image, self.multiple))
        return cropped_to(in_full_precision(self.head, features), image)
