"""What a bundle says about its weights: the content of `bundle.json`, checked key by key.

The file is data only. A network is named, never imported by path, and every key is known beforehand,
so that reading a bundle from a stranger executes nothing of the stranger's.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mr2ct.bundles.evaluation_record import EvaluationRecord
from mr2ct.bundles.provenance import Provenance
from mr2ct.errors import BundleError
from mr2ct.hounsfield import HuScaling

_INT16 = np.iinfo(np.int16)

FORMAT_VERSION = 1
Plane = Literal["axial", "coronal", "sagittal"]


class NetworkDescription(BaseModel):
    """Which network: its name in `mr2ct.models.REGISTRY` and the arguments of its constructor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    arguments: dict[str, Any]


class BundleDescription(BaseModel):
    """The keys of `bundle.json`; none without a default may be missing and no other may be there.

    Parameters
    ----------
    format_version : version of this layout; a reader refuses a newer one.
    name : letters, digits, dots, dashes, underscores. method : such as "supervised", "pix2pix", "cyclegan".
    network : the architecture and its arguments.
    preprocessing : record of the pipeline (`Pipeline.to_record()`), repeated at inference.
    hu_range : (lowest, highest) HU that network units -1 and 1 stand for.
    spacing_mm : voxel size along (i, j, k) that the network was trained at.
    planes : planes whose slices the network may be given; empty for a 3-D network.
    context_slices : slices in one input: 1 is 2-D, an odd number above is 2.5-D, 0 is a 3-D network.
    patch_size : window of a 3-D network in voxels (i, j, k), each at least 8; None for the others.
    flips : whether training showed images with left and right exchanged, too; where not, conversion shows none.
    training_data, licence : for people, in a sentence.
    metrics : figures on held-out patients by name; `mae_hu` is the masked MAE that `mr2ct models` lists.
    evaluation : the same with intervals, by plane, centre and tissue, for the card; None where it was not scored so.
    provenance : the commands and the code that made and scored the weights; None where not recorded.
    input_reference : what the training images look like, for `trust.input_check`; None where it was not learnt.
    bone_levels : the darkest and the usual bone in training images, network units, for `inference.bone_level`; None
        where they were not learnt.
    calibration : how the spread of predictions becomes an interval in HU, for `trust.uncertainty`; None likewise.
    weights_sha256 : of `weights.safetensors`, 64 hexadecimal digits; `write_bundle` fills it in.
    created_with : versions of mr2ct and torch; `write_bundle` fills it in.

    Raises
    ------
    pydantic.ValidationError : an unknown key, a missing key, a value out of range. `parse_description` words it.

    Example
    -------
    >>> BundleDescription(
    ...     format_version=1, name="tiny", method="supervised", network={"name": "attention_unet", "arguments": {}},
    ...     preprocessing={"format_version": 1, "steps": []}, hu_range=(-1024, 3071), spacing_mm=(1, 1, 1),
    ...     planes=("axial",), context_slices=1, training_data="phantoms", licence="MIT", metrics={},
    ... ).dimensions
    2
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format_version: int = Field(ge=1, le=FORMAT_VERSION)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    method: str
    network: NetworkDescription
    preprocessing: dict[str, Any]
    hu_range: tuple[float, float]
    spacing_mm: tuple[float, float, float]
    planes: tuple[Plane, ...]
    context_slices: int = Field(ge=0)
    patch_size: tuple[int, int, int] | None = None
    flips: bool = True
    training_data: str
    licence: str
    metrics: dict[str, float]
    evaluation: EvaluationRecord | None = None
    provenance: Provenance | None = None
    input_reference: dict[str, Any] | None = None
    bone_levels: tuple[float, float] | None = None
    calibration: dict[str, Any] | None = None
    weights_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    created_with: dict[str, str] = Field(default_factory=dict)

    @field_validator("preprocessing")
    @classmethod
    def _preprocessing_has_steps(cls, preprocessing: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(preprocessing.get("steps"), list):
            raise ValueError("the record of a pipeline has a list of steps")
        return preprocessing

    @field_validator("hu_range")
    @classmethod
    def _hu_range_is_a_range(cls, hu_range: tuple[float, float]) -> tuple[float, float]:
        if not hu_range[0] < hu_range[1]:
            raise ValueError(f"the lowest HU must be below the highest, not {hu_range}")
        if hu_range[0] < _INT16.min or hu_range[1] > _INT16.max:
            raise ValueError(f"an sCT holds HU of 16 bits, {_INT16.min} to {_INT16.max}, not {hu_range}")
        return hu_range

    @field_validator("bone_levels")
    @classmethod
    def _bone_levels_rise(cls, levels: tuple[float, float] | None) -> tuple[float, float] | None:
        if levels is not None and not 0 < levels[0] <= levels[1]:
            raise ValueError(f"the darkest bone is above 0 and no brighter than the usual one, not {levels}")
        return levels

    @field_validator("spacing_mm")
    @classmethod
    def _spacing_is_positive(cls, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(spacing_mm) <= 0:
            raise ValueError(f"voxels have a size above 0 mm, not {spacing_mm}")
        return spacing_mm

    @model_validator(mode="after")
    def _dimensions_agree(self) -> BundleDescription:
        if self.context_slices == 0:
            if self.patch_size is None or min(self.patch_size) < 8:
                raise ValueError(f"a 3-D network needs a patch_size of at least 8 voxels, not {self.patch_size}")
        elif self.context_slices % 2 == 0 or not self.planes or self.patch_size is not None:
            raise ValueError("a slice network needs an odd context_slices, at least one plane, and no patch_size")
        return self

    @property
    def dimensions(self) -> int:
        """2 for a network of slices (2-D and 2.5-D), 3 for one of patches."""
        return 3 if self.context_slices == 0 else 2

    @property
    def hu_scaling(self) -> HuScaling:
        """The map between HU and this network's units."""
        return HuScaling(*self.hu_range)


_FILLED_ON_WRITING = ("weights_sha256", "created_with")


def parse_description(record: object, *, source: str) -> BundleDescription:
    """Check the content of a `bundle.json` and return it; `source` names the file in messages.

    Raises
    ------
    BundleError : not a JSON object, a newer format version, a missing, unknown or ill-valued key.

    Example
    -------
    >>> parse_description({"format_version": 99}, source="bundle.json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mr2ct.errors.BundleError: bundle.json was made by a newer mr2ct; got format version 99; ...
    """
    if not isinstance(record, dict):
        raise BundleError(f"{source} is not a JSON object", got=type(record).__name__, expected="an object with keys")
    version = record.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"{source} was made by a newer mr2ct",
            got=f"format version {version}",
            expected=f"at most {FORMAT_VERSION}",
            remedy="upgrade mr2ct: pip install -U mr2ct",
        )
    missing = [key for key in _FILLED_ON_WRITING if not record.get(key)]
    if missing:
        raise BundleError(f"{source} lacks a key", got=f"no {', '.join(missing)}", expected="a bundle made by mr2ct")
    try:
        return BundleDescription.model_validate(record)
    except ValidationError as error:
        raise BundleError(
            f"{source} does not describe a model",
            got="; ".join(_in_words(dict(problem)) for problem in error.errors()),
            expected="the keys of mr2ct.bundles.BundleDescription",
        ) from error


def _in_words(problem: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "the whole"
    words = {"missing": "missing key", "extra_forbidden": "unknown key"}.get(problem["type"])
    return f"{words} {key}" if words else f"{key}: {problem['msg']}"
