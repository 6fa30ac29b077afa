"""Training needs torch, lightning-fabric, NumPy, safetensors, PyYAML, pydantic and rich; no more of what mr2ct uses."""

import subprocess
import sys

import yaml

from mr2ct.bundles import load_bundle

ABSENT = [
    "typer",
    "SimpleITK",
    "nibabel",
    "pydicom",
    "matplotlib",
    "scipy",
    "monai",
    "tensorboard",
    "PIL",
    "itk",
    "torchio",
]
PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[3:]))  # None: as if not installed
from pathlib import Path
from mr2ct.training.recipe import read_recipe
from mr2ct.training.run import run
run(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_run_from_recipe_to_bundle_on_a_machine_with_little_installed(small_recipe, tmp_path):
    recipe, folder = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(yaml.safe_dump(small_recipe()))
    words = [sys.executable, "-c", PROGRAM, str(recipe), str(folder), *ABSENT]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert load_bundle(folder / "bundle").description.metrics["validation_mae_hu"] > 0
    assert not (folder / "tensorboard").exists()
