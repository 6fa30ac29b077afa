"""Claim: a model does nearly as well on a centre it never saw as one that saw it (goal: within 10 HU).

    python benchmarks/left_one_centre_out.py --data ../shared/data/brain-slices --store stores/brain \
        --split stores/brain/split.json --phantoms stores/phantom --minutes 60 --out runs/left_one_centre_out

Trains each family once on all centres (the pooled model) and once without each, for the same minutes; converts the
validation patients (`--side test`: those of the final table) of each centre by the model that never saw it and by the
pooled one, and compares the two on the same patients. Finished parts are skipped, so that the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from held_out import (
    Row,
    as_json,
    cases_of,
    convert_cases,
    difference,
    evaluate,
    figures_table,
    markdown_table,
    p_words,
    read_rows,
    translator,
)
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
from mr2ct.datasets.splits import leave_centre_out, read_split, write_split
from mr2ct.errors import Mr2ctError

POOLED, LEFT_OUT = "pooled", "left-out"


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    setting, split = setting_of(given), read_split(given.split)
    print(machine(), flush=True)
    cases = cases_of(given.data, getattr(split, given.side), of_each_centre=given.patients)
    centres = given.centres or sorted({case.centre for case in cases})
    cases = [case for case in cases if case.centre in centres]
    trained, folders = {}, {}
    for family in given.families:
        pooled = (given.pooled or given.out) / (family if given.pooled else f"{family}-{POOLED}")
        trained[f"{family}-{POOLED}"] = train_family(family, pooled, setting=setting, split=given.split)
        scts = given.out / f"sct-{given.side}"
        folders[f"{family}-{POOLED}"] = scts / f"{family}-{POOLED}"
        convert_cases(cases, scts / f"{family}-{POOLED}", load=translator(pooled / "bundle", setting.device))
        folders[f"{family}-{LEFT_OUT}"] = scts / f"{family}-{LEFT_OUT}"
        for centre in centres:
            name = without(family, centre)
            trained[name] = train_without(family, centre, out=given.out, given=given, setting=setting)
            of_centre = [case for case in cases if case.centre == centre]
            convert_cases(
                of_centre, folders[f"{family}-{LEFT_OUT}"], load=translator(given.out / name / "bundle", setting.device)
            )
    report = given.out / f"report-{given.side}"
    evaluate(folders, cases, data=given.data, out=report)
    rows = read_rows(report, list(folders))
    losses = {family: losses_of(rows, family, centres) for family in given.families}
    write_results(given.out, table(rows, losses, given.side, setting), record(rows, losses, trained, given))


def without(family: str, centre: str) -> str:
    """What the run of a family without a centre is called."""
    return f"{family}-without-{centre}"


def train_without(
    family: str, centre: str, *, out: Path, given: argparse.Namespace, setting: Setting
) -> dict[str, Any]:
    """Train a family into `out`/<family>-without-<centre>, unless that is done."""
    folder = out / without(family, centre)
    centres = patients_with_centres(find_synthrad(given.data))
    split = write_split(
        leave_centre_out(read_split(given.split), centres, centre), out / f"split-without-{centre}.json"
    )
    return train_family(family, folder, setting=setting, split=split)


def losses_of(rows: dict[str, list[Row]], family: str, centres: Sequence[str]) -> dict[str, Any]:
    """MAE of the model that never saw the centre minus that of the pooled one: by centre, and over all."""
    unseen, pooled = rows[f"{family}-{LEFT_OUT}"], rows[f"{family}-{POOLED}"]
    by_centre = {centre: [row for row in unseen if row["centre"] == centre] for centre in centres}
    return {name: difference(own, pooled) for name, own in {**by_centre, "all": unseen}.items()}


def table(rows: dict[str, list[Row]], losses: dict[str, Any], side: str, setting: Setting) -> list[str]:
    """The Markdown of the comparison."""
    heads = ["loss of MAE (HU)", *(f"centre {c}" if c != "all" else "all" for c in next(iter(losses.values()))), "p"]
    cells = [
        [family, *(own.words for own in found.values()), p_words(found["all"].p)] for family, found in losses.items()
    ]
    return [
        f"{setting.length} of training each, on {machine()}.",
        f"The {side} patients, who train no model, are converted: those of a centre by the model that never saw it "
        "(left-out) and by the one that saw all centres (pooled).",
        "",
        "The first minus the second, with the 95 % interval, patients resampled; Wilcoxon's p over all patients:",
        "",
        *markdown_table(heads, cells),
        "",
        *figures_table(rows, {}),
    ]


def record(
    rows: dict[str, list[Row]], losses: dict[str, Any], trained: dict[str, Any], given: argparse.Namespace
) -> dict[str, Any]:
    """The same for machines."""
    return {
        "machine": machine(),
        "minutes": given.minutes,
        "side": given.side,
        "loss_mae_hu": {family: {name: vars(own) for name, own in found.items()} for family, found in losses.items()},
        "figures": as_json(rows),
        "training": trained,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting(parser)
    add_training_steps(parser)
    default = ["attention-unet", "pix2pix", "cyclegan"]
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=default)
    parser.add_argument("--centres", nargs="+", help="only these are left out, one after another")
    parser.add_argument("--pooled", type=Path, help="take the pooled models from this folder of a side_by_side run")
    return parser


if __name__ == "__main__":
    try:
        main()
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
