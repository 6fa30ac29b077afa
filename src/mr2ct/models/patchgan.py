"""The PatchGAN discriminator (Isola 2017): judges overlapping patches, 70 x 70 voxels with three strided levels."""

from __future__ import annotations

from torch import Tensor, nn

from mr2ct.errors import Mr2ctError
from mr2ct.models.blocks import CONVOLUTION, normalisation


class PatchGAN(nn.Module):
    """Images (N, in_channels, *spatial) to one score a patch (N, 1, *fewer); higher means more like a real one.

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

    def forward(self, images: Tensor) -> Tensor:
        if min(images.shape[2:]) < self.smallest:
            raise Mr2ctError(
                "images too small for the discriminator",
                got=" x ".join(str(size) for size in images.shape[2:]),
                expected=f"at least {self.smallest} voxels along every axis",
                remedy="raise data.size, or lower levels in method.discriminator.arguments",
            )
        scores: Tensor = self.body(images)
        return scores
