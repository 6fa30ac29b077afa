"""A recipe: one YAML file that says all there is to say about a training run, checked key by key.

An unknown key is an error that names the nearest valid one. The resolved recipe, every default filled in, is written
to the run folder, and a run made from that file is the same run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mr2ct.errors import RecipeError
from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU
from mr2ct.io.atomic import atomic_file

Plane = Literal["axial", "coronal", "sagittal"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSettings(_Settings):
    """A network of `mr2ct.models` and the arguments of its constructor."""

    name: str
    arguments: dict[str, Any] = {}


class TissueWeightsSettings(_Settings):
    """How much a voxel of the L1 term counts by the tissue of the true CT (`training.losses.TissueWeights`)."""

    air: float = Field(default=1.0, ge=0)
    soft_tissue: float = Field(default=1.0, ge=0)
    bone: float = Field(default=1.0, ge=0)


class FeatureLossSettings(_Settings):
    """A loss on the features of a tissue segmenter (`training.tissue_features`)."""

    segmenter: str
    weight: float = Field(default=0.1, gt=0)


class SupervisedSettings(_Settings):
    """Masked L1 plus a structural term (`training.supervised`)."""

    name: Literal["supervised"]
    gradient_weight: float = 1.0
    outside_weight: float = 0.2
    ssim_weight: float = Field(default=0.0, ge=0)
    sharpness_weight: float = Field(default=0.0, ge=0)
    tissue_weights: TissueWeightsSettings | None = None
    images_alike: bool = False
    feature_loss: FeatureLossSettings | None = None


class Pix2PixSettings(_Settings):
    """L1 plus a conditional discriminator (`training.pix2pix`)."""

    name: Literal["pix2pix"]
    discriminator: NetworkSettings = NetworkSettings(name="patchgan")
    discriminator_learning_rate: float = Field(default=2e-4, gt=0)
    l1_weight: float = 100.0
    gradient_weight: float = 0.0
    outside_weight: float = 20.0
    ssim_weight: float = Field(default=0.0, ge=0)
    sharpness_weight: float = Field(default=0.0, ge=0)
    tissue_weights: TissueWeightsSettings | None = None
    images_alike: bool = False
    feature_loss: FeatureLossSettings | None = None
    adversarial_from: int = Field(default=0, ge=0)
    kind: Literal["cross_entropy", "least_squares"] = "cross_entropy"
    adversarial_weight: float = Field(default=1.0, ge=0)
    feature_matching_weight: float = Field(default=0.0, ge=0)
    judge_window_hu: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _window_has_a_width(self) -> Pix2PixSettings:
        if self.judge_window_hu is not None and not self.judge_window_hu[0] < self.judge_window_hu[1]:
            raise ValueError(f"judge_window_hu is its lower and its upper limit, not {self.judge_window_hu}")
        return self


class TextureSettings(_Settings):
    """Limits of the structure put upon soft tissue (`datasets.soft_tissue_texture.SoftTissueTexture`)."""

    folds: float = Field(default=0.8, ge=0, le=1)
    rim: float = Field(default=0.8, ge=0, le=1)
    parts: float = Field(default=0.4, ge=0, le=1)
    vessels: float = Field(default=1.0, ge=0)
    shade: float = Field(default=0.0, ge=0, le=1)


class BackTranslationSettings(_Settings):
    """Cycles whose middle image is detached, so that each generator teaches the other (`training.back_translation`)."""

    gradient_weight: float = 0.3
    adversarial_ct_weight: float = 0.1
    paired_weight_last: float = 3.0
    play_every: int = Field(default=1, ge=1)
    texture: TextureSettings | None = TextureSettings()
    fall_off: float = Field(default=0.3, ge=0, le=1)
    lost_signal: float = Field(default=0.0, ge=0, le=1)
    short_field: float = Field(default=0.0, ge=0, le=1)


class CycleGanSettings(_Settings):
    """Two generators, two discriminators, unpaired images (`training.cyclegan`)."""

    name: Literal["cyclegan"]
    discriminator: NetworkSettings = NetworkSettings(name="patchgan")
    discriminator_learning_rate: float = Field(default=2e-4, gt=0)
    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    adversarial_weight: float = 1.0
    structure: Literal["gradient_fields", "mind"] = "gradient_fields"
    structure_weight: float = 1.0
    outside_weight: float = 1.0
    paired_weight: float = 10.0
    pool_size: int = Field(default=50, ge=0)
    pairs_alone_steps: int = Field(default=0, ge=0)
    back_translation: BackTranslationSettings | None = None


MethodSettings = Annotated[SupervisedSettings | Pix2PixSettings | CycleGanSettings, Field(discriminator="name")]


class StoreSettings(_Settings):
    """A store made by `mr2ct preprocess`, and how often it is drawn from beside the others."""

    path: str
    weight: float = Field(default=1.0, gt=0)


class SpatialSettings(_Settings):
    """Limits of the spatial augmentation (`datasets.augmentation.SpatialAugmentation`)."""

    flip: float = Field(default=0.5, ge=0, le=1)
    rotation_deg: float = Field(default=10.0, ge=0)
    scaling: float = Field(default=0.1, ge=0, lt=1)
    shift: float = Field(default=0.0, ge=0)
    elastic: float = Field(default=0.0, ge=0, le=0.1)
    on_grid: float = Field(default=0.0, ge=0, le=1)


class IntensitySettings(_Settings):
    """Limits of the augmentation of the MR's intensities (`datasets.augmentation.IntensityAugmentation`)."""

    scaling: float = Field(default=0.15, ge=0, lt=1)
    contrast: float = Field(default=0.4, ge=0)
    bias_field: float = Field(default=0.25, ge=0, lt=1)
    noise: float = Field(default=0.03, ge=0)
    blur: float = Field(default=0.15, ge=0, le=1)
    ghosting: float = Field(default=0.1, ge=0, le=1)
    motion: float = Field(default=0.1, ge=0, le=1)
    inversion: float = Field(default=0.0, ge=0, le=1)
    local_contrast: float = Field(default=0.0, ge=0)
    thick_slices: float = Field(default=0.0, ge=0, le=1)


