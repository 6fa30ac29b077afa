"""Regions grown by squares and cubes, on the device that holds them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def dilated(region: Tensor, voxels: int) -> Tensor:
    """The largest value in the square (cube) that reaches `voxels` to each side; a region of 0 and 1, or bool, grows.

    One axis after the other: a square's maximum is that of its columns' maxima.

    Parameters
    ----------
    region : (N, C, *spatial) with two or three spatial axes; what lies beyond the image does not count.

    Example
    -------
    >>> import torch
    >>> dilated(torch.tensor([[[[False, False, False, True]]]]), 2).tolist()
    [[[[False, True, True, True]]]]
    """
    if voxels == 0:
        return region
    grown = region if region.is_floating_point() else region.float()
    pool = F.max_pool2d if region.dim() == 4 else F.max_pool3d
    for axis in range(region.dim() - 2):
        kernel = [2 * voxels + 1 if other == axis else 1 for other in range(region.dim() - 2)]
        grown = pool(grown, kernel, stride=1, padding=[n // 2 for n in kernel])
    return grown.to(region.dtype)
