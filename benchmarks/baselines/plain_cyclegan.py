"""A plain CycleGAN (Zhu 2017): ResNet-9, 8-bit pictures, least squares, cycle 10 and identity 5, no structure term."""

from __future__ import annotations

import itertools
import random

import torch
from torch import nn
from torch.nn import functional as F

from baselines.gan_parts import PatchDiscriminator, begin_as_in_the_paper, falling_in_the_second_half, jittered

CYCLE_WEIGHT, IDENTITY_SHARE, POOL = 10.0, 0.5, 50


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        once = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.body = nn.Sequential(*once, nn.ReLU(), *again)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.body(features)


def resnet_9(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(1, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
    for before, after in ((width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.InstanceNorm2d(after), nn.ReLU()]
    layers += [_Block(4 * width) for _ in range(9)]
    for before, after in ((4 * width, 2 * width), (2 * width, width)):
        layers += [nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 1, 7), nn.Tanh())


class PlainCycleGAN(nn.Module):
    """Two generators, two discriminators, two Adams; MR and CT of a step are of different patients."""

    bits, batch_size, paired, learning_rate = 8, 1, False, 2e-4
    quirks = (
        "8-bit pictures of 256 x 256: 16 HU a grey level",
        "it sees MR and CT of all training patients, never the pair of one",
        "the discriminators' pools of old pictures begin anew when a run is resumed",
    )

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.to_ct, self.to_mr = (begin_as_in_the_paper(resnet_9(width)) for _ in range(2))
        self.judge_ct, self.judge_mr = (
            begin_as_in_the_paper(PatchDiscriminator(1, width, nn.InstanceNorm2d)) for _ in range(2)
        )
        adam = {"lr": self.learning_rate, "betas": (0.5, 0.999)}
        players = ((self.to_ct, self.to_mr), (self.judge_ct, self.judge_mr))
        self.optimisers = [
            torch.optim.Adam(itertools.chain(*(p.parameters() for p in pair)), **adam) for pair in players
        ]
        self.old_ct: list[torch.Tensor] = []
        self.old_mr: list[torch.Tensor] = []

    rate = staticmethod(falling_in_the_second_half)

    def learn(self, mr: torch.Tensor, ct: torch.Tensor) -> None:
        (mr,), (ct,) = jittered([mr]), jittered([ct])
        of_generators, of_judges = self.optimisers
        for judge in (self.judge_ct, self.judge_mr):
            judge.requires_grad_(False)
        sct, smr = self.to_ct(mr), self.to_mr(ct)
        fooled = _far_from(self.judge_ct(sct), 1.0) + _far_from(self.judge_mr(smr), 1.0)
        cycle = _apart(self.to_mr(sct), mr) + _apart(self.to_ct(smr), ct)
        identity = _apart(self.to_ct(ct), ct) + _apart(self.to_mr(mr), mr)
        of_generators.zero_grad()
        (fooled + CYCLE_WEIGHT * (cycle + IDENTITY_SHARE * identity)).backward()
        of_generators.step()
        for judge in (self.judge_ct, self.judge_mr):
            judge.requires_grad_(True)
        of_judges.zero_grad()
        for judge, real, made, old in (
            (self.judge_ct, ct, sct.detach(), self.old_ct),
            (self.judge_mr, mr, smr.detach(), self.old_mr),
        ):
            ((_far_from(judge(real), 1.0) + _far_from(judge(_from_pool(made, old)), 0.0)) / 2).backward()
        of_judges.step()

    def translate(self, mr: torch.Tensor) -> torch.Tensor:
        return self.to_ct(mr)


def _far_from(scores: torch.Tensor, wanted: float) -> torch.Tensor:
    return F.mse_loss(scores.float(), torch.full_like(scores.float(), wanted))


def _apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return F.l1_loss(one.float(), other)


def _from_pool(made: torch.Tensor, old: list[torch.Tensor]) -> torch.Tensor:
    """The picture itself, or, half of the time, one made earlier, whose place it takes (Shrivastava 2017)."""
    if len(old) < POOL:
        old.append(made)
        return made
    if random.random() < 0.5:
        return made
    place = random.randrange(POOL)
    earlier, old[place] = old[place], made
    return earlier
