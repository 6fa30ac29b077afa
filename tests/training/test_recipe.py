"""A recipe is checked key by key, in words; what is written back is the same run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from mr2ct.errors import RecipeError
from mr2ct.training import recipe as recipe_module
from mr2ct.training.recipe import parse_recipe, read_recipe, write_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted([*ROOT.glob("recipes/*.yaml"), *ROOT.glob("recipes/students/*.yaml")])


def content(**sections: Any) -> dict[str, Any]:
    known = {
        "name": "a",
        "method": {"name": "supervised"},
        "network": {"name": "attention_unet"},
        "data": {"stores": [{"path": "s"}]},
    }
    return {**known, **sections}


def refusal(**sections: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content(**sections))
    return str(caught.value)


def test_there_is_a_recipe_for_each_family():
    assert {read_recipe(path).method.name for path in RECIPES} == {"supervised", "pix2pix", "cyclegan"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_resolved_recipe_is_the_same_recipe(path, tmp_path):
    recipe = read_recipe(path)
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml") == recipe
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text()) == recipe.model_dump(mode="json")
    assert [left.name for left in tmp_path.iterdir()] == ["recipe.yaml"]


# --- unknown keys


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"sede": 1}, "unknown key 'sede' (did you mean 'seed'?)"),
        ({"network": {"name": "resnet", "argments": {}}}, "'network.argments' (did you mean 'arguments'?)"),
        ({"data": {"stores": [{"path": "s"}], "batchsize": 2}}, "'data.batchsize' (did you mean 'batch_size'?)"),
        ({"data": {"stores": [{"pth": "s"}]}}, "'data.stores.0.pth' (did you mean 'path'?)"),
        (
            {"data": {"stores": [{"path": "s"}], "paired_stores": [{"path": "s"}, {"path": "s", "wieght": 1}]}},
            "'data.paired_stores.1.wieght' (did you mean 'weight'?)",
        ),
        ({"data": {"stores": [{"path": "s"}], "spatial": {"flop": 1}}}, "'data.spatial.flop' (did you mean 'flip'?)"),
        (
            {"data": {"stores": [{"path": "s"}], "intensity": {"biasfield": 1}}},
            "'data.intensity.biasfield' (did you mean 'bias_field'?)",
        ),
        ({"optimiser": {"learning_rat": 1}}, "'optimiser.learning_rat' (did you mean 'learning_rate'?)"),
        ({"run": {"max_step": 1}}, "'run.max_step' (did you mean 'max_steps'?)"),
        ({"bundle": {"license": "MIT"}}, "'bundle.license' (did you mean 'licence'?)"),
        (
            {"method": {"name": "supervised", "gradient_wight": 1}},
            "'method.gradient_wight' (did you mean 'gradient_weight'?)",
        ),
        ({"method": {"name": "pix2pix", "l1_wight": 1}}, "'method.l1_wight' (did you mean 'l1_weight'?)"),
        ({"method": {"name": "cyclegan", "poolsize": 1}}, "'method.poolsize' (did you mean 'pool_size'?)"),
        (
            {"method": {"name": "cyclegan", "discriminator": {"name": "patchgan", "argument": {}}}},
            "'method.discriminator.argument' (did you mean 'arguments'?)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_key_names_the_nearest_one_of_its_section(sections, words):
    assert words in refusal(**sections)


def test_unknown_keys_come_first_among_several_problems():
    message = refusal(run={"max_steps": "many", "max_step": 3})
    assert message.index("unknown key") < message.index("run.max_steps")


# --- wrong values


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"name": "Not A Name"}, "name: String should match pattern"),
        ({"name": 5}, "name: Input should be a valid string"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"seed": 2**32}, "seed: Input should be less than 4294967296"),
        ({"method": {"name": "supervise"}}, "'supervise' found using 'name' does not match any of the expected tags"),
        ({"method": {}}, "method: Unable to extract tag"),
        ({"run": {"max_steps": "many"}}, "run.max_steps: Input should be a valid integer"),
        ({"run": {"precision": "64"}}, "run.precision: Input should be 'auto', '32-true', 'bf16-mixed' or '16-mixed'"),
        ({"data": {"stores": []}}, "data.stores: List should have at least 1 item"),
        ({"data": {"stores": [{"path": "s", "weight": 0}]}}, "data.stores.0.weight: Input should be greater than 0"),
        ({"data": {"stores": [{"path": "s"}], "planes": ["oblique"]}}, "data.planes.0: Input should be 'axial'"),
        ({"data": {"stores": [{"path": "s"}], "size": [8, 8, 8]}}, "data: slices have a size of two numbers"),
        ({"data": {"stores": [{"path": "s"}], "context_slices": None}}, "data: 3-D patches have a size of three"),
        (
            {"data": {"stores": [{"path": "s"}], "context_slices": None, "size": [32, 32, 4]}},
            "data: 3-D patches have a size of three numbers, each at least 8, not [32, 32, 4]",
        ),
        ({"data": {"stores": [{"path": "s"}], "context_slices": 4}}, "data: context_slices is odd"),
        ({"hu_range": [3000, -1000]}, "recipe: hu_range is the lowest and the highest HU"),
        ({"data": {"stores": [{"path": "s"}], "paired_stores": [{"path": "p"}]}}, "paired_stores is for cyclegan"),
        (
            {"method": {"name": "cyclegan"}, "data": {"stores": [{"path": "s", "weight": 0.9}, {"path": "t"}]}},
            "cyclegan draws the cases of all data.stores alike",
        ),
        ({"method": {"name": "cyclegan", "pairs_alone_steps": 5}}, "needs pairs: name their stores"),
        (
            {"method": {"name": "cyclegan"}, "data": {"stores": [{"path": "s"}], "context_slices": 3}},
            "data.context_slices is 1 or null",
        ),
        (
            {"method": {"name": "cyclegan"}, "run": {"precision": "16-mixed"}},
            "run.precision is bf16-mixed or 32-true, not 16-mixed",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_is_named_with_what_is_expected(sections, words):
    message = refusal(**sections)
    assert words in message
    assert message.endswith("see docs/reference/recipe.md")


@pytest.mark.parametrize("key", ["name", "method", "network", "data"])
def test_what_must_be_there_is_named(key):
    without = content()
    del without[key]
    with pytest.raises(RecipeError, match=f"{key}: Field required"):
        parse_recipe(without)


# --- files and overrides


def write(folder: Path, text: str | dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return path


def test_overrides_reach_every_depth_and_are_yaml(tmp_path):
    recipe = read_recipe(
        write(tmp_path, content()),
        [
            "seed=7",
            "run.max_minutes=null",
            "optimiser.learning_rate=1e-4",
            "network.arguments.widths=[4, 8]",
            "data.spatial.flip=0",
            "data.intensity=null",
            "data.stores=[{path: a=b, weight: 2}]",
            "bundle.licence=CC BY-NC 4.0",
        ],
    )
    assert recipe.seed == 7
    assert recipe.run.max_minutes is None
    assert recipe.optimiser.learning_rate == 1e-4
    assert recipe.network.arguments == {"widths": [4, 8]}
    assert recipe.data.spatial.flip == 0
    assert recipe.data.spatial.rotation_deg == 10
    assert recipe.data.intensity is None
    assert (recipe.data.stores[0].path, recipe.data.stores[0].weight) == ("a=b", 2)
    assert recipe.bundle.licence == "CC BY-NC 4.0"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "not an override; got 'seed'; expected key.of.section=value"),
        ("=5", "not an override"),
        ("seed=[1", "the value of seed is not YAML"),
        ("seed.more=1", "seed.more lies inside something that is not a section"),
        ("data.stores.0.path=x", "lies inside something that is not a section"),
        ("run.max_step=5", "did you mean 'max_steps'"),
    ],
)
def test_a_wrong_override_is_named(tmp_path, override, words):
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path, content(seed=1)), [override])
    assert words in str(caught.value)


def test_a_file_that_is_no_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match="cannot read the recipe .*; got No such file"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="is not YAML"):
        read_recipe(write(tmp_path, "name: [1"))
    with pytest.raises(RecipeError, match="is not a mapping; got list"):
        read_recipe(write(tmp_path, "- 1"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="is not YAML"):
        read_recipe(tmp_path / "binary.yaml")


# --- the reference

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "recipe.md"
IN_WORDS = {"required", "as below", "a reminder"}
SECTIONS = {
    "Top": recipe_module.Recipe,
    "supervised": recipe_module.SupervisedSettings,
    "pix2pix": recipe_module.Pix2PixSettings,
    "tissue_weights": recipe_module.TissueWeightsSettings,
    "feature_loss": recipe_module.FeatureLossSettings,
    "cyclegan": recipe_module.CycleGanSettings,
    "back_translation": recipe_module.BackTranslationSettings,
    "texture": recipe_module.TextureSettings,
    "network": recipe_module.NetworkSettings,
    "data": recipe_module.DataSettings,
    "stores": recipe_module.StoreSettings,
    "spatial": recipe_module.SpatialSettings,
    "intensity": recipe_module.IntensitySettings,
    "optimiser": recipe_module.OptimiserSettings,
    "run": recipe_module.RunSettings,
    "bundle": recipe_module.BundleSettings,
}


def documented(section: str) -> dict[str, str]:
    """The keys of a section of the reference with their defaults as written."""
    text = re.search(rf"^##+ `?{section}`?\n(.*?)(?=^##|\Z)", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \| [^|]*? \|$", text[1], re.MULTILINE))


def test_the_reference_covers_every_section():
    models = {
        value
        for value in vars(recipe_module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.model_fields
    }
    assert set(SECTIONS.values()) == models


@pytest.mark.parametrize("section", SECTIONS)
def test_the_reference_has_every_key_with_its_default(section):
    written, fields = documented(section), SECTIONS[section].model_fields
    assert written.keys() == fields.keys()
    for key, field in fields.items():
        if written[key] == "required":
            assert field.is_required(), key
        elif written[key] not in IN_WORDS:
            default = field.get_default(call_default_factory=True)
            plain = default.model_dump() if isinstance(default, BaseModel) else default
            stated = yaml.safe_load(written[key].strip("`"))
            assert stated == (list(plain) if isinstance(plain, tuple) else plain), key


def test_a_student_starts_from_its_teachers_network():
    teacher, student = (read_recipe(ROOT / "recipes" / name) for name in ("cyclegan.yaml", "students/cyclegan.yaml"))
    assert (student.name, student.network) == (teacher.name, teacher.network)
