"""What does each part of the Pix2Pix game give? The shipped generator's last steps, one part changed at a time.

    python benchmarks/game_ablations.py --store stores/brain --phantoms stores/phantom --out FOLDER [NAME ...]

Every run is `recipes/pix2pix.yaml`, which goes on from `brain-multiscale-attention`, for so many steps, with its own
decay, the same seed and the same batches. MAE in HU inside the mask of the validation slices, the gradient energy of
its bone in % of the CT's, and the discriminators' loss when last noted (least squares: 0.25 is chance). The first
row is run with two seeds: what differs by less than they do says nothing. A finished run is not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation_rows import SHARPNESS, kept, noted, parser, plain, rows, trained
from timed_training import machine

import mr2ct

RECIPE = Path(__file__).parents[1] / "recipes" / "pix2pix.yaml"
ONE_JUDGE = "method.discriminator={name: patchgan, arguments: {width: 32, levels: 2, norm: instance}}"
CHANGES: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "as it is, another seed": ("seed=1",),
    "one discriminator": (ONE_JUDGE,),
    "no feature matching": ("method.feature_matching_weight=0",),
    "no game": ("method.adversarial_weight=0", "method.feature_matching_weight=0"),
    "no sharpness term": ("method.sharpness_weight=0",),
    "the game five times": ("method.adversarial_weight=10", "method.feature_matching_weight=25"),
}


def main() -> None:
    given = parser(__doc__, steps=130).parse_args()
    print(f"mr2ct {mr2ct.__version__}; {machine()}; {given.steps} steps\n", flush=True)
    results = {name: kept(given.out, name, lambda row: result(row, given)) for name in rows(given, CHANGES)}
    print("| | MAE (HU) | gradient energy in bone (%) | discriminators' loss |\n|---|---|---|---|")
    for name, row in results.items():
        print(f"| {name} | {row['mae']:.1f} | {row['sharp']:.0f} | {row['judges']:.3f} |")


def result(name: str, given: argparse.Namespace) -> dict[str, float]:
    """Train one row: MAE in HU, gradient energy in bone in % of the CT's, the discriminators' loss."""
    folder: Path = given.out / plain(name) / "run"
    words = [
        f"data.stores=[{{path: {given.store}, weight: 0.9}}, {{path: {given.phantoms}, weight: 0.1}}]",
        f"data.split={given.store / 'split.json'}",
        f"run.accelerator={given.device}",
        f"run.max_steps={given.steps}",
        f"run.validate_every={given.steps}",
    ]
    trained(RECIPE, [*words, *CHANGES[name]], folder)
    return {
        "mae": noted(folder, "mae_hu")[-1],
        "sharp": noted(folder, SHARPNESS)[-1],
        "judges": noted(folder, "discriminator", kind="train")[-1],
    }


if __name__ == "__main__":
    main()
