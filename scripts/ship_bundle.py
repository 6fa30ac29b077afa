"""Score a trained bundle on the held-out patients and put it among the shipped ones, in half precision.

    python scripts/ship_bundle.py runs/attention_unet --data DATA --split stores/brain/split.json --command "..."

DATA is the data set the store was prepared from (SynthRAD layout). Every case of a test patient is converted as a user
would, without its mask, and scored inside its mask. The figures go into bundle.json and MODEL_CARD.md.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections import defaultdict
from pathlib import Path

import torch

from mr2ct import Quantity, read_volume
from mr2ct.bundles import Bundle, BundleDescription, load_bundle, write_bundle
from mr2ct.bundles.bundle import DESCRIPTION_FILE, read_description
from mr2ct.bundles.card import fill_card
from mr2ct.datasets.cases import find_synthrad
from mr2ct.datasets.splits import read_split
from mr2ct.evaluation.tissue_metrics import hu_error_by_tissue
from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference.translator import Translator

SHIPPED = Path(__file__).parents[1] / "src/mr2ct/bundles/shipped"


def main() -> None:
    arguments = _parser().parse_args()
    bundle = load_bundle(arguments.run / "bundle")
    scores = score(bundle, arguments.data, arguments.split)
    for name, value in scores.items():
        print(f"{name:28} {value:8.2f}")
    if arguments.dry_run:
        return
    halved = _in_half_precision(bundle)
    words = f"{arguments.training_data} Made by: {arguments.command}"
    description = bundle.description.model_copy(
        update={
            "metrics": {name: round(value, 2) for name, value in scores.items()},
            "training_data": words,
            "licence": arguments.licence,
        }
    )
    target = SHIPPED / description.name
    description = with_kept_reference(description, target)
    shutil.rmtree(target, ignore_errors=True)
    write_bundle(
        target, state=halved, description=description, card=with_limits(fill_card(description), arguments.limit)
    )
    print(f"written to {target}")


def with_limits(card: str, sentences: list[str]) -> str:
    """The card, which ends with its list of limits, and `sentences` after them."""
    return card.rstrip("\n") + "\n" + "".join(f"- {sentence}\n" for sentence in sentences)


def with_kept_reference(description: BundleDescription, shipped: Path) -> BundleDescription:
    """With the `input_reference` of the bundle that it replaces, where both prepare an MR in the same way.

    New weights on the same data need no new reference; `scripts/learn_input_reference.py` learns one.
    """
    if description.input_reference is not None or not (shipped / DESCRIPTION_FILE).is_file():
        return description
    old = read_description(shipped)
    if old.preprocessing != description.preprocessing:
        print("another preprocessing than before: learn the input reference anew")
        return description
    return description.model_copy(update={"input_reference": old.input_reference})


def score(bundle: Bundle, data: Path, split_file: Path) -> dict[str, float]:
    """Mean over the test patients' cases: MAE in HU, by plane, by tissue, by centre."""
    test = set(read_split(split_file).test)
    translator = Translator.from_bundle(bundle)
    found: dict[str, list[float]] = defaultdict(list)
    for case in find_synthrad(data):
        if case.patient not in test:
            continue
        mr, ct = read_volume(case.mr), read_volume(case.ct, quantity=Quantity.HU)
        mask = read_volume(case.mask, quantity=Quantity.MASK)
        sct = translator.translate(mr).sct
        errors = hu_error_by_tissue(sct.voxels, ct.voxels, mask.voxels)
        mae = errors.pop("all").mae_hu
        found["mae_hu"].append(mae)
        thin = mr.geometry.single_slice_axis
        if thin is not None:
            anatomical = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[mr.geometry.axis_codes[thin]]
            plane = next(name for name, axis in PLANE_AXIS.items() if axis == anatomical)
            found[f"mae_hu_{plane}"].append(mae)
        found[f"mae_hu_centre_{case.centre}"].append(mae)
        for tissue, error in errors.items():
            found[f"mae_hu_{tissue.replace(' ', '_')}"].append(error.mae_hu)
    scores = {name: statistics.fmean(values) for name, values in found.items()}
    return {**scores, "cases": float(len(found["mae_hu"])), "patients": float(len(test))}


def _in_half_precision(bundle: Bundle) -> dict[str, torch.Tensor]:
    from mr2ct.bundles import load_network

    state = load_network(bundle).state_dict()
    return {name: t.half() if t.is_floating_point() else t for name, t in state.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of mr2ct train")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--training-data", default="not stated", help="for the card")
    parser.add_argument("--licence", default="CC-BY-NC-4.0", help="of the weights: that of their data")
    parser.add_argument("--command", default="not stated", help="the command that made the run, for the card")
    parser.add_argument("--limit", action="append", default=[], help="a sentence for the card's limits; repeatable")
    parser.add_argument("--dry-run", action="store_true", help="score only")
    return parser


if __name__ == "__main__":
    main()
