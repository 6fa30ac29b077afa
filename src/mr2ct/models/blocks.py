"""The parts the networks share, in two and three dimensions from one definition."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.errors import Mr2ctError

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_INTERPOLATION = {2: "bilinear", 3: "trilinear"}
_MOST_GROUPS = 8


class ChannelNorm(nn.Module):
    """Normalise every voxel's feature vector by itself, then scale and shift each channel.

    What a voxel becomes does not depend on how much tissue the rest of the slice shows, nor on the batch.
    Input and output (N, C, *spatial). Source: Karras 2018 (arXiv:1710.10196), with the affine part of layer norm.

    Example
    -------
    >>> ChannelNorm(4)(torch.ones(1, 4, 2, 2)).shape
    torch.Size([1, 4, 2, 2])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        normalised: Tensor = self.norm(features.movedim(1, -1))
        return normalised.movedim(-1, 1)


def _groups_of(channels: int) -> int:
    """The most groups, up to eight, into which so many channels can be shared out alike: 7 of 42, 4 of 4."""
    return next(n for n in range(min(_MOST_GROUPS, channels), 0, -1) if channels % n == 0)


NORMALISATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda dims, channels: (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(channels),
    "instance": lambda dims, channels: (nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d)(channels, affine=True),
    "group": lambda dims, channels: nn.GroupNorm(_groups_of(channels), channels),
    "channel": lambda dims, channels: ChannelNorm(channels),
    "none": lambda dims, channels: nn.Identity(),
}


def normalisation(name: str, *, dims: int, channels: int) -> nn.Module:
    """The named normalisation for (N, channels, *spatial); `NORMALISATIONS` lists the names."""
    if name not in NORMALISATIONS:
        raise Mr2ctError("unknown normalisation", got=name, expected=", ".join(NORMALISATIONS))
    return NORMALISATIONS[name](dims, channels)


def convolution(dims: int, channels_in: int, channels_out: int, *, size: int, stride: int = 1) -> nn.Module:
    """A convolution of odd kernel `size` that keeps the grid (but for its stride); edges continue outwards by zeros."""
    if dims not in CONVOLUTION:
        raise Mr2ctError("networks have two or three dimensions", got=dims, expected="2 or 3")
    return CONVOLUTION[dims](channels_in, channels_out, size, stride=stride, padding=size // 2)


def every_second(images: Tensor) -> Tensor:
    """Every second voxel along each axis of (N, C, *spatial), from the first on.

    A 1 x 1 convolution of what it gives is one of stride 2. oneDNN's own writes past its memory in backward passes of
    few channels (below 8 with AVX2, 16 with AVX-512; channels last): wrong gradients, or the end of the process.
    https://github.com/uxlfoundation/oneDNN/issues/6035
    """
    return images[:, :, ::2, ::2] if images.ndim == 4 else images[:, :, ::2, ::2, ::2]


class ConvolutionBlock(nn.Module):
    """Two 3-wide convolutions with normalisation and LeakyReLU, and a residual path around both.

    (N, channels_in, *spatial) to (N, channels_out, *spatial).
    """

    def __init__(self, channels_in: int, channels_out: int, *, dims: int, norm: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(dims, channels_in, channels_out, size=3),
            normalisation(norm, dims=dims, channels=channels_out),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout) if dropout else nn.Identity(),
            convolution(dims, channels_out, channels_out, size=3),
            normalisation(norm, dims=dims, channels=channels_out),
        )
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else convolution(dims, channels_in, channels_out, size=1)

    def forward(self, features: Tensor) -> Tensor:
        return F.leaky_relu(self.body(features) + self.shortcut(features), 0.1)


def upsample_to(features: Tensor, like: Tensor) -> Tensor:
    """Resize (N, C, *spatial) linearly to the spatial size of `like`; no checkerboard (Odena 2016)."""
    return F.interpolate(features, size=like.shape[2:], mode=_INTERPOLATION[like.dim() - 2], align_corners=False)


def space_to_channels(images: Tensor, factor: int) -> Tensor:
    """Fold blocks of `factor` voxels along every axis into channels.

    (N, C, *spatial) to (N, C·factor^d, *spatial/factor), d dimensions.
    Nothing is lost, and a network that runs on the result costs a quarter (d = 2) at the same number of channels.
    Spatial sizes are multiples of `factor`. Source: Shi 2016 (arXiv:1609.05158), there called pixel unshuffle.

    Example
    -------
    >>> space_to_channels(torch.zeros(1, 1, 4, 6), 2).shape
    torch.Size([1, 4, 2, 3])
    """
    dims = images.dim() - 2
    pairs = [size for length in images.shape[2:] for size in (length // factor, factor)]
    split = images.reshape(images.shape[0], images.shape[1], *pairs)
    coarse, fine = [2 + 2 * axis for axis in range(dims)], [3 + 2 * axis for axis in range(dims)]
    return split.permute(0, 1, *fine, *coarse).flatten(1, 1 + dims)


def channels_to_space(features: Tensor, factor: int) -> Tensor:
    """Undo `space_to_channels`: (N, C·factor^d, *spatial) to (N, C, *spatial·factor).

    Example
    -------
    >>> images = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> torch.equal(channels_to_space(space_to_channels(images, 2), 2), images)
    True
    """
    dims = features.dim() - 2
    split = features.reshape(features.shape[0], -1, *[factor] * dims, *features.shape[2:])
    order = [index for axis in range(dims) for index in (2 + dims + axis, 2 + axis)]
    sizes = [length * factor for length in features.shape[2:]]
    return split.permute(0, 1, *order).reshape(features.shape[0], -1, *sizes)


def padded_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Continue (N, C, *spatial) at its far edges until every spatial size is a multiple; crop with `cropped_to`."""
    missing = [-size % multiple for size in images.shape[2:]]
    if all(size + more == multiple for size, more in zip(images.shape[2:], missing, strict=True)):
        # the coarsest level would be a single voxel, which batch and instance norm cannot normalise
        missing[-1] += multiple
    if not any(missing):
        return images
    # F.pad counts from the last axis, two numbers an axis
    amounts = [n for size in reversed(missing) for n in (0, size)]
    return F.pad(images, amounts, mode="replicate")


def cropped_to(images: Tensor, like: Tensor) -> Tensor:
    """Take away what `padded_to_multiple` added: the spatial size becomes that of `like`."""
    if images.shape[2:] == like.shape[2:]:
        return images
    return images[(slice(None), slice(None), *(slice(0, size) for size in like.shape[2:]))]


def in_full_precision(head: nn.Module, features: Tensor) -> Tensor:
    """Run the last layer in float32 also under autocast: a bfloat16 output near -0.5 comes in steps of 8 HU."""
    if torch.is_autocast_enabled(features.device.type):
        with torch.autocast(features.device.type, enabled=False):
            result: Tensor = head(features.float())
            return result
    answer: Tensor = head(features)
    return answer
