"""Where voxels lie in the patient: shape, affine and frame of reference, and pure functions on them.

Axes are (i, j, k); affines map voxel indices to RAS+ millimetres, as in nibabel
(https://nipy.org/nibabel/coordinate_systems.html). LPS and (z, y, x) exist only inside `io` and `export`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.errors import GeometryError

Float64 = NDArray[np.float64]

_SMALLEST_SPACING_MM = 1e-6
_AXIS_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))

PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The axis of a canonical (RAS) volume that each plane's slices are stacked along.

A slice is the volume with that axis taken away, the other two in their order: axial (i, j), coronal (i, k),
sagittal (j, k). Networks see slices in this orientation in training and in inference alike.
"""

SLICE_MARGIN_VOXELS = 16
"""The least background round a single slice that a network is shown, in validation as in conversion: 8 give less, 32
and 64 hardly more (`benchmarks/slice_frame.py`)."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in the patient.

    Parameters
    ----------
    shape : number of voxels along (i, j, k), each at least 1.
    affine : (4, 4), voxel index to RAS+ mm; copied, float64, read-only.
    frame_of_reference_uid : DICOM (0020,0052), or None where the file has none.

    Raises
    ------
    GeometryError : a zero-size axis, not three axes, an affine that is not finite or is singular.

    Example
    -------
    >>> Geometry((2, 2, 2), np.diag([1.0, 1.0, 3.0, 1.0])).spacing_mm
    (1.0, 1.0, 3.0)
    """

    shape: tuple[int, int, int]
    affine: Float64
    frame_of_reference_uid: str | None = None

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(
                "impossible grid", got=f"shape {shape}", expected="three axes of at least one voxel each"
            )
        affine = np.array(self.affine, dtype=np.float64)
        _require_invertible(affine)
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Geometry)
            and self.shape == other.shape
            and np.array_equal(self.affine, other.affine)
            and self.frame_of_reference_uid == other.frame_of_reference_uid
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes(), self.frame_of_reference_uid))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (i, j, k), in mm."""
        lengths = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def directions(self) -> Float64:
        """(3, 3): the unit vector in RAS+ of each voxel axis, as columns."""
        return np.asarray(self.affine[:3, :3] / np.array(self.spacing_mm), dtype=np.float64)

    @property
    def axis_codes(self) -> tuple[str, str, str]:
        """The anatomical direction each voxel axis points to, such as ('R', 'A', 'S')."""
        letters = [""] * 3
        for anatomical, (voxel, sign) in enumerate(closest_axes(self.affine)):
            letters[voxel] = _AXIS_LETTERS[anatomical][int(sign > 0)]
        return (letters[0], letters[1], letters[2])

    @property
    def single_slice_axis(self) -> int | None:
        """The voxel axis along which the volume is one voxel thick, or None; the last such axis if several."""
        thin = [axis for axis in range(3) if self.shape[axis] == 1]
        return thin[-1] if thin else None


def _require_invertible(affine: Float64) -> None:
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise GeometryError(
            "unusable affine", got=f"shape {affine.shape}, values {affine.tolist()}", expected="a finite 4 x 4 matrix"
        )
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    # the determinant of unit vectors is a volume in [0, 1], whatever the spacing
    flat = lengths.min() < _SMALLEST_SPACING_MM or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-4
    if flat or not np.allclose(affine[3], [0, 0, 0, 1]):
        raise GeometryError(
            "singular affine",
            got=affine.tolist(),
            expected="three independent voxel axes",
            remedy="mend the header of the file (qform or sform)",
        )


def closest_axes(affine: ArrayLike) -> list[tuple[int, int]]:
    """For right, anterior, superior: the voxel axis closest to it and that axis's sign along it.

    Voxel axes are matched one to one by the largest cosine first, as nibabel's `io_orientation` does.

    Example
    -------
    >>> closest_axes(np.diag([-1.0, -1.0, 2.0, 1.0]))
    [(0, -1), (1, -1), (2, 1)]
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    cosines = matrix / np.sqrt((matrix**2).sum(axis=0))
    left = np.abs(cosines)
    found: list[tuple[int, int]] = [(0, 1)] * 3
    for _ in range(3):
        anatomical, voxel = (int(n) for n in np.unravel_index(np.argmax(left), left.shape))
        found[anatomical] = (voxel, 1 if cosines[anatomical, voxel] >= 0 else -1)
        left[anatomical, :] = -1
        left[:, voxel] = -1
    return found


