"""A pool of past synthetic images, so that a discriminator does not forget what it has already seen through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keep up to `size` images; once full, each new one is swapped for an old one half of the time.

    Source: Shrivastava 2017 (arXiv:1612.07828), size 50 in Zhu 2017. Draws from its own generator, which is saved.

    Example
    -------
    >>> ImagePool(size=0, seed=1).swap(torch.ones(2, 1)).tolist()
    [[1.0], [1.0]]
    """

    def __init__(self, *, size: int, seed: int) -> None:
        self.size = size
        self._images: list[Tensor] = []
        self._generator = torch.Generator().manual_seed(seed)

    def swap(self, images: Tensor) -> Tensor:
        """Take in (N, ...) new images and return as many, new or old, detached.

        Kept images of another shape, from before a run went on with larger crops, are forgotten.
        """
        if self.size == 0:
            return images.detach()
        self._images = [kept for kept in self._images if kept.shape == images.shape[1:]]
        return torch.stack([self._swap_one(image) for image in images.detach()])

    def _swap_one(self, image: Tensor) -> Tensor:
        if len(self._images) < self.size:
            self._images.append(image.clone())
            return image
        if torch.rand(1, generator=self._generator).item() < 0.5:
            return image
        place = int(torch.randint(self.size, (1,), generator=self._generator))
        old, self._images[place] = self._images[place], image.clone()
        # after a resume the kept images lie on the CPU, those of a compact state in fewer bits
        return old.to(image)

    def state_dict(self) -> dict[str, Any]:
        """The images and the generator's state."""
        return {"images": list(self._images), "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the pool that `state_dict` described."""
        self._images = list(state["images"])
        self._generator.set_state(state["generator"].cpu())
