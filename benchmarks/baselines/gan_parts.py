"""What the plain GANs share: the 70 x 70 patch discriminator, the weights they begin with, the picture jitter."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

ENLARGED, SIDE = 286, 256


class PatchDiscriminator(nn.Module):
    """C64-C128-C256-C512 and a score a patch (Isola 2017, section 6.1.2)."""

    def __init__(self, channels: int, width: int, norm: type[nn.Module]) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after, stride in zip(widths, widths[1:], (2, 2, 1), strict=False):
            layers += [nn.Conv2d(before, after, 4, stride, 1), norm(after), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.body(picture)


def begin_as_in_the_paper(network: nn.Module) -> nn.Module:
    """Weights from N(0, 0.02); norms from N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    return network


def jittered(pictures: list[torch.Tensor]) -> list[torch.Tensor]:
    """Enlarged to 286, cut to 256 somewhere, mirrored or not: all pictures of the list (N, 1, 256, 256) alike."""
    top, left = (int(torch.randint(ENLARGED - SIDE + 1, ())) for _ in range(2))
    mirrored = bool(torch.rand(()) < 0.5)
    found = []
    for picture in pictures:
        large = F.interpolate(picture, (ENLARGED, ENLARGED), mode="bilinear", align_corners=False)
        cut = large[..., top : top + SIDE, left : left + SIDE]
        found.append(cut.flip(-1) if mirrored else cut)
    return found


def falling_in_the_second_half(share: float) -> float:
    """The learning rate's factor after that share of the time: 1, then down to 0 in a line (100 + 100 epochs)."""
    return min(1.0, 2 * (1 - share))
