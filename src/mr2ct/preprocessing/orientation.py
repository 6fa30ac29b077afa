"""Turn a volume so that its axes point right, anterior, superior, and back: only flips and permutations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mr2ct.errors import GeometryError
from mr2ct.geometry import Geometry, closest_axes, voxel_to_world
from mr2ct.preprocessing.step import Fitted, Images, geometry_to_json
from mr2ct.volume import Volume


def canonical_geometry(geometry: Geometry) -> Geometry:
    """The same voxels counted along right, anterior, superior (as closely as their axes allow; oblique stays oblique).

    Example
    -------
    >>> canonical_geometry(Geometry((2, 3, 4), np.diag([-1.0, -1.0, 1.0, 1.0]))).axis_codes
    ('R', 'A', 'S')
    """
    axes = closest_axes(geometry.affine)
    first = [0, 0, 0]
    affine = np.array(geometry.affine)
    for anatomical, (voxel, sign) in enumerate(axes):
        affine[:3, anatomical] = sign * geometry.affine[:3, voxel]
        first[voxel] = 0 if sign > 0 else geometry.shape[voxel] - 1
    if any(first):
        affine[:3, 3] = voxel_to_world(geometry.affine, first)
    shape = tuple(geometry.shape[voxel] for voxel, _ in axes)
    return Geometry((shape[0], shape[1], shape[2]), affine, geometry.frame_of_reference_uid)


def to_canonical(volume: Volume) -> Volume:
    """The volume with its axes closest to right, anterior, superior; every voxel value is kept exactly.

    The result is C-ordered; a volume that is canonical already is returned as it is.

    Example
    -------
    >>> from mr2ct.volume import Quantity
    >>> flipped = Volume(np.arange(2).reshape(2, 1, 1), Geometry((2, 1, 1), np.diag([-1.0, 1, 1, 1])), Quantity.MR)
    >>> to_canonical(flipped).voxels.ravel().tolist()
    [1.0, 0.0]
    """
    axes = closest_axes(volume.geometry.affine)
    if axes == [(0, 1), (1, 1), (2, 1)]:
        return volume
    turned = volume.voxels.transpose([voxel for voxel, _ in axes])
    turned = turned[tuple(slice(None, None, sign) for _, sign in axes)]
    return Volume(np.ascontiguousarray(turned), canonical_geometry(volume.geometry), volume.quantity)


def from_canonical(volume: Volume, original: Geometry) -> Volume:
    """The inverse of `to_canonical`: voxels in the order of `original`, whose affine is taken over bit for bit.

    Raises
    ------
    GeometryError : the volume does not lie on the canonical grid of `original`.

    Example
    -------
    >>> from mr2ct.volume import Quantity
    >>> flipped = Volume(np.arange(2).reshape(2, 1, 1), Geometry((2, 1, 1), np.diag([-1.0, 1, 1, 1])), Quantity.MR)
    >>> from_canonical(to_canonical(flipped), flipped.geometry).voxels.ravel().tolist()
    [0.0, 1.0]
    """
    expected = canonical_geometry(original)
    if volume.geometry.shape != expected.shape or not np.allclose(volume.geometry.affine, expected.affine, atol=1e-3):
        raise GeometryError(
            "not the canonical grid of the original",
            got=f"shape {volume.geometry.shape}, affine {volume.geometry.affine.tolist()}",
            expected=f"shape {expected.shape}, affine {expected.affine.tolist()}",
            remedy="resample onto the canonical grid first",
        )
    axes = closest_axes(original.affine)
    turned = volume.voxels[tuple(slice(None, None, sign) for _, sign in axes)]
    turned = turned.transpose(np.argsort([voxel for voxel, _ in axes]))
    return Volume(np.ascontiguousarray(turned), original, volume.quantity)


@dataclass(frozen=True)
class ToCanonical:
    """Pipeline step: canonical orientation; undone exactly.

    Example
    -------
    >>> ToCanonical().name
    'to_canonical'
    """

    name: ClassVar[str] = "to_canonical"

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """Every volume in canonical order; records the grid before."""
        return images.each(to_canonical), {"before": geometry_to_json(images.leading.geometry)}

    def undo(self, volume: Volume, before: Geometry, *, interpolation: str, outside: float | None) -> Volume:
        """The volume in the order of the grid `before`; nothing is interpolated."""
        return from_canonical(volume, before)
