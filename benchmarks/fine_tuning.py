"""Claim: a few pairs of a new centre, and minutes, take a good part of what a model loses there.

    python benchmarks/fine_tuning.py --data ../shared/data/brain-slices --store stores/brain \
        --split stores/brain/split.json --phantoms stores/phantom --minutes 60 --out runs/fine_tuning \
        --base runs/left_one_centre_out --draws 3

For each centre: the model that was trained without it (taken from `--base`, a folder of left_one_centre_out.py, or
trained here for `--minutes`) goes on with 2, 5, 10 and 20 training patients of the centre, drawn at random, and is
scored before and after on the centre's validation patients (`--side test`: those of the final table), of whom no model
has seen anything. Finished parts are skipped, so that the same command goes on.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from held_out import (
    Row,
    as_json,
    cases_of,
    convert_cases,
    difference,
    evaluate,
    markdown_table,
    mean_and_interval,
    p_words,
    read_rows,
    translator,
)
from left_one_centre_out import train_without, without
from timed_training import (
    FAMILIES,
    Setting,
    add_setting,
    add_training_steps,
    machine,
    setting_of,
    train_family,
    write_results,
)

from mr2ct.datasets.cases import find_synthrad, patients_with_centres
from mr2ct.datasets.splits import Split, leave_centre_out, read_split, write_split
from mr2ct.errors import DataSetError, Mr2ctError

BEFORE = "before"


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    setting, split = setting_of(given), read_split(given.split)
    print(machine(), flush=True)
    cases = cases_of(given.data, getattr(split, given.side), of_each_centre=given.patients)
    centres = given.centres or sorted({case.centre for case in cases})
    folders, trained = {}, {}
    for centre in centres:
        base = given.base or given.out
        train_without(given.family, centre, out=base, given=given, setting=setting)
        of_centre = [case for case in cases if case.centre == centre]
        bundles = {BEFORE: base / without(given.family, centre) / "bundle"}
        for pairs in given.pairs:
            for draw in range(given.draws):
                name = f"{pairs}-pairs-{draw + 1}"
                run = given.out / f"{given.family}-{centre}-{name}"
                trained[run.name] = fine_tune(
                    run, bundles[BEFORE], centre=centre, pairs=pairs, draw=draw, given=given, setting=setting
                )
                bundles[name] = run / "bundle"
        for name, bundle in bundles.items():
            # one folder a name for all centres: each of their patients by the model of the own centre
            folders[name] = given.out / f"sct-{given.side}" / f"{given.family}-{name}"
            convert_cases(of_centre, folders[name], load=translator(bundle, setting.device))
    scored = [case for case in cases if case.centre in centres]
    report = given.out / f"report-{given.side}"
    evaluate(folders, scored, data=given.data, out=report)
    rows = read_rows(report, list(folders))
    write_results(given.out, table(rows, trained, given), record(rows, trained, given))


def fine_tune(
    folder: Path,
    bundle: Path,
    *,
    centre: str,
    pairs: int,
    draw: int,
    given: argparse.Namespace,
    setting: Setting,
) -> dict[str, Any]:
    """Go on from a bundle with some training patients of a centre, all in the same few steps at a low rate."""
    split = read_split(given.split)
    centres = patients_with_centres(find_synthrad(given.data))
    drawn = few_of_centre(split, centres, centre, count=pairs, seed=draw)
    path = write_split(drawn, folder.parent / f"split-{centre}-{pairs}-pairs-{draw + 1}.json")
    overrides = [
        "method={name: supervised, gradient_weight: 0.3, outside_weight: 0.2}",
        f"data.batch_size={given.batch_size}",
        f"optimiser.learning_rate={given.learning_rate}",
        "optimiser.ema_decay=0.98",
    ]
    # the patients who validate the model without the centre: with one validation, at the end, they choose nothing
    at_the_end = [f"run.max_steps={given.steps}", f"run.validate_every={given.steps}", "run.validation_cases=6"]
    warm = [f"optimiser.warmup_steps={max(1, given.steps // 10)}"]
    return train_family(
        given.family,
        folder,
        setting=replace(setting, phantoms=None),
        split=path,
        init_from=bundle,
        overrides=[*overrides, *at_the_end, *warm],
        fitted=False,
    )


def few_of_centre(split: Split, centres: dict[str, str], centre: str, *, count: int, seed: int) -> Split:
    """A split that trains on `count` of the centre's training patients; its held-out patients stay held out.

    Of draws with the same seed, the larger holds the smaller.
    """
    own = [patient for patient in split.train if centres[patient] == centre]
    if count > len(own):
        raise DataSetError(f"centre {centre} has too few training patients", got=len(own), expected=f"{count} or more")
    random.Random(seed).shuffle(own)
    chosen = tuple(own[:count])
    others = leave_centre_out(split, centres, centre)
    rest = split.patients - set(chosen) - set(others.validation)
    return Split(chosen, others.validation, tuple(rest), seed)


def table(rows: dict[str, list[Row]], trained: dict[str, Any], given: argparse.Namespace) -> list[str]:
    """The Markdown: a row before, and a row for each number of pairs, over all draws and centres."""
    cells = [["0 (before)", _mae(rows[BEFORE]), "", "", ""]]
    for pairs in given.pairs:
        after, before = _over_draws(rows, pairs, given.draws)
        gain = difference(after, before)
        minutes = [own["minutes"] for name, own in trained.items() if f"-{pairs}-pairs-" in name]
        cells.append([str(pairs), _mae(after), gain.words, p_words(gain.p), f"{sum(minutes) / len(minutes):.1f}"])
    n_patients = len({row["patient"] for row in rows[BEFORE]})
    return [
        f"{given.family}, {given.steps} steps of {given.batch_size} at a rate of {given.learning_rate:g}, "
        f"{given.draws} draw(s) for each centre, on {machine()}.",
        f"Mean over the cases of {n_patients} {given.side} patients, each by the model for the own centre; in brackets "
        "the 95 % interval, patients resampled.",
        "",
        *markdown_table(["pairs", "MAE (HU)", "change (HU)", "p", "minutes"], cells),
    ]


def _over_draws(rows: dict[str, list[Row]], pairs: int, draws: int) -> tuple[list[Row], list[Row]]:
    """The cases of all draws, and those before for each of them, under names that tell the draws apart."""
    after, before = [], []
    for draw in range(draws):
        after += [{**row, "case": f"{row['case']}-{draw}"} for row in rows[f"{pairs}-pairs-{draw + 1}"]]
        before += [{**row, "case": f"{row['case']}-{draw}"} for row in rows[BEFORE]]
    return after, before


def _mae(rows: list[Row]) -> str:
    mean, low, high = mean_and_interval(rows, "mae_hu")
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


def record(rows: dict[str, list[Row]], trained: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """The same for machines, by draw and by centre."""
    centres = sorted({row["centre"] for row in rows[BEFORE]})
    by_centre = {
        centre: {
            name: mean_and_interval([row for row in own if row["centre"] == centre], "mae_hu")
            for name, own in rows.items()
        }
        for centre in centres
    }
    changes = {str(pairs): vars(difference(*_over_draws(rows, pairs, given.draws))) for pairs in given.pairs}
    settings = {key: getattr(given, key) for key in ("family", "side", "steps", "batch_size", "learning_rate", "draws")}
    return {
        "machine": machine(),
        **settings,
        "change_mae_hu": changes,
        "mae_hu_by_centre": by_centre,
        "figures": as_json(rows),
        "training": trained,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting(parser)
    add_training_steps(parser)
    parser.add_argument("--family", choices=list(FAMILIES), default="attention-unet")
    parser.add_argument("--base", type=Path, help="a folder of left_one_centre_out.py, of the same minutes")
    parser.add_argument("--centres", nargs="+", help="only these")
    parser.add_argument("--pairs", nargs="+", type=int, default=[2, 5, 10, 20], help="numbers of patients")
    parser.add_argument("--draws", type=int, default=1, help="how often patients are drawn")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    return parser


if __name__ == "__main__":
    try:
        main()
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
