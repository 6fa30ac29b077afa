"""An ordered, recorded list of preprocessing steps: repeated from its record, and undone where it moved voxels.

The record is JSON:
{"format_version": 1, "steps": [{"name", "arguments", "fitted"}, ...]}.
It is written beside a prepared case (with what was fitted to that case) and in a model's bundle (without).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mr2ct.errors import BundleError, GeometryError, InputError
from mr2ct.geometry import Geometry, difference, require_same_geometry
from mr2ct.preprocessing.bias_field import BiasFieldCorrection
from mr2ct.preprocessing.body_mask import BodyMask
from mr2ct.preprocessing.core_scaling import CoreScaling
from mr2ct.preprocessing.hu_clipping import ClipHu
from mr2ct.preprocessing.intensity import PercentileScaling, ZScore
from mr2ct.preprocessing.nyul import Nyul
from mr2ct.preprocessing.orientation import ToCanonical
from mr2ct.preprocessing.resampling import ToSpacing
from mr2ct.preprocessing.step import GeometricStep, Images, Step, geometry_from_json
from mr2ct.volume import Quantity, Volume

FORMAT_VERSION = 1

STEPS: dict[str, type[Any]] = {
    "to_canonical": ToCanonical,
    "to_spacing": ToSpacing,
    "body_mask": BodyMask,
    "n4": BiasFieldCorrection,
    "core_scaling": CoreScaling,
    "percentile_scaling": PercentileScaling,
    "z_score": ZScore,
    "nyul": Nyul,
    "clip_hu": ClipHu,
}
"""Every step by the name it has in a record."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A case after a pipeline: MR in network units (float32), CT in HU or None, the body mask, and the record."""

    mr: Volume
    ct: Volume | None
    mask: Volume
    record: Record


@dataclass(frozen=True)
class PreparedCt:
    """A CT without an MR after a pipeline: CT in HU, the body mask, and the record."""

    ct: Volume
    mask: Volume
    record: Record


