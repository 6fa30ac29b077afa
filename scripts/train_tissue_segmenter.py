"""Train the tissue segmenter behind `method.feature_loss` on the CTs of the training patients.

    python scripts/train_tissue_segmenter.py stores/brain --split stores/brain/split.json -o segmenters/brain

Needs what training needs. The folder gets weights.safetensors and segmenter.json, with the Dice of each tissue class
on the validation patients. An interrupted run is gone on with by the same command.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore
from mr2ct.hounsfield import HIGHEST_HU, LOWEST_HU, HuScaling
from mr2ct.io.atomic import atomic_file
from mr2ct.models.tissue_segmenter import TissueSegmenter
from mr2ct.training.acceleration import precision_of
from mr2ct.training.learner import Learner, Schedule
from mr2ct.training.loop import Limits, fit
from mr2ct.training.recipe import RunSettings
from mr2ct.training.tissue_features import write_segmenter
from mr2ct.training.tissue_labels import TissueClass
from mr2ct.training.tissue_segmentation import (
    LabelledBatches,
    LabelledSlice,
    TissueSegmentation,
    labelled_slices,
    segmentation_dice,
)
from mr2ct.training.witness import RunWitness

SCALING = HuScaling(LOWEST_HU, HIGHEST_HU)
ASKED = "asked.json"


def main() -> None:
    arguments = _parser().parse_args()
    run = arguments.output.with_name(f"{arguments.output.name}-run")
    require_same_run(run, arguments)
    fabric = Fabric(accelerator="auto", devices=1, precision=precision_of(RunSettings()))
    fabric.seed_everything(arguments.seed, verbose=False)
    of_network = {"classes": len(TissueClass), "dims": 2, "widths": arguments.widths}
    schedule = Schedule(arguments.steps, warmup_steps=50, final=0.01)
    network = TissueSegmenter(**of_network).to(memory_format=torch.channels_last)
    learner = Learner(fabric, network, learning_rate=arguments.learning_rate, schedule=schedule, clip_norm=1.0)
    method = TissueSegmentation(learner)
    slices = {side: of_side(arguments, side) for side in ("train", "validation")}
    batches = LabelledBatches(
        slices["train"],
        size=arguments.size,
        batch_size=arguments.batch_size,
        hu_per_unit=SCALING.hu_per_unit,
        seed=arguments.seed,
    )

    def source(first: int) -> Iterator[dict[str, Tensor]]:
        for step in range(first, arguments.steps):
            yield {name: images.to(fabric.device) for name, images in batches[step].items()}

    with RunWitness(run, total_steps=arguments.steps, slices=list) as witness:
        fit(
            fabric,
            method,
            batches=source,
            validate=lambda network: segmentation_dice(network, slices["validation"]),
            folder=run,
            limits=Limits(max_steps=arguments.steps, validate_every=arguments.steps // 4),
            witness=witness,
        )
    dice = segmentation_dice(method.averaged, slices["validation"])
    facts = {"steps": arguments.steps, "slices": len(slices["train"]), "seed": arguments.seed, "validation": dice}
    shutil.rmtree(arguments.output, ignore_errors=True)
    hu_range = (SCALING.lowest_hu, SCALING.highest_hu)
    write_segmenter(arguments.output, method.averaged, arguments=of_network, hu_range=hu_range, facts=facts)
    print(f"{arguments.output}: " + ", ".join(f"{name} {value:.3f}" for name, value in dice.items()))


def require_same_run(run: Path, arguments: argparse.Namespace) -> None:
    """Make the folder of the run and note its options there; an earlier run with others may not go on in it."""
    asked = {name: str(value) for name, value in sorted(vars(arguments).items()) if name != "output"}
    noted = run / ASKED
    if noted.is_file() and json.loads(noted.read_text(encoding="utf-8")) != asked:
        raise SystemExit(f"{run} holds a run with other options: remove it, or choose another -o")
    with atomic_file(noted) as file:
        file.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")


def of_side(arguments: argparse.Namespace, side: str) -> tuple[LabelledSlice, ...]:
    patients = getattr(read_split(arguments.split), side)
    cases = [case for store in arguments.stores for case in CaseStore.open(store).of_patients(patients)]
    return labelled_slices(cases, SCALING)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=2026)
    return parser


if __name__ == "__main__":
    main()
