"""Learn how bright training images show bone and write it into bundles, as `bone_levels` of bundle.json.

    python scripts/learn_bone_levels.py --store stores/brain

Each model is asked where bone is in the slices of the store's training patients: the lowest of the slices' levels and
their median are written. A user's MR whose bone is darker than the lowest is lifted to the median
(`mr2ct.inference.bone_level`). Without BUNDLE folders, all shipped bundles get theirs. Other keys stay as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mr2ct.bundles import load_bundle
from mr2ct.bundles.bundle import DESCRIPTION_FILE
from mr2ct.bundles.description import BundleDescription
from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore
from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference import Translator
from mr2ct.io.atomic import atomic_file

SHIPPED = Path(__file__).parents[1] / "src/mr2ct/bundles/shipped"
PERCENTILES = (0, 1, 5, 25, 50, 75, 95)


def main() -> None:
    arguments = _parser().parse_args()
    for folder in arguments.bundles or sorted(path.parent for path in SHIPPED.glob(f"*/{DESCRIPTION_FILE}")):
        levels = training_levels(Translator.from_bundle(load_bundle(folder)), arguments.store)
        found = dict(zip(PERCENTILES, np.percentile(levels, PERCENTILES).round(3).tolist(), strict=True))
        path = folder / DESCRIPTION_FILE
        record = json.loads(path.read_text(encoding="utf-8"))
        record["bone_levels"] = [found[0], found[50]]
        BundleDescription.model_validate(record)
        with atomic_file(path) as file:
            file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{folder.name}: percentiles of {len(levels)} slices {found}", flush=True)


def training_levels(translator: Translator, store: Path) -> list[float]:
    """The level of bone in each training slice in which the model finds enough of it, in network units."""
    planes = {axis: plane for plane, axis in PLANE_AXIS.items()}
    found = []
    for case in CaseStore.open(store).of_patients(read_split(store / "split.json").train):
        mr, mask = np.asarray(case.mr(), dtype=np.float32), np.asarray(case.mask()) > 0
        found.append(translator.bone_level(mr, mask, [planes[case.info.shape.index(1)]]))
    return [level for level in found if level is not None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="*", help="default: all shipped ones")
    parser.add_argument("--store", type=Path, required=True, help="single slices, with the split of the training")
    return parser


if __name__ == "__main__":
    main()
