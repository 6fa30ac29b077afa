"""The PatchGAN discriminator (Isola 2017): judges overlapping patches, 70 x 70 voxels with three strided levels.

And several of them at once, on the images and on coarser copies of them (Wang 2018, arXiv:1711.11585).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mr2ct.errors import Mr2ctError
from mr2ct.models.blocks import CONVOLUTION, normalisation, upsample_to

Layers = tuple[tuple[Tensor, ...], ...]
"""Of each scale, the finest first: the features (N, C, *fewer) of each level, and last the patch scores."""


class PatchGAN(nn.Module):
    """Images (N, in_channels, *spatial) to one score a patch (N, 1, *fewer); higher means more like a real one.

    With `layers=True` it returns `Layers`, of one scale, in place of the scores.

    Parameters
    ----------
    in_channels : 1, or 2 for a conditional one that sees the MR beside the CT.
    width : channels of the first level; doubled at each level, up to eight times.
    levels : strided levels; 3 gives the 70-voxel patch.

    Raises
    ------
    Mr2ctError : an image too small to give a score: under 24 voxels along an axis with 3 levels.

    Example
    -------
    >>> import torch
    >>> PatchGAN(width=4)(torch.zeros(1, 1, 64, 64)).shape
    torch.Size([1, 1, 6, 6])
    """

    def __init__(
        self, *, in_channels: int = 1, dims: int = 2, width: int = 64, levels: int = 3, norm: str = "instance"
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(levels + 1)]
        layers: list[nn.Module] = [CONVOLUTION[dims](in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level in range(1, levels + 1):
            layers += [
                CONVOLUTION[dims](widths[level - 1], widths[level], 4, stride=2 if level < levels else 1, padding=1),
                normalisation(norm, dims=dims, channels=widths[level]),
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*layers, CONVOLUTION[dims](widths[-1], 1, 4, padding=1))
        self.smallest = 3 * 2**levels

    def forward(self, images: Tensor, *, layers: bool = False) -> Tensor | Layers:
        _require_size(images, self.smallest)
        found: list[Tensor] = []
        features = images
        for part in self.body:
            features = part(features)
            if isinstance(part, nn.LeakyReLU):
                found.append(features)
        return ((*found, features),) if layers else features


class MultiScalePatchGAN(nn.Module):
    """A `PatchGAN` on the images and one on each coarser copy of them, so that both edges and shapes are judged.

    Images (N, in_channels, *spatial) to scores (N, 1, *fewer): the mean of the scales' scores, on the finest one's
    grid. With `layers=True` it returns `Layers` in their place, every scale with its own scores.

    Parameters
    ----------
    scales : discriminators; the images of each have half the voxels along an axis of those before it.
    in_channels, dims, width, levels, norm : of each `PatchGAN`.

    Raises
    ------
    Mr2ctError : an image whose coarsest copy is too small for a score: under 48 voxels with 3 levels and 2 scales.

    Example
    -------
    >>> import torch
    >>> MultiScalePatchGAN(width=4, levels=2)(torch.zeros(1, 1, 64, 64)).shape
    torch.Size([1, 1, 14, 14])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        dims: int = 2,
        width: int = 64,
        levels: int = 3,
        norm: str = "instance",
        scales: int = 2,
    ) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            PatchGAN(in_channels=in_channels, dims=dims, width=width, levels=levels, norm=norm) for _ in range(scales)
        )
        self.smallest = 3 * 2**levels * 2 ** (scales - 1)

    def forward(self, images: Tensor, *, layers: bool = False) -> Tensor | Layers:
        _require_size(images, self.smallest)
        pool = F.avg_pool2d if images.dim() == 4 else F.avg_pool3d
        found: list[tuple[Tensor, ...]] = []
        for number, judge in enumerate(self.judges):
            # windows that overlap, so that a thin edge does not flicker; the border is no darker for its zeros
            images = pool(images, 3, stride=2, padding=1, count_include_pad=False) if number else images
            found.extend(judge(images, layers=True))
        if layers:
            return tuple(found)
        scores = [scale[-1] for scale in found]
        return torch.stack([scores[0], *(upsample_to(coarse, scores[0]) for coarse in scores[1:])]).mean(0)


def _require_size(images: Tensor, smallest: int) -> None:
    if min(images.shape[2:]) < smallest:
        raise Mr2ctError(
            "images too small for the discriminator",
            got=" x ".join(str(size) for size in images.shape[2:]),
            expected=f"at least {smallest} voxels along every axis",
            remedy="raise data.size, or lower levels (or scales) in method.discriminator.arguments",
        )