def voxel_to_world(affine: ArrayLike, voxels: ArrayLike) -> Float64:
    """Map voxel indices (..., 3) to RAS+ mm (..., 3).

    Example
    -------
    >>> voxel_to_world(np.diag([2.0, 2.0, 2.0, 1.0]), [1, 0, 3]).tolist()
    [2.0, 0.0, 6.0]
    """
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(np.asarray(voxels, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3], dtype=np.float64)


def world_to_voxel(affine: ArrayLike, points_mm: ArrayLike) -> Float64:
    """Map RAS+ mm (..., 3) to continuous voxel indices (..., 3); the inverse of `voxel_to_world`."""
    return voxel_to_world(np.linalg.inv(np.asarray(affine, dtype=np.float64)), points_mm)


def corners_mm(geometry: Geometry) -> Float64:
    """(8, 3): the centres of the eight corner voxels in RAS+ mm."""
    corners = list(product(*((0, n - 1) for n in geometry.shape)))
    return voxel_to_world(geometry.affine, corners)


def with_spacing_mm(geometry: Geometry, spacing_mm: tuple[float, float, float]) -> Geometry:
    """The same box of space on voxels of another size.

    The outer faces of the first voxel stay where they are; the number of voxels is rounded to the nearest.
    An axis one voxel thick keeps its voxel, whatever its spacing.

    Example
    -------
    >>> with_spacing_mm(Geometry((10, 10, 1), np.diag([2.0, 2.0, 5.0, 1.0])), (1.0, 1.0, 1.0)).shape
    (20, 20, 1)
    """
    old = np.array(geometry.spacing_mm)
    new = np.where(np.array(geometry.shape) == 1, old, np.asarray(spacing_mm, dtype=np.float64))
    shape = np.maximum(np.rint(np.array(geometry.shape) * old / new), 1).astype(int)
    affine = np.array(geometry.affine)
    affine[:3, :3] = geometry.directions * new
    first_face = voxel_to_world(geometry.affine, [-0.5, -0.5, -0.5])
    affine[:3, 3] = first_face + affine[:3, :3] @ np.full(3, 0.5)
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine, geometry.frame_of_reference_uid)


def part_of(geometry: Geometry, box: tuple[slice, slice, slice]) -> Geometry:
    """The grid of the voxels in `box` alone; its slices have a start and a stop.

    Example
    -------
    >>> part_of(Geometry((4, 4, 4), np.eye(4)), (slice(1, 3), slice(0, 4), slice(2, 4))).shape
    (2, 4, 2)
    """
    affine = np.array(geometry.affine)
    affine[:3, 3] = voxel_to_world(geometry.affine, [side.start for side in box])
    i, j, k = (side.stop - side.start for side in box)
    return Geometry((i, j, k), affine, geometry.frame_of_reference_uid)


def difference(one: Geometry, other: Geometry, *, tolerance_mm: float = 1e-3) -> str | None:
    """What differs between two grids, in words, or None where every corner agrees to `tolerance_mm`."""
    if one.shape != other.shape:
        return f"shape {one.shape} and {other.shape}"
    apart_mm = float(np.abs(corners_mm(one) - corners_mm(other)).max())
    if apart_mm > tolerance_mm:
        return f"affine: corners up to {apart_mm:.3g} mm apart"
    return None


def require_same_geometry(
    one: Geometry,
    other: Geometry,
    *,
    names: str,
    tolerance_mm: float = 1e-2,
    remedy: str = "resample one onto the other first",
) -> None:
    """Raise GeometryError, naming the attribute that differs, unless two grids agree.

    `names` says whose grids they are, such as "mask and MR", and `remedy` what to do about it.
    """
    differs = difference(one, other, tolerance_mm=tolerance_mm)
    if differs is not None:
        raise GeometryError(
            f"{names} lie on different grids",
            got=differs,
            expected="one grid",
            remedy=remedy,
        )