class DataSettings(_Settings):
    """Which cases, and which boxes are cut from them.

    `stores` are what the method learns from. `paired_stores` is for CycleGAN alone: pairs whose truth is known
    (phantoms). `split` is a split file; without one, the split is drawn with the run's seed. `case_weights` is a CSV
    of case and weight, such as `mr2ct audit` writes. `size` is in voxels: two numbers for slices, three, of 8 at least,
    for 3-D patches (`context_slices: null`). `off_middle` is the share of boxes from single slices that are changed to
    what a cut far from the middle of the head would show; `pole_cuts` the share of those that are made of the tissue at
    a pole, where another plane's slices graze the head. `short_field` is the share of pairs whose MR ends before the CT
    does at the body's cuts; `short_field_tilt_deg` how far half of their ends may be tilted against the CT's.
    """

    stores: list[StoreSettings] = Field(min_length=1)
    paired_stores: list[StoreSettings] = []
    split: str | None = None
    case_weights: str | None = None
    validation_patients: int = Field(default=12, ge=0)
    test_patients: int = Field(default=24, ge=0)
    planes: list[Plane] = Field(default=["axial", "coronal", "sagittal"], min_length=1)
    size: list[Annotated[int, Field(ge=1)]] = [160, 160]
    context_slices: int | None = Field(default=1, ge=1)
    foreground: float = Field(default=0.8, ge=0, le=1)
    off_middle: float = Field(default=0.0, ge=0, le=1)
    pole_cuts: float = Field(default=0.0, ge=0, le=1)
    short_field: float = Field(default=0.0, ge=0, le=1)
    short_field_tilt_deg: float = Field(default=0.0, ge=0, le=60)
    batch_size: int = Field(default=8, ge=1)
    workers: int = Field(default=0, ge=0)
    spatial: SpatialSettings | None = SpatialSettings()
    intensity: IntensitySettings | None = IntensitySettings()

    @model_validator(mode="after")
    def _size_fits_the_kind_of_box(self) -> DataSettings:
        if self.context_slices is None:
            if len(self.size) != 3 or min(self.size) < 8:
                raise ValueError(f"3-D patches have a size of three numbers, each at least 8, not {self.size}")
        elif len(self.size) != 2:
            raise ValueError(f"slices have a size of two numbers, not {self.size} (context_slices: null for patches)")
        elif self.context_slices % 2 == 0:
            raise ValueError(f"context_slices is odd, for a slab has a middle slice, not {self.context_slices}")
        return self


class OptimiserSettings(_Settings):
    """The optimiser and the schedule of its learning rate."""

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_norm: float = Field(default=1.0, ge=0)
    warmup_steps: int = Field(default=100, ge=0)
    decay: Literal["constant", "linear", "cosine"] = "cosine"
    decay_from: float = Field(default=0.0, ge=0, le=1)
    final: float = Field(default=0.01, ge=0, le=1)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)


Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


class RunSettings(_Settings):
    """How long, how often, and on what. `max_minutes` ends a run early; its checkpoint resumes it.

    `compile` and `resident`: whether networks are compiled, and whether the cases lie on the device that trains; "auto"
    is on a GPU alone. `precision`: "auto" is bf16-mixed on a device that has bfloat16, else 32-true. `keep` says which
    of the validated weights the bundle gets: those with the lowest MAE, or the last ones, as where a discriminator is
    to make bone sharp, which the MAE does not reward.
    """

    max_steps: int = Field(default=10_000, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    validate_every: int = Field(default=500, ge=1)
    validation_cases: int = Field(default=36, ge=1)
    checkpoint_minutes: float = Field(default=3.0, gt=0)
    patience: int | None = Field(default=None, ge=1)
    keep: Literal["best", "last"] = "best"
    precision: Literal["auto", Precision] = "auto"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=1, ge=1)
    compile: bool | Literal["auto"] = "auto"
    resident: bool | Literal["auto"] = "auto"


