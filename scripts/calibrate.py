"""Calibrate the uncertainty of bundles and measure it on held-out patients; to be run again after each training.

    python scripts/calibrate.py --data DATA --split stores/brain/split.json

DATA is in SynthRAD layout (single slices), the split that of the training. Without BUNDLE folders, all shipped bundles
are calibrated, each with the companions' answers beside its own, and alone. Training and validation patients are
learnt from; test patients only measure, at the end, by the function that users call. Written: `calibration` in
bundle.json, the section "How sure it is" of MODEL_CARD.md, and the picture in it, reliability.png. Other keys stay as
they are.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mr2ct import Quantity, read_volume
from mr2ct.bundles import load_bundle
from mr2ct.bundles.bundle import CARD_FILE, DESCRIPTION_FILE
from mr2ct.bundles.card import with_section
from mr2ct.bundles.description import BundleDescription
from mr2ct.datasets.cases import PairedCase, find_synthrad
from mr2ct.datasets.splits import Split, read_split
from mr2ct.inference import Translator
from mr2ct.io.atomic import atomic_file
from mr2ct.trust.calibration import INTERVAL, Calibration, Variant
from mr2ct.trust.calibration_fit import DrawnCase, Truth, draw_case, fit_variant, truth_of
from mr2ct.trust.reliability import (
    CaseReliability,
    case_reliability,
    reliability_summary,
    write_reliability_picture,
)
from mr2ct.trust.uncertainty import member_answers, predict_uncertainty
from mr2ct.trust.uncertainty_card import CARD_TITLE, RELIABILITY_FILE, uncertainty_section
from mr2ct.volume import Volume

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "src/mr2ct/bundles/shipped"
COMPANIONS = ("brain-attention-unet", "brain-pix2pix")


def main() -> None:
    arguments = _parser().parse_args()
    folders = arguments.bundles or sorted(path.parent for path in SHIPPED.glob(f"*/{DESCRIPTION_FILE}"))
    own = [Translator.from_bundle(load_bundle(folder)) for folder in folders]
    models = {t.description.name: t for t in own}
    for name in arguments.companions:
        if name not in models:
            models[name] = Translator.from_bundle(load_bundle(SHIPPED / name))
    sets = {t.description.name: _member_sets(t, models, arguments.companions) for t in own}
    cases, split = find_synthrad(arguments.data), read_split(arguments.split)
    drawn = draw(cases, split, models, sets, seed=arguments.seed)
    for folder, translator in zip(folders, own, strict=True):
        name = translator.description.name
        variants = [
            fit_variant([models[m] for m in members], drawn[members], seed=arguments.seed) for members in sets[name]
        ]
        finish(folder, variants, [models[m] for m in sets[name][0]], cases, split)


def _member_sets(
    translator: Translator, models: dict[str, Translator], companions: Sequence[str]
) -> list[tuple[str, ...]]:
    """The model with its companions, and alone; companions with another preprocessing cannot join."""
    name = translator.description.name
    joining = [c for c in companions if c != name and _prepares_alike(models[c], translator)]
    return [(name, *joining), (name,)] if joining else [(name,)]


def _prepares_alike(one: Translator, other: Translator) -> bool:
    return one.description.preprocessing == other.description.preprocessing


def draw(
    cases: Sequence[PairedCase],
    split: Split,
    models: dict[str, Translator],
    sets: dict[str, list[tuple[str, ...]]],
    *,
    seed: int,
) -> dict[tuple[str, ...], list[DrawnCase]]:
    """Voxels of training and validation patients for every set of models; each model answers once a case."""
    wanted = sorted({members for of_one in sets.values() for members in of_one})
    drawn: dict[tuple[str, ...], list[DrawnCase]] = defaultdict(list)
    for number, case in enumerate(cases):
        if case.patient not in (*split.train, *split.validation):
            continue
        mr, ct, mask = read(case)
        answers, bodies = {}, {}
        for name, translator in models.items():
            bodies[name] = translator.prepare(mr)
            (plane,) = translator.planes_for(bodies[name])
            (answers[name],) = member_answers([translator], bodies[name], plane)
        for members in wanted:
            body = bodies[members[0]]
            truth = Truth(
                case.patient, case.patient in split.validation, *truth_of(models[members[0]], mr, ct, mask, body)
            )
            translators, of_members = [models[m] for m in members], [answers[m] for m in members]
            rng = np.random.default_rng([seed, number])
            drawn[members].append(draw_case(translators, of_members, body, truth, plane=plane, rng=rng))
    return drawn


def finish(
    folder: Path,
    variants: Sequence[Variant],
    members: Sequence[Translator],
    cases: Sequence[PairedCase],
    split: Split,
) -> None:
    """Measure on test patients and write everything of one bundle."""
    name = members[0].description.name
    record = Calibration(tuple(variants)).to_record()
    found = list(measure(members, record, cases, split))
    measured = {"with_companions": reliability_summary(found)}
    if len(variants) > 1:
        measured["alone"] = reliability_summary(list(measure(members[:1], record, cases, split)))
    record["measured"] = measured
    write_reliability_picture(
        found,
        folder / RELIABILITY_FILE,
        interval=INTERVAL,
        title=f"{name} on {measured['with_companions']['patients']} held-out patients",
    )
    description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8")) | {"calibration": record}
    BundleDescription.model_validate(description)
    card = (folder / CARD_FILE).read_text(encoding="utf-8")
    _write(folder / DESCRIPTION_FILE, json.dumps(description, indent=1, ensure_ascii=False) + "\n")
    _write(folder / CARD_FILE, with_section(card, CARD_TITLE, uncertainty_section(record), before="Use"))
    print(f"{name}: {json.dumps(measured, indent=1)}")


def measure(
    members: Sequence[Translator], record: dict, cases: Sequence[PairedCase], split: Split
) -> Iterator[CaseReliability]:
    """The test patients' cases, converted as a user would, without their masks, and scored inside their masks."""
    for case in cases:
        if case.patient in split.test:
            mr, ct, mask = read(case)
            uncertain = predict_uncertainty(mr, members, record)
            yield case_reliability(
                uncertain.sct.voxels,
                uncertain.half_width_hu.voxels,
                ct.voxels,
                mask.voxels,
                predicted_mae_hu=uncertain.predicted_mae_hu,
                patient=case.patient,
                centre=case.centre,
            )


def read(case: PairedCase) -> tuple[Volume, Volume, Volume]:
    ct, mask = read_volume(case.ct, quantity=Quantity.HU), read_volume(case.mask, quantity=Quantity.MASK)
    return read_volume(case.mr), ct, mask


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="*", help="folders; default: all shipped ones")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--companions", nargs="*", default=COMPANIONS, help="shipped models that also answer")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
