"""The recipes for public data: from a release's folders through import, preprocess and train to a bundle, as they say.

The cases are head phantoms of coarse voxels, whatever region their names say.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from mr2ct.bundles import load_bundle
from mr2ct.cli.main import app
from mr2ct.datasets.store import CaseStore
from mr2ct.io import read_volume, write_volume
from mr2ct.phantom import CONTRASTS, head_mask, head_phantom, simulate_ct, simulate_mr
from mr2ct.volume import Quantity

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes" / "regions").glob("*.yaml"))
COARSER = 8.0
"""The phantoms' voxels beside the releases'."""

CASES = {
    "brain": ("Task1/brain", ["1BA001", "1BB002", "1BC003"], ".nii.gz"),
    "pelvis": ("Task1/pelvis", ["1PA001", "1PA002", "1PC003"], ".nii.gz"),
    "head-and-neck": ("Task1/HN", ["1HNA001", "1HNC002", "1HND003"], ".mha"),
    "thorax": ("Task1/TH", ["1THA001", "1THB002", "1THB003"], ".mha"),
    "abdomen": ("Task1/AB", ["1ABA001", "1ABB002", "1ABC003"], ".mha"),
}


def mr2ct(*words: Any) -> str:
    """Run the command in this process and return what it said."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def region_of(recipe: Path) -> str:
    return recipe.stem.rpartition("_")[0]


def stated_commands(recipe: Path) -> list[list[str]]:
    """The commands in the comment that a recipe begins with, in words, `mr2ct` left out."""
    comment = re.sub(r" \\\n#\s*", " ", recipe.read_text().split("\nname:")[0])
    return [shlex.split(line)[1:] for line in re.findall(r"^#   (mr2ct .*)$", comment, flags=re.MULTILINE)]


@pytest.fixture(scope="session")
def heads() -> list[dict[str, Any]]:
    """Three phantoms, imaged."""
    found = []
    for seed in (1, 2, 3):
        head = head_phantom(seed, spacing_mm=COARSER)
        mr = simulate_mr(head, CONTRASTS["t1_mprage"], seed=seed)
        found.append({"mr": mr, "ct": simulate_ct(head, seed), "mask": head_mask(head)})
    return found


