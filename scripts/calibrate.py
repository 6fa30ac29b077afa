"""Calibrate the uncertainty of bundles and measure it on held-out patients; to be run again after each training.

    python scripts/calibrate.py --data DATA --split stores/brain/split.json

DATA is in SynthRAD layout (single slices), the split that of the training. Without folders, all shipped bundles and
ensembles are calibrated: each bundle alone, by its answers to the head and its mirror image (with --companions, also by
what other models answer); an ensemble (such as src/mr2ct/bundles/shipped/best) as the mean of its members. Training and
validation patients are learnt from; test patients only measure, at the end, by the function that users call. Written:
`calibration` in bundle.json (of an ensemble calibration.json), the section "How sure it is" of MODEL_CARD.md, and the
picture in it, reliability.png. A model that was trained without flips is refused: its mirror image says nothing.
Other keys stay as they are.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from mr2ct import Quantity, read_volume
from mr2ct.bundles import EnsembleBundle, find_bundle, find_model
from mr2ct.bundles.bundle import CARD_FILE, DESCRIPTION_FILE
from mr2ct.bundles.card import FAILURES_FILE, with_section
from mr2ct.bundles.description import BundleDescription
from mr2ct.bundles.ensemble import CALIBRATION_FILE, ENSEMBLE_FILE
from mr2ct.bundles.ensemble_card import fill_ensemble_card
from mr2ct.datasets.cases import PairedCase, find_synthrad
from mr2ct.datasets.splits import Split, read_split
from mr2ct.inference import Translator
from mr2ct.io.atomic import atomic_file
from mr2ct.trust.calibration import INTERVAL, MEAN, OWN, Calibration
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
SCORE_TITLE = "On held-out patients"


@dataclass(frozen=True)
class Subject:
    """What is calibrated: a bundle or an ensemble, the sets of models whose answers are asked, and whose sCT it is."""

    name: str
    folder: Path
    sets: tuple[tuple[str, ...], ...]
    sct: str


def main() -> None:
    arguments = _parser().parse_args()
    folders = arguments.bundles or sorted(
        path.parent for file in (DESCRIPTION_FILE, ENSEMBLE_FILE) for path in SHIPPED.glob(f"*/{file}")
    )
    models: dict[str, Translator] = {}
    subjects = [subject_of(folder, arguments.companions, models) for folder in folders]
    cases, split = find_synthrad(arguments.data), read_split(arguments.split)
    drawn = draw(cases, split, models, subjects, seed=arguments.seed)
    for subject in subjects:
        variants = [
            fit_variant([models[m] for m in members], drawn[members, subject.sct], seed=arguments.seed)
            for members in subject.sets
        ]
        finish(subject, Calibration(tuple(variants), sct=subject.sct), models, cases, split)


def subject_of(folder: Path, companions: Sequence[str], models: dict[str, Translator]) -> Subject:
    """The bundle or ensemble in `folder`; the models it asks are added to `models`."""
    # a folder, not the shipped name that it may also be
    found = find_model(folder.resolve())
    if isinstance(found, EnsembleBundle):
        for member in found.members:
            models.setdefault(member.description.name, Translator.from_bundle(member))
        return Subject(found.name, folder, (tuple(member.description.name for member in found.members),), MEAN)
    name = found.description.name
    own = models[name] = Translator.from_bundle(found)
    for companion in companions:
        if companion not in models:
            models[companion] = Translator.from_bundle(find_bundle(companion))
    joining = [c for c in companions if c != name and _prepares_alike(models[c], own)]
    return Subject(name, folder, ((name, *joining), (name,)) if joining else ((name,),), OWN)


def _prepares_alike(one: Translator, other: Translator) -> bool:
    return one.description.preprocessing == other.description.preprocessing


def draw(
    cases: Sequence[PairedCase],
    split: Split,
    models: dict[str, Translator],
    subjects: Sequence[Subject],
    *,
    seed: int,
) -> dict[tuple[tuple[str, ...], str], list[DrawnCase]]:
    """Voxels of training and validation patients for every set of models; each model answers once a case."""
    wanted = sorted({(members, subject.sct) for subject in subjects for members in subject.sets})
    drawn: dict[tuple[tuple[str, ...], str], list[DrawnCase]] = defaultdict(list)
    for number, case in enumerate(cases):
        if case.patient not in (*split.train, *split.validation):
            continue
        mr, ct, mask = read(case)
        answers, bodies = {}, {}
        for name, translator in models.items():
            bodies[name] = translator.prepare(mr)
            (plane,) = translator.planes_for(bodies[name])
            (answers[name],) = member_answers([translator], bodies[name], plane)
        for members, sct in wanted:
            body = bodies[members[0]]
            truth = Truth(
                case.patient, case.patient in split.validation, *truth_of(models[members[0]], mr, ct, mask, body)
            )
            translators, of_members = [models[m] for m in members], [answers[m] for m in members]
            rng = np.random.default_rng([seed, number])
            drawn[members, sct].append(draw_case(translators, of_members, body, truth, plane=plane, rng=rng, sct=sct))
    return drawn


def finish(
    subject: Subject,
    calibration: Calibration,
    models: dict[str, Translator],
    cases: Sequence[PairedCase],
    split: Split,
) -> None:
    """Measure on test patients and write everything of one bundle or ensemble."""
    members = [models[m] for m in subject.sets[0]]
    record = calibration.to_record()
    found = list(measure(members, record, cases, split))
    measured: dict[str, Any] = {"with_companions": reliability_summary(found)}
    measured["mae_hu"] = round(fmean(case.true_mae_hu for case in found), 2)
    if len(subject.sets) > 1:
        measured["alone"] = reliability_summary(list(measure(members[:1], record, cases, split)))
    record["measured"] = measured
    write_reliability_picture(
        found,
        subject.folder / RELIABILITY_FILE,
        interval=INTERVAL,
        title=f"{subject.name} on {measured['with_companions']['patients']} held-out patients",
    )
    card_path = subject.folder / CARD_FILE
    if subject.sct == MEAN:
        found_again = find_model(subject.folder.resolve())
        scored = found_again.scored if isinstance(found_again, EnsembleBundle) else None
        pictured = (subject.folder / FAILURES_FILE).is_file()
        card = fill_ensemble_card(
            subject.name, [member.description for member in members], scored, pictured=pictured and scored is not None
        )
        if scored is None:
            card = with_section(card, SCORE_TITLE, in_words(measured), before="Use")
        _write(subject.folder / CALIBRATION_FILE, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    else:
        card = card_path.read_text(encoding="utf-8")
        described = json.loads((subject.folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        described |= {"calibration": record}
        BundleDescription.model_validate(described)
        _write(subject.folder / DESCRIPTION_FILE, json.dumps(described, indent=1, ensure_ascii=False) + "\n")
    _write(card_path, with_section(card, CARD_TITLE, uncertainty_section(record), before="Use"))
    print(f"{subject.name}: {json.dumps(measured, indent=1)}")


def in_words(measured: dict[str, Any]) -> str:
    """What the card of an ensemble says of its errors; those of a bundle are measured by scripts/ship_bundle.py."""
    counted = measured["with_companions"]
    return (
        f"MAE {measured['mae_hu']:.1f} HU inside the mask, mean over {counted['cases']} cases of {counted['patients']} "
        "patients whom training never saw, converted as a user would, without their masks."
    )


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
    parser.add_argument("bundles", type=Path, nargs="*", help="folders; default: all shipped bundles and ensembles")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--companions", nargs="*", default=(), help="shipped models that also answer")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
