"""MONAI's AttentionUnet as its documentation builds it, with L1 and Adam, on whole slices that keep every HU."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

LEVELS = 5


class MonaiAttentionUnet(nn.Module):
    """Channels 16 to 256 and strides of 2, which the class has no default for, are those of MONAI's tutorials."""

    bits, batch_size, paired, learning_rate = None, 8, True, 1e-3
    quirks = (
        "pictures of 256 x 256 in floating point: no 8-bit step",
        "the loss counts the background like the head",
        "no augmentation, a steady rate of 1e-3, batches of 8",
    )

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        from monai.networks.nets import AttentionUnet

        # 64 is the width of the other two; MONAI's tutorials begin with a quarter of it
        channels = [max(2, width // 4) * 2**level for level in range(LEVELS)]
        self.network = AttentionUnet(2, 1, 1, channels=channels, strides=[2] * (LEVELS - 1))
        self.optimisers = [torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)]

    @staticmethod
    def rate(share: float) -> float:
        return 1.0

    def learn(self, mr: torch.Tensor, ct: torch.Tensor) -> None:
        optimiser = self.optimisers[0]
        optimiser.zero_grad()
        F.l1_loss(self.network(mr).float(), ct).backward()
        optimiser.step()

    def translate(self, mr: torch.Tensor) -> torch.Tensor:
        self.network.eval()
        answer = self.network(mr)
        self.network.train()
        return answer
