"""What goes into a run and comes out of it: weights to start from, and the bundle that the best weights become."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mr2ct.bundles import Bundle, BundleDescription, find_bundle, write_bundle
from mr2ct.bundles.card import fill_card
from mr2ct.bundles.provenance import Provenance, read_steps
from mr2ct.datasets.splits import read_split
from mr2ct.errors import BundleError, DataSetError, RecipeError
from mr2ct.models import REGISTRY
from mr2ct.training.assembly import common_preprocessing, network_arguments
from mr2ct.training.checkpoint import read_checkpoint
from mr2ct.training.recipe import UNSTATED_LICENCE, Recipe


def model_to_start_from(recipe: Recipe) -> Bundle:
    """The recipe's `init_from`, which has to have the recipe's network.

    Raises
    ------
    RecipeError : its network or its HU range is another. BundleError : no such model, or an altered one.
    """
    bundle = find_bundle(str(recipe.init_from))
    described = bundle.description.network
    if (described.name, _in_full(described.name, described.arguments)) != (
        recipe.network.name,
        _in_full(recipe.network.name, network_arguments(recipe)),
    ):
        raise RecipeError(
            "the model to start from has another network",
            got=f"{described.name} {described.arguments}",
            expected=f"{recipe.network.name} {network_arguments(recipe)}",
            remedy="copy the network section from the bundle's bundle.json into the recipe",
        )
    if bundle.description.hu_range != recipe.hu_range:
        raise RecipeError(
            "the model to start from has another HU range",
            got=bundle.description.hu_range,
            expected=recipe.hu_range,
            remedy="set hu_range to the model's",
        )
    return bundle


def prepared_otherwise(model: BundleDescription, own: BundleDescription) -> list[str]:
    """A line for each step of preprocessing in which the model to start from differs from the recipe's stores."""
    theirs, ours = ({s["name"]: s["arguments"] for s in d.preprocessing["steps"]} for d in (model, own))
    return [
        f"warning: {model.name} learnt from images prepared with {_difference_in_words(name, theirs, ours)}"
        for name in dict.fromkeys([*theirs, *ours])
        if theirs.get(name) != ours.get(name)
    ]


_Steps = Mapping[str, Mapping[str, Any]]
_NYUL = "nyul"
"""`mr2ct.preprocessing.nyul.Nyul`, whose landmarks are learnt: they fill a page, and no option takes another's."""


def _difference_in_words(name: str, theirs: _Steps, ours: _Steps) -> str:
    learnt, stores = _step_in_words(name, theirs), _step_in_words(name, ours)
    if name == _NYUL and name in theirs and name in ours:
        return (
            f"{learnt} and landmarks of its own, the stores were with {stores} and landmarks of theirs; mr2ct "
            "preprocess takes no landmarks from a model, so train for longer"
        )
    return f"{learnt}, the stores were with {stores}; prepare them alike (mr2ct preprocess), or train for longer"


def _step_in_words(name: str, steps: _Steps) -> str:
    if name not in steps:
        return f"no {name}"
    shown = {key: v for key, v in steps[name].items() if not (name == _NYUL and isinstance(v, list))}
    return " ".join([name, *(f"{key}={value}" for key, value in shown.items())])


def _in_full(network: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the defaults of the network's constructor filled in, lists for tuples."""
    parameters = inspect.signature(REGISTRY[network]).parameters.values() if network in REGISTRY else ()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in {**defaults, **arguments}.items()
    }


def describe(recipe: Recipe) -> BundleDescription:
    """What a bundle of this recipe will say, but for its metrics. Raises DataSetError where stores differ."""
    three_d = recipe.data.context_slices is None
    pipeline = common_preprocessing([*recipe.data.stores, *recipe.data.paired_stores])
    _require_augmentable(recipe, pipeline)
    sizes = [step["arguments"]["spacing_mm"] for step in pipeline["steps"] if step["name"] == "to_spacing"] or [1.0]
    return BundleDescription.model_validate(
        {
            "format_version": 1,
            "name": recipe.name,
            "method": recipe.method.name,
            "network": {"name": recipe.network.name, "arguments": network_arguments(recipe)},
            "preprocessing": pipeline,
            "hu_range": recipe.hu_range,
            "spacing_mm": sizes[0] if isinstance(sizes[0], list) else (sizes[0],) * 3,
            "planes": () if three_d else tuple(recipe.data.planes),
            "context_slices": 0 if three_d else recipe.data.context_slices,
            "patch_size": tuple(recipe.data.size) if three_d else None,
            "flips": recipe.data.spatial is not None and recipe.data.spatial.flip > 0,
            "training_data": recipe.bundle.training_data,
            "licence": _licence(recipe),
            "metrics": {},
        }
    )


def _licence(recipe: Recipe) -> str:
    """As the recipe states it; where it states none, the terms of the weights that training began with."""
    stated = recipe.bundle.licence
    if recipe.init_from is None or stated != UNSTATED_LICENCE:
        return stated
    try:
        start = find_bundle(recipe.init_from).description
    except BundleError:
        # gone since: a run goes on without it
        return "that of the weights that training began with"
    return stated if start.licence == UNSTATED_LICENCE else f"{start.licence}, derived from {start.name}"


_Z_SCORE = "z_score"
"""`mr2ct.preprocessing.intensity.ZScore`, which training, where no image is read, does not import."""


def _require_augmentable(recipe: Recipe, pipeline: dict[str, Any]) -> None:
    # black is 0 to the changes of intensity, to noise and to what lies beyond an image; of z-scores 0 is the mean
    if recipe.data.intensity is not None and any(step["name"] == _Z_SCORE for step in pipeline["steps"]):
        raise DataSetError(
            "z-scores cannot be augmented: what is darker than the mean would become black",
            got="stores prepared with --normalise zscore, and data.intensity",
            expected="intensities from 0 up",
            remedy="prepare the stores with another --normalise, or set data.intensity=null",
        )


def write_result(description: BundleDescription, folder: Path) -> Path:
    """Write the best weights of the run in `folder` as `folder`/bundle, with its scores on validation.

    Where no patient is held out for that, they are those of the cases that trained, and called so.
    """
    best = read_checkpoint(folder / "best.pt")
    side = "validation" if read_split(folder / "split.json").validation else "training"
    metrics = {f"{side}_{key}": value for key, value in best.items() if key.startswith("mae_hu")}
    origin = Provenance(training=read_steps(folder))
    described = description.model_copy(update={"metrics": metrics, "provenance": origin})
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    state = {name: tensor.contiguous() for name, tensor in best["network"].items()}
    return write_bundle(folder / "bundle", state=state, description=described, card=fill_card(described)).folder