UNSTATED_LICENCE = "of your own making: state the terms of the data they were trained on"


class BundleSettings(_Settings):
    """What the bundle's card says of the weights; of ones that began with others', those others' licence by itself."""

    licence: str = UNSTATED_LICENCE
    training_data: str = "not stated"


class Recipe(_Settings):
    """All of a run. See `recipes/` for one of each family.

    `init_from` is a shipped model's name, or a bundle's folder, whose weights the network begins with.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    init_from: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**32)
    method: MethodSettings
    network: NetworkSettings
    data: DataSettings
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()
    bundle: BundleSettings = BundleSettings()
    hu_range: tuple[float, float] = (LOWEST_HU, HIGHEST_HU)

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        if not self.hu_range[0] < self.hu_range[1]:
            raise ValueError(f"hu_range is the lowest and the highest HU, not {self.hu_range}")
        if not isinstance(self.method, CycleGanSettings):
            if self.data.paired_stores:
                raise ValueError("data.paired_stores is for cyclegan; other methods learn pairs from data.stores")
            return self
        if self.data.context_slices not in (1, None):
            raise ValueError("cyclegan turns single slices or 3-D patches round: data.context_slices is 1 or null")
        if len({store.weight for store in self.data.stores}) > 1:
            raise ValueError("cyclegan draws the cases of all data.stores alike: leave their weights away")
        if self.method.pairs_alone_steps and not self.data.paired_stores:
            raise ValueError("method.pairs_alone_steps needs pairs: name their stores in data.paired_stores")
        if self.run.precision == "16-mixed":
            # the scale of float16 may change after each of them, and both follow one loss
            raise ValueError(
                "cyclegan steps two generators at once: run.precision is bf16-mixed or 32-true, not 16-mixed"
            )
        return self


def read_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe's YAML and apply `key.of.section=value` overrides, whose values are YAML too.

    Raises
    ------
    RecipeError : no such file, not YAML, an unknown key (the nearest is named), a value of the wrong kind.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}", got=error.strerror) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe {path} is not YAML", got=" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise RecipeError(
            f"the recipe {path} is not a mapping", got=type(content).__name__, expected="key: value lines"
        )
    for override in overrides:
        _apply_override(content, override)
    return parse_recipe(content)


def parse_recipe(content: dict[str, Any]) -> Recipe:
    """Check a recipe's content; RecipeError says which key is wrong and what is nearest to it.

    Example
    -------
    >>> parse_recipe({"name": "a", "sede": 1})
    Traceback (most recent call last):
    mr2ct.errors.RecipeError: the recipe is not valid; got unknown key 'sede' (did you mean 'seed'?); ...
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = sorted((_in_words(problem) for problem in error.errors()), key=lambda words: "unknown" not in words)
        raise RecipeError(
            "the recipe is not valid", got="; ".join(problems), remedy="see docs/reference/recipe.md"
        ) from error


def write_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """Write the resolved recipe, defaults and all, as YAML, whole or not at all."""
    with atomic_file(Path(path)) as partial:
        partial.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise RecipeError("not an override", got=repr(override), expected="key.of.section=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"the value of {key} is not YAML", got=repr(value)) from error
    *sections, last = key.split(".")
    place: Any = content
    for section in sections:
        place = place.setdefault(section, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise RecipeError(f"{key} lies inside something that is not a section", expected="a section of the recipe")
    place[last] = parsed


def _in_words(problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    # pydantic puts the method's name between "method" and the key, where no recipe has it
    written = ".".join(part for n, part in enumerate(location) if not (n == 1 and location[0] == "method"))
    if problem["type"] != "extra_forbidden":
        return f"{written or 'recipe'}: {problem['msg'].removeprefix('Value error, ')}"
    close = get_close_matches(location[-1], list(_keys_beside(location)), n=1, cutoff=0.0)
    return f"unknown key {written!r}" + (f" (did you mean {close[0]!r}?)" if close else "")


def _keys_beside(location: Sequence[str]) -> Iterator[str]:
    """The valid keys of the section that a location lies in; a method's location holds the method's name as well."""
    sections: dict[str, type[BaseModel]] = {
        "network": NetworkSettings,
        "discriminator": NetworkSettings,
        "data": DataSettings,
        "stores": StoreSettings,
        "paired_stores": StoreSettings,
        "spatial": SpatialSettings,
        "intensity": IntensitySettings,
        "optimiser": OptimiserSettings,
        "run": RunSettings,
        "bundle": BundleSettings,
        "supervised": SupervisedSettings,
        "pix2pix": Pix2PixSettings,
        "cyclegan": CycleGanSettings,
        "back_translation": BackTranslationSettings,
        "texture": TextureSettings,
        "tissue_weights": TissueWeightsSettings,
        "feature_loss": FeatureLossSettings,
    }
    for part in reversed(location[:-1]):
        if part in sections:
            yield from sections[part].model_fields
            return
    yield from Recipe.model_fields
