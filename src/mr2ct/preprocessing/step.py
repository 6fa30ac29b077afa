"""What a preprocessing step is: what it works on, and its shape, so that a pipeline can record it and undo it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from mr2ct.geometry import Geometry
from mr2ct.volume import Volume

Fitted = dict[str, Any]
"""What a step found out about one case: JSON values only."""


@dataclass(frozen=True)
class Images:
    """The volumes of one case on their way through a pipeline; at least the MR or the CT is there.

    Example
    -------
    >>> Images(mr=None).present()
    ()
    """

    mr: Volume | None
    ct: Volume | None = None
    mask: Volume | None = None

    def present(self) -> tuple[Volume, ...]:
        """The volumes that are there: MR, CT, mask."""
        return tuple(volume for volume in (self.mr, self.ct, self.mask) if volume is not None)

    def each(self, move: Callable[[Volume], Volume]) -> Images:
        """The same spatial operation on every volume that is there."""
        moved = (None if volume is None else move(volume) for volume in (self.mr, self.ct, self.mask))
        return Images(*moved)

    @property
    def leading(self) -> Volume:
        """The volume whose grid is the case's: the MR, or the CT of a case without one."""
        return self.present()[0]


class Step(Protocol):
    """One step: a frozen dataclass whose fields are JSON values (its arguments) and whose `name` is in the registry."""

    name: ClassVar[str]

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """New images, and what was fitted to this case."""


@runtime_checkable
class GeometricStep(Protocol):
    """A step that changes the grid, and can bring a volume on the new grid back to the old one."""

    name: ClassVar[str]

    def apply(self, images: Images) -> tuple[Images, Fitted]:
        """New images, and what was fitted to this case."""

    def undo(self, volume: Volume, before: Geometry, *, interpolation: str, outside: float | None) -> Volume:
        """The volume on the grid that the case had before this step."""


def geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    """A grid as JSON values; floats survive JSON exactly.

    Example
    -------
    >>> geometry_to_json(Geometry((1, 2, 3), np.eye(4)))["shape"]
    [1, 2, 3]
    """
    return {
        "shape": list(geometry.shape),
        "affine": geometry.affine.tolist(),
        "frame_of_reference_uid": geometry.frame_of_reference_uid,
    }


def geometry_from_json(values: dict[str, Any]) -> Geometry:
    """The inverse of `geometry_to_json`, bit for bit."""
    i, j, k = values["shape"]
    return Geometry((i, j, k), np.array(values["affine"]), values.get("frame_of_reference_uid"))
