"""What do outline masks, the structure term and phantoms give CycleGAN? Its recipe in short runs, one part changed.

    python benchmarks/cyclegan_ablations.py --store stores/brain --phantoms stores/phantom --out FOLDER [NAME ...]

Every run is `recipes/cyclegan.yaml` from nothing, for so many steps, with its own decay, the same seed and the same
draws. MAE in HU inside the mask of the validation slices, the best of the run and its end, and the gradient energy of
its bone at the end in % of the CT's. A finished run is not run again.

Without outline masks, discriminators and generators see images as the store holds them and as generators made them,
background and all, and nothing asks for air beyond the outline (`method.outside_weight`).
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest.mock import patch

from ablation_rows import SHARPNESS, kept, noted, parser, plain, rows, trained
from timed_training import machine

import mr2ct

RECIPE = Path(__file__).parents[1] / "recipes" / "cyclegan.yaml"
WITHOUT_MASKS = "no outline masks"
CHANGES: dict[str, tuple[str, ...]] = {
    "as it is": (),
    WITHOUT_MASKS: ("method.outside_weight=0",),
    "no structure term": ("method.structure_weight=0",),
    "phantoms in the mix, not first": ("method.pairs_alone_steps=0",),
    "no phantoms": ("data.paired_stores=[]", "method.pairs_alone_steps=0", "method.paired_weight=0"),
    "no game": ("method.adversarial_weight=0", "method.back_translation.adversarial_ct_weight=0"),
}
VALIDATIONS = 3


def main() -> None:
    given = parser(__doc__, steps=750).parse_args()
    print(f"mr2ct {mr2ct.__version__}; {machine()}; {given.steps} steps\n", flush=True)
    results = {name: kept(given.out, name, lambda row: result(row, given)) for name in rows(given, CHANGES)}
    print("| | best MAE (HU) | at the end | gradient energy in bone (%) |\n|---|---|---|---|")
    for name, row in results.items():
        print(f"| {name} | {row['best']:.1f} | {row['end']:.1f} | {row['sharp']:.0f} |")


def result(name: str, given: argparse.Namespace) -> dict[str, float]:
    """Train one row: its best MAE in HU and the last, gradient energy in bone in % of the CT's."""
    folder: Path = given.out / plain(name) / "run"
    words = [
        f"data.stores=[{{path: {given.store}}}]",
        f"data.paired_stores=[{{path: {given.phantoms}}}]",
        f"data.split={given.store / 'split.json'}",
        f"run.accelerator={given.device}",
        f"run.max_steps={given.steps}",
        f"run.validate_every={max(given.steps // VALIDATIONS, 1)}",
    ]
    with without_masks() if name == WITHOUT_MASKS else nullcontext():
        trained(RECIPE, [*words, *CHANGES[name]], folder)
    errors = noted(folder, "mae_hu")
    return {"best": min(errors), "end": errors[-1], "sharp": noted(folder, SHARPNESS)[-1]}


def without_masks() -> AbstractContextManager[object]:
    """While it lasts, CycleGAN's steps see images as they are, beyond their outlines too."""
    return patch("mr2ct.training.back_translation.outlined", lambda image, mask, outside: image)


if __name__ == "__main__":
    main()
