"""A plain Pix2Pix (Isola 2017): U-Net-256, 8-bit pictures, 100 L1 + GAN, every setting the paper's."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from baselines.gan_parts import PatchDiscriminator, begin_as_in_the_paper, falling_in_the_second_half, jittered

L1_WEIGHT = 100.0


class UNet256(nn.Module):
    """Eight times down to a single pixel and up again, skip connections, dropout in three levels, tanh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [1, *(width * n for n in (1, 2, 4, 8, 8, 8, 8, 8))]
        last = len(widths) - 2
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (outer, inner) in enumerate(itertools.pairwise(widths)):
            # the single pixel in the middle is not normalised: batch norm of one number is zero
            down = [nn.LeakyReLU(0.2)] * (level > 0) + [nn.Conv2d(outer, inner, 4, 2, 1)]
            self.downs.append(nn.Sequential(*down, *[nn.BatchNorm2d(inner)] * (0 < level < last)))
            from_below = inner if level == last else 2 * inner
            up = [nn.ReLU(), nn.ConvTranspose2d(from_below, outer, 4, 2, 1)]
            up += [nn.Tanh()] if level == 0 else [nn.BatchNorm2d(outer)]
            self.ups.append(nn.Sequential(*up, *[nn.Dropout(0.5)] * (last - 3 <= level < last)))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        seen = [picture]
        for down in self.downs:
            seen.append(down(seen[-1]))
        answer = seen.pop()
        for level in reversed(range(len(self.ups))):
            answer = self.ups[level](answer)
            if level:
                answer = torch.cat([answer, seen[level]], dim=1)
        return answer


class PlainPix2Pix(nn.Module):
    """Two networks, two Adams; `learn` is one step of both."""

    bits, batch_size, paired, learning_rate = 8, 1, True, 2e-4
    quirks = (
        "8-bit pictures of 256 x 256: 16 HU a grey level",
        "the loss counts the background like the head",
        "as in the paper, dropout and batch statistics stay on when it converts",
    )

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.generator = begin_as_in_the_paper(UNet256(width))
        self.discriminator = begin_as_in_the_paper(PatchDiscriminator(2, width, nn.BatchNorm2d))
        adam = {"lr": self.learning_rate, "betas": (0.5, 0.999)}
        self.optimisers = [torch.optim.Adam(n.parameters(), **adam) for n in (self.generator, self.discriminator)]

    rate = staticmethod(falling_in_the_second_half)

    def learn(self, mr: torch.Tensor, ct: torch.Tensor) -> None:
        mr, ct = jittered([mr, ct])
        for_generator, for_discriminator = self.optimisers
        sct = self.generator(mr)
        seen = [self.discriminator(torch.cat([mr, image], 1)) for image in (ct, sct.detach())]
        judged = (_called(seen[0], real=True) + _called(seen[1], real=False)) / 2
        for_discriminator.zero_grad()
        judged.backward()
        for_discriminator.step()
        fooled = _called(self.discriminator(torch.cat([mr, sct], 1)), real=True)
        for_generator.zero_grad()
        (fooled + L1_WEIGHT * F.l1_loss(sct.float(), ct)).backward()
        for_generator.step()

    def translate(self, mr: torch.Tensor) -> torch.Tensor:
        self.generator.train()
        return self.generator(mr)


def _called(scores: torch.Tensor, *, real: bool) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(scores.float(), torch.full_like(scores.float(), float(real)))