@dataclass(frozen=True)
class Pipeline:
    """Steps in the order in which they are applied.

    Example
    -------
    >>> [step.name for step in default_pipeline().steps]
    ['to_canonical', 'to_spacing', 'body_mask', 'core_scaling', 'clip_hu']
    """

    steps: tuple[Step, ...]

    def apply(self, mr: Volume, *, ct: Volume | None = None, mask: Volume | None = None) -> Prepared:
        """Run every step on one case.

        Parameters
        ----------
        mr, ct, mask : on one grid. Without a mask the pipeline's own step makes one.

        Raises
        ------
        GeometryError : volumes on different grids. InputError : a volume of another quantity than its name says, an
            image that a step cannot use, or no mask at the end.

        Example
        -------
        >>> from mr2ct.geometry import Geometry
        >>> bright = np.zeros((24, 24, 1)); bright[6:18, 6:18] = 100
        >>> mr = Volume(bright, Geometry((24, 24, 1), np.diag([-1.0, -1.0, 3.0, 1.0])), Quantity.MR)
        >>> prepared = default_pipeline().apply(mr)
        >>> prepared.mr.geometry.axis_codes, float(prepared.mr.voxels.max())
        (('R', 'A', 'S'), 0.5)
        """
        images, record = self._run(Images(mr, ct, mask))
        if images.mr is None or images.mask is None:
            raise _no_mask()
        return Prepared(images.mr.with_voxels(images.mr.voxels.astype(np.float32)), images.ct, images.mask, record)

    def apply_ct(self, ct: Volume, *, mask: Volume | None = None) -> PreparedCt:
        """Run the steps on a CT that has no MR (for unpaired training); steps on the MR do nothing."""
        images, record = self._run(Images(None, ct, mask))
        if images.ct is None or images.mask is None:
            raise _no_mask()
        return PreparedCt(images.ct, images.mask, record)

    def _run(self, images: Images) -> tuple[Images, Record]:
        _require_one_grid(images)
        done = []
        for step in self.steps:
            images, fitted = step.apply(images)
            done.append(_step_record(step) | {"fitted": fitted})
        return images, {"format_version": FORMAT_VERSION, "steps": done}

    def to_record(self) -> Record:
        """The pipeline as JSON values, without anything fitted to a case."""
        return {"format_version": FORMAT_VERSION, "steps": [_step_record(step) for step in self.steps]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Pipeline:
        """The pipeline of a record, whether or not it carries fitted values.

        Raises
        ------
        BundleError : a newer format version, an unknown step, missing or unknown arguments of a step, or no list of
            steps.

        Example
        -------
        >>> Pipeline.from_record(default_pipeline().to_record()) == default_pipeline()
        True
        """
        return cls(tuple(_step_from(entry) for entry in _entries(record)))


def default_pipeline() -> Pipeline:
    """What the shipped models were trained with: canonical axes, 1 mm, body mask, MR scaled by deep tissue, CT clipped.

    Network units of the MR: 0 is the darkest 0.5 %, 0.5 the median of deep tissue (brain), and 1.5 the upper limit.
    """
    return Pipeline((ToCanonical(), ToSpacing(1.0), BodyMask(), CoreScaling(), ClipHu()))


def undo_geometry(
    volume: Volume,
    record: Mapping[str, Any],
    original: Geometry,
    *,
    interpolation: str = "linear",
    outside: float | None = None,
) -> Volume:
    """Bring a volume on a pipeline's last grid (or a part of it) back to the grid of the input, bit for bit.

    Parameters
    ----------
    volume : on the grid of `Prepared.mr`, or on a crop of it.
    record : the record of that case.
    original : the grid of the input.
    interpolation, outside : as in `resample_to`.

    Raises
    ------
    GeometryError : the record is of another grid.
    """
    undone = volume
    for entry in reversed(_entries(record)):
        step = _step_from(entry)
        if isinstance(step, GeometricStep):
            undone = step.undo(undone, _grid_before(entry), interpolation=interpolation, outside=outside)
    differs = difference(undone.geometry, original)
    if differs is not None:
        raise GeometryError(
            "the record belongs to another case",
            got=differs,
            expected="the grid of the input",
            remedy="pass its record",
        )
    return Volume(undone.voxels, original, undone.quantity)


def _grid_before(entry: Mapping[str, Any]) -> Geometry:
    before = entry.get("fitted", {}).get("before")
    if before is None:
        raise BundleError(
            f"the record of step {entry['name']} holds no grid",
            expected="the record of a prepared case, not that of a pipeline",
            remedy="pass Prepared.record",
        )
    return geometry_from_json(before)


def _no_mask() -> InputError:
    return InputError("the pipeline made no mask", remedy="add a body_mask step, or give a mask")


def _require_one_grid(images: Images) -> None:
    leader = "CT" if images.mr is None else "MR"
    wanted = (("MR", images.mr, Quantity.MR), ("CT", images.ct, Quantity.HU), ("mask", images.mask, Quantity.MASK))
    for name, volume, quantity in wanted:
        if volume is None:
            continue
        if volume.quantity is not quantity:
            raise InputError(f"the {name} is of another quantity", got=volume.quantity.value, expected=quantity.value)
        require_same_geometry(volume.geometry, images.leading.geometry, names=f"{name} and {leader}")


def _step_record(step: Step) -> Record:
    arguments = {
        field.name: list(value) if isinstance(value := getattr(step, field.name), tuple) else value
        for field in dataclasses.fields(step)  # type: ignore[arg-type]
    }
    return {"name": step.name, "arguments": arguments}


def _entries(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    version = record.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(
            "preprocessing record of another format",
            got=f"format_version {version!r}",
            expected=f"format_version {FORMAT_VERSION}",
            remedy="upgrade mr2ct",
        )
    steps = record.get("steps")
    if not isinstance(steps, list):
        raise BundleError("preprocessing record without steps", got=repr(steps), expected="a list")
    return steps


def _step_from(entry: object) -> Step:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("arguments", {}), Mapping):
        raise BundleError("unusable preprocessing step", got=repr(entry), expected="an object with name and arguments")
    name = entry.get("name")
    if not isinstance(name, str) or name not in STEPS:
        raise BundleError(
            "unknown preprocessing step", got=repr(name), expected=f"one of {', '.join(STEPS)}", remedy="upgrade mr2ct"
        )
    try:
        step: Step = STEPS[name](**entry.get("arguments", {}))
    except (TypeError, ValueError) as error:
        raise BundleError(f"preprocessing step {name} with other arguments than it has", got=str(error)) from error
    return step
