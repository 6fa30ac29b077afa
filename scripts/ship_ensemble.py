"""Score an ensemble on held-out patients as scripts/ship_bundle.py scores a bundle, and write its card and picture.

    python scripts/ship_ensemble.py --data DATA --split stores/brain/split.json [src/mr2ct/bundles/shipped/best]

The ensemble's folder gets evaluation.json, failures.png and MODEL_CARD.md; what people are told in words comes from
scripts/cards/<name>.yaml. Run it after scripts/ship_bundle.py and before scripts/calibrate.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from ship_bundle import SHIPPED, convert, record_of, score, words_of, work_folder

from mr2ct.bundles import EnsembleBundle, find_model
from mr2ct.bundles.bundle import CARD_FILE
from mr2ct.bundles.card import FAILURES_FILE, with_section
from mr2ct.bundles.ensemble_card import fill_ensemble_card
from mr2ct.bundles.ensemble_score import SCORE_FILE, EnsembleScore
from mr2ct.bundles.provenance import this_step, with_short_paths
from mr2ct.datasets.splits import read_split
from mr2ct.evaluation.failure_sheet import write_failure_sheet
from mr2ct.evaluation.held_out_record import planes_of, worst_cases
from mr2ct.io.atomic import atomic_folder
from mr2ct.trust.uncertainty_card import CARD_TITLE, uncertainty_section


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    split = read_split(given.split)
    ensemble = find_model(given.ensemble.resolve())
    if not isinstance(ensemble, EnsembleBundle):
        raise SystemExit(f"{given.ensemble} is one model: scripts/ship_bundle.py scores those")
    with work_folder(given.keep) as work:
        convert(ensemble, given.data, split.test, work / "sct")
        evaluations = score(ensemble.name, given.data, split.test, work / "sct", jobs=given.jobs)
        said = words_of(ensemble.name, given.words)
        record = record_of(evaluations, split, "test", caveat=said.get("caveat", ""), seed=given.seed)
        described = [member.description for member in ensemble.members]
        worst = worst_cases(evaluations[0].cases, planes_of(evaluations[0].cases))
        step = this_step()
        scored = EnsembleScore(
            members=tuple((member.name, member.weights_sha256) for member in described),
            evaluation=record,
            scoring=(step.model_copy(update={"command": with_short_paths(step.command)}),),
            failures=said.get("failures", ()),
            citations=said.get("citations", ()),
        )
        with atomic_folder(given.ensemble, replace=True) as unfinished:
            for file in given.ensemble.iterdir():
                (unfinished / file.name).write_bytes(file.read_bytes())
            (unfinished / SCORE_FILE).write_text(scored.model_dump_json(indent=1) + "\n", encoding="utf-8")
            card = fill_ensemble_card(ensemble.name, described, scored, pictured=True)
            if ensemble.calibration is not None:
                card = with_section(card, CARD_TITLE, uncertainty_section(ensemble.calibration), before="Use")
            (unfinished / CARD_FILE).write_text(card, encoding="utf-8")
            write_failure_sheet(unfinished / FAILURES_FILE, [case for case, _ in worst])
    print(f"written to {given.ensemble}; scripts/calibrate.py adds how sure it is")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ensemble", type=Path, nargs="?", default=SHIPPED / "best", help="a folder with ensemble.json")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--words", type=Path, help="YAML; scripts/cards/<name>.yaml by default")
    parser.add_argument("--keep", type=Path, help="keep the sCTs here, and take those that are there")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