@pytest.fixture(scope="session")
def prepared(heads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every region was imported and prepared as its recipes say, in voxels eight times as large."""
    folder = tmp_path_factory.mktemp("regions")
    for region, (at, names, suffix) in CASES.items():
        for name, volumes in zip(names, heads, strict=True):
            for part, volume in volumes.items():
                write_volume(volume, folder / at / name / f"{part}{suffix}")
        (importing, preprocessing, _) = stated_commands(ROOT / "recipes" / "regions" / f"{region}_2d.yaml")
        verb, release, path, _, table = importing
        mr2ct(verb, release, folder / path, "-o", folder / table)
        verb, table, _, store, *options = preprocessing
        options[options.index("--split") + 1] = "test=1,validation=1"
        sizes = options[options.index("--spacing-mm") + 1].split(",") if "--spacing-mm" in options else ["1"]
        coarser = ",".join(str(COARSER * float(size)) for size in sizes)
        mr2ct(verb, folder / table, "-o", folder / store, *options, "--spacing-mm", coarser, "--jobs", "1")
    return folder


def overrides_for(recipe: Path, prepared: Path) -> list[str]:
    written = yaml.safe_load(recipe.read_text())
    stores = [{"path": str(prepared / store["path"])} for store in written["data"]["stores"]]
    return [
        f"data.stores={stores}",
        f"data.split={prepared / written['data']['split']}",
        f"data.size={[16, 16, 8] if recipe.stem.endswith('_3d') else [24, 24]}",
        "data.batch_size=2",
        "data.workers=0",
        "network.arguments.widths=[4, 8]",
        "run.max_steps=2",
        "run.precision=32-true",
    ]


def test_every_region_has_slices_slabs_and_patches():
    assert [recipe.stem for recipe in RECIPES] == sorted(f"{r}_{kind}" for r in CASES for kind in ("2d", "2.5d", "3d"))
    contexts = {recipe.stem: yaml.safe_load(recipe.read_text())["data"]["context_slices"] for recipe in RECIPES}
    assert all(contexts[f"{region}_2d"] == 1 for region in CASES)
    assert all(contexts[f"{region}_2.5d"] in (3, 5) for region in CASES)
    assert all(contexts[f"{region}_3d"] is None for region in CASES)


def test_documents_name_region_recipes_that_exist():
    named = re.findall(r"recipes/regions/[\w.-]+\.yaml", (ROOT / "docs/how-to/train-on-synthrad.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_states_its_commands_and_that_it_was_not_trained_here(recipe: Path):
    comment = " ".join(line.removeprefix("# ") for line in recipe.read_text().splitlines() if line.startswith("#"))
    assert "nothing was trained or tuned with it on the release itself" in comment
    importing, preprocessing, training = stated_commands(recipe)
    assert (importing[0], preprocessing[0], training[0]) == ("import", "preprocess", "train")
    assert importing[-1] == preprocessing[1]
    written = yaml.safe_load(recipe.read_text())
    assert preprocessing[3] == written["data"]["stores"][0]["path"]
    assert training[1] == f"recipes/regions/{recipe.name}"
    # a store serves the three recipes of its region
    assert preprocessing == stated_commands(recipe.with_name(f"{region_of(recipe)}_2d.yaml"))[1]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_on_what_its_commands_prepared(recipe: Path, prepared: Path, tmp_path: Path):
    said = mr2ct("train", recipe, "-o", tmp_path / "run", *overrides_for(recipe, prepared))
    assert "finished after 2 steps, best MAE" in said
    description = load_bundle(tmp_path / "run" / "bundle").description
    written = yaml.safe_load(recipe.read_text())
    assert description.name == written["name"]
    assert description.licence.startswith("CC BY-NC 4.0")
    assert "SynthRAD" in description.training_data
    thick = {"brain": 1, "pelvis": 2.5}.get(region_of(recipe), 3)
    assert description.spacing_mm == (COARSER, COARSER, thick * COARSER)


def test_prepared_cases_keep_their_patients_and_centres(prepared: Path):
    cases = CaseStore.open(prepared / "stores" / "synthrad-head-and-neck").cases
    found = [(case.info.case, case.info.patient, case.info.centre) for case in cases]
    assert found == [("1HNA001", "1HNA001", "A"), ("1HNC002", "1HNC002", "C"), ("1HND003", "1HND003", "D")]


@pytest.mark.parametrize("stem", ["abdomen_2.5d", "pelvis_3d"])
def test_a_bundle_of_thick_voxels_converts_onto_the_mr_s_grid(stem: str, prepared: Path, tmp_path: Path):
    recipe = ROOT / "recipes" / "regions" / f"{stem}.yaml"
    mr2ct("train", recipe, "-o", tmp_path / "run", *overrides_for(recipe, prepared))
    at, names, suffix = CASES[region_of(recipe)]
    case = prepared / at / names[0]
    converting = ["--mask", case / f"mask{suffix}", "--model", tmp_path / "run" / "bundle", "--device", "cpu"]
    # the input check refuses voxels of 8 mm, and rightly
    mr2ct("convert", case / f"mr{suffix}", "-o", tmp_path / "out", *converting, "--force")
    sct = read_volume(tmp_path / "out" / "mr_sct.nii.gz", quantity=Quantity.HU)
    mr = read_volume(case / f"mr{suffix}")
    np.testing.assert_allclose(sct.geometry.affine, mr.geometry.affine, atol=1e-4)
    assert sct.geometry.shape == mr.geometry.shape
    assert -1024 <= sct.voxels.min() < sct.voxels.max() <= 2000
