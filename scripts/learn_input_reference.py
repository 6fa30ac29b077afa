"""Learn what a model's training images look like and write it into bundles, as `input_reference` of bundle.json.

    python scripts/learn_input_reference.py ../shared/data/brain-slices --split stores/brain/split.json

Only training patients of the split are read. DATA is in SynthRAD layout, single slices of three planes. Without BUNDLE
folders, all shipped bundles get it; bundles with the same preprocessing get the same. Other keys stay as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from mr2ct import Quantity, read_volume
from mr2ct.bundles.bundle import DESCRIPTION_FILE
from mr2ct.bundles.description import BundleDescription
from mr2ct.datasets.cases import find_synthrad
from mr2ct.datasets.splits import read_split
from mr2ct.io.atomic import atomic_file
from mr2ct.trust.reference_learning import TrainingSlice, learn_reference

SHIPPED = Path(__file__).parents[1] / "src/mr2ct/bundles/shipped"


def main() -> None:
    arguments = _parser().parse_args()
    folders = arguments.bundles or sorted(path.parent for path in SHIPPED.glob(f"*/{DESCRIPTION_FILE}"))
    patients = set(read_split(arguments.split).train)
    learnt: dict[str, dict] = {}
    for folder in folders:
        path = folder / DESCRIPTION_FILE
        record = json.loads(path.read_text(encoding="utf-8"))
        key = json.dumps(record["preprocessing"], sort_keys=True)
        if key not in learnt:
            slices = training_slices(arguments.data, patients)
            learnt[key] = learn_reference(slices, record["preprocessing"], seed=arguments.seed)
        record["input_reference"] = learnt[key]
        BundleDescription.model_validate(record)
        with atomic_file(path) as file:
            file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}: levels {learnt[key]['levels']}")


def training_slices(data: Path, patients: set[str]) -> Iterator[TrainingSlice]:
    for case in find_synthrad(data):
        if case.patient in patients:
            ct = read_volume(case.ct, quantity=Quantity.HU)
            yield TrainingSlice(case.patient, read_volume(case.mr), ct)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundles", type=Path, nargs="*", help="default: all shipped ones")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the faults that are made")
    return parser


if __name__ == "__main__":
    main()
