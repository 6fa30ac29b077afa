"""Claim: with the same patients, device and minutes, our families beat the same families as they are usually written.

    python benchmarks/side_by_side.py --data ../shared/data/brain-slices --store stores/brain \
        --split stores/brain/split.json --phantoms stores/phantom --minutes 60 --out runs/side_by_side

Trains a plain Pix2Pix, a plain CycleGAN and MONAI's AttentionUnet (`benchmarks/baselines`) and our three by their
recipes, from nothing; converts the validation patients (`--side test`: those of the final table) without their masks,
and compares by `mr2ct evaluate` inside the masks. Finished parts are skipped, so that the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from baselines import BASELINES
from baselines.pictures import Pair, slices_of
from baselines.timed_loop import convert, load, train
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
    THREE_FAMILIES,
    Setting,
    add_setting,
    machine,
    setting_of,
    train_family,
    write_json,
    write_results,
)

from mr2ct import Quantity, read_volume
from mr2ct.datasets.cases import find_synthrad
from mr2ct.datasets.splits import Split, read_split
from mr2ct.errors import Mr2ctError
from mr2ct.volume import Volume

RIVALS = {"pix2pix": "plain-pix2pix", "cyclegan": "plain-cyclegan", "attention-unet": "monai-attention-unet"}
COMPARED = ("mae_hu", "bone_mae_hu", "bone_dice", "ms_ssim")
SEED = 2026


def main(words: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(words)
    setting, split = setting_of(given), read_split(given.split)
    print(machine(), flush=True)
    trained = train_baselines(given.out, given.data, split, setting)
    for family in THREE_FAMILIES:
        trained[family] = train_family(family, given.out / family, setting=setting, split=given.split)
    cases = cases_of(given.data, getattr(split, given.side), of_each_centre=given.patients)
    # each family beside its rival
    models = [model for pair in RIVALS.items() for model in pair]
    folders = {model: given.out / f"sct-{given.side}" / model for model in models}
    for model, folder in folders.items():
        is_ours = model in RIVALS
        ours = translator(given.out / model / "bundle", setting.device)
        convert_cases(cases, folder, load=ours if is_ours else plain(given.out / model, setting))
    report = given.out / f"report-{given.side}"
    evaluate(folders, cases, data=given.data, out=report)
    rows = read_rows(report, models)
    write_results(given.out, table(rows, trained, given.side, setting), record(rows, trained, given, setting))


def train_baselines(out: Path, data: Path, split: Split, setting: Setting) -> dict[str, dict[str, Any]]:
    """Train each baseline unless that is done; how it went, by name."""
    records: dict[str, dict[str, Any]] = {}
    pairs: list[Pair] = []
    for name, kind in BASELINES.items():
        finished = out / name / "training.json"
        if not finished.exists():
            pairs = pairs or training_pairs(data, split)
            print(f"\n{name}: {setting.minutes:g} minutes, {len(pairs)} slices", flush=True)
            # before the network is made: its first weights are drawn
            torch.manual_seed(SEED)
            model = kind(width=max(2, 64 // setting.shrink))
            checkpoint = out / name / "model.pt"
            how = train(model, pairs, minutes=setting.minutes, checkpoint=checkpoint, device=setting.device, seed=SEED)
            parameters = sum(p.numel() for p in translating(model).parameters())
            write_json(finished, {"minutes_given": setting.minutes, **how, "parameters": parameters})
        records[name] = json.loads(finished.read_text(encoding="utf-8"))
        if records[name]["minutes_given"] != setting.minutes:
            raise SystemExit(f"{finished} is of {records[name]['minutes_given']:g} minutes: name another --out")
    return records


def translating(model: Any) -> torch.nn.Module:
    """The one network of a baseline that turns MR into CT."""
    return next(getattr(model, name) for name in ("generator", "to_ct", "network") if hasattr(model, name))


def training_pairs(data: Path, split: Split) -> list[Pair]:
    """Every slice of the training patients, as the files hold it."""
    found = []
    for case in find_synthrad(data):
        if case.patient in set(split.train):
            mr, ct = read_volume(case.mr), read_volume(case.ct, quantity=Quantity.HU)
            slices = (slices_of(volume.voxels, volume.geometry.affine) for volume in (mr, ct))
            found += [Pair(case.patient, *both) for both in zip(*slices, strict=True)]
    return found


def plain(folder: Path, setting: Setting) -> Callable[[], Callable[[Volume], Volume]]:
    """For `convert_cases`: a trained baseline."""

    def begin() -> Callable[[Volume], Volume]:
        torch.manual_seed(SEED)
        model = load(BASELINES[folder.name](width=max(2, 64 // setting.shrink)), folder / "model.pt")

        def turn(mr: Volume) -> Volume:
            hu = convert(model, mr.voxels, mr.geometry.affine, device=setting.device)
            return Volume(hu, mr.geometry, Quantity.HU)

        return turn

    return begin


def table(rows: dict[str, list[Row]], trained: dict[str, Any], side: str, setting: Setting) -> list[str]:
    """The Markdown of the comparison."""
    n_patients = len({row["patient"] for own in rows.values() for row in own})
    notes = {
        "steps": [str(trained[model]["steps"]) for model in rows],
        "parameters (million)": [f"{trained[model]['parameters'] / 1e6:.2f}" for model in rows],
    }
    against = [
        [f"{ours} − {other}", *(_apart(rows[ours], rows[other], key) for key in COMPARED)]
        for ours, other in RIVALS.items()
    ]
    heads = ["", "MAE (HU)", "MAE in bone (HU)", "bone Dice", "MS-SSIM"]
    return [
        f"{setting.minutes:g} minutes of training each, on {machine()}.",
        f"Mean over the cases of {n_patients} {side} patients, inside the masks; in brackets the 95 % interval, "
        "patients resampled.",
        "",
        *figures_table(rows, notes),
        "",
        "Ours minus its rival, with the 95 % interval and Wilcoxon's p, both by patient:",
        "",
        *markdown_table(heads, against),
        "",
        *(f"- `{name}`: {'; '.join(kind.quirks)}." for name, kind in BASELINES.items()),
    ]


def _apart(ours: list[Row], other: list[Row], key: str) -> str:
    found = difference(ours, other, key)
    decimals = 1 if key.endswith("hu") else 3
    numbers = [f"{value:+.{decimals}f}".replace("-", "−") for value in (found.mean, found.low, found.high)]
    return f"{numbers[0]} ({numbers[1]} to {numbers[2]}), p {p_words(found.p)}"


def record(
    rows: dict[str, list[Row]], trained: dict[str, Any], given: argparse.Namespace, setting: Setting
) -> dict[str, Any]:
    """The same for machines."""
    return {
        "machine": machine(),
        "minutes": setting.minutes,
        "device": setting.device,
        "side": given.side,
        "figures": as_json(rows),
        "training": trained,
        "differences": {
            f"{ours} - {other}": {key: vars(difference(rows[ours], rows[other], key)) for key in COMPARED}
            for ours, other in RIVALS.items()
        },
        "quirks": {name: list(kind.quirks) for name, kind in BASELINES.items()},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting(parser)
    return parser


if __name__ == "__main__":
    try:
        main()
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
