"""A rigid movement between two images' spaces in RAS+ mm: a value that can be written down, inverted and applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mr2ct.errors import GeometryError
from mr2ct.geometry import Float64, Geometry, voxel_to_world
from mr2ct.preprocessing.resampling import resample_to
from mr2ct.volume import Volume


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """Rotation and shift that take a point of the fixed image's space to the same anatomy in the moving image's.

    Parameters
    ----------
    matrix : (4, 4), RAS+ mm to RAS+ mm, moving <- fixed; copied, float64, read-only.
    mutual_information : what the registration reached, in nats, or None.

    Raises
    ------
    GeometryError : a matrix that is not a rotation and a shift.

    Example
    -------
    >>> shift = np.eye(4); shift[0, 3] = 5.0
    >>> RigidTransform(shift).to_moving([0.0, 0.0, 0.0]).tolist()
    [5.0, 0.0, 0.0]
    """

    matrix: Float64
    mutual_information: float | None = None

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        rigid = matrix.shape == (4, 4) and np.isfinite(matrix).all() and np.allclose(matrix[3], [0, 0, 0, 1])
        if rigid:
            turn = matrix[:3, :3]
            rigid = np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0
        if not rigid:
            raise GeometryError("not a rigid transform", got=matrix.tolist(), expected="a rotation and a shift")
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RigidTransform) and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash(self.matrix.tobytes())

    def to_moving(self, points_mm: ArrayLike) -> Float64:
        """Points (..., 3) of the fixed image's space, RAS+ mm, in the moving image's space."""
        return voxel_to_world(self.matrix, points_mm)

    def inverse(self) -> RigidTransform:
        """The transform with fixed and moving exchanged."""
        turn, shift = self.matrix[:3, :3].T, self.matrix[:3, 3]
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = turn, -turn @ shift
        return RigidTransform(matrix, self.mutual_information)

    def resample(
        self, moving: Volume, fixed_grid: Geometry, *, interpolation: str = "linear", outside: float | None = None
    ) -> Volume:
        """The moving volume on the fixed image's grid; `interpolation` and `outside` as in `resample_to`."""
        return resample_to(
            moving, fixed_grid, interpolation=interpolation, outside=outside, world_transform=self.matrix
        )

    def to_dict(self) -> dict[str, Any]:
        """The transform as JSON values."""
        return {"matrix": self.matrix.tolist(), "mutual_information": self.mutual_information}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RigidTransform:
        """The inverse of `to_dict`, bit for bit."""
        return cls(np.array(values["matrix"], dtype=np.float64), values.get("mutual_information"))
