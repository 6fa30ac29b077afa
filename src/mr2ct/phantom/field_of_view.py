"""What part of a head an image shows: the mask of the head, and heads cut as scanners and defacing cut them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from mr2ct.phantom.head import HeadPhantom
from mr2ct.phantom.tissues import Label
from mr2ct.volume import Quantity, Volume


def head_mask(phantom: HeadPhantom) -> Volume:
    """1 in the head with the air it encloses, 0 outside, uint8, on the phantom's grid.

    Example
    -------
    >>> from mr2ct.phantom import head_phantom
    >>> int(head_mask(head_phantom(1, spacing_mm=6.0)).voxels.max())
    1
    """
    inside = (phantom.labels != Label.OUTSIDE).astype(np.uint8)
    return Volume(inside, phantom.geometry, Quantity.MASK)


def cut_field_of_view(phantom: HeadPhantom, seed: int | Generator) -> HeadPhantom:
    """The same head on the same grid, emptied below an oblique plane and, half the time, in front of the face.

    The plane runs from below the occiput up towards the mouth, as head coils and MR slabs cut heads.

    Example
    -------
    >>> from mr2ct.phantom import head_phantom
    >>> whole = head_phantom(1, spacing_mm=6.0)
    >>> bool((cut_field_of_view(whole, 1).labels > 0).sum() < (whole.labels > 0).sum())
    True
    """
    generator = np.random.default_rng(seed)
    i, j, k = np.ogrid[tuple(slice(0, n) for n in phantom.labels.shape)]
    affine = phantom.geometry.affine
    y_mm, z_mm = j * affine[1, 1] + affine[1, 3], k * affine[2, 2] + affine[2, 3]
    x_mm = i * affine[0, 0] + affine[0, 3]
    rise, lean = np.tan(np.deg2rad((generator.uniform(-5, 35), generator.normal(0, 4))))
    outside = z_mm < generator.uniform(-85, -55) + rise * (y_mm + 30) + lean * x_mm
    if generator.random() < 0.5:
        outside = outside | (y_mm > generator.uniform(58, 90) + np.tan(np.deg2rad(generator.normal(0, 8))) * z_mm)
    labels = np.where(outside, np.uint8(Label.OUTSIDE), phantom.labels)
    return replace(phantom, labels=labels)
