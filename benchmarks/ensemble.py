"""What do more models and left-right flips give? MAE by tissue and bone Dice of each model, of flips, of their means.

    python benchmarks/ensemble.py --data DATA --split stores/brain/split.json [--side test] [MODEL ...]

Without MODEL (a shipped name or a bundle folder): the members of `mr2ct convert --best`. Every case is converted as a
user would, without its mask, and scored inside it. Rows: each model as it is and with flips (the mean of the plain and
the mirrored view), then the mean and the median of all answers of each set of models, with flips. Differences are to
the first row, by patient; the interval resamples patients. Choose members on the validation patients, the default.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from mr2ct import Quantity, __version__, read_volume
from mr2ct.bundles import BEST, EnsembleBundle, find_bundle, find_model
from mr2ct.datasets.cases import PairedCase, find_synthrad
from mr2ct.datasets.splits import read_split
from mr2ct.evaluation.geometric_metrics import dice
from mr2ct.evaluation.statistics import bootstrap_ci
from mr2ct.evaluation.tissue_metrics import DEFAULT_THRESHOLDS, hu_error_by_tissue
from mr2ct.inference import Translator
from mr2ct.inference.planes import fuse
from mr2ct.inference.views import FLIPS, PLAIN, view_answer
from mr2ct.volume import Volume

FIGURES = ("MAE", "soft", "bone", "air", "Dice")


def main() -> None:
    given = _parser().parse_args()
    models = load(given.models)
    cpu = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    print(f"mr2ct {__version__}, torch {torch.__version__}; {cpu}")
    for name, translator in models.items():
        print(f"{name}: {translator.description.name}, weights {translator.description.weights_sha256[:12]}")
    wanted = set(getattr(read_split(given.split), given.side))
    cases = [case for case in find_synthrad(given.data) if case.patient in wanted]
    figures: dict[str, list[list[float]]] = defaultdict(list)
    for case in cases:
        for row, values in score(case, models):
            figures[row].append(values)
    patients = [case.patient for case in cases]
    print(f"{len(cases)} cases of {len(set(patients))} {given.side} patients; HU, bone Dice; differences in MAE\n")
    print_table({row: np.array(values) for row, values in figures.items()}, patients)


def load(names: Sequence[str]) -> dict[str, Translator]:
    """Translators by a name for the table: that of the model, or the folder that was given; members of BEST without."""
    if not names:
        best = find_model(BEST)
        assert isinstance(best, EnsembleBundle)
        return {member.folder.name: Translator.from_bundle(member) for member in best.members}
    return {name: Translator.from_bundle(find_bundle(name)) for name in names}


def score(case: PairedCase, models: Mapping[str, Translator]) -> Iterator[tuple[str, list[float]]]:
    """Row by row, the figures of one case."""
    mr, ct = read_volume(case.mr), read_volume(case.ct, quantity=Quantity.HU)
    mask = read_volume(case.mask, quantity=Quantity.MASK)
    lead = next(iter(models.values()))
    body = lead.prepare(mr)
    (plane,) = lead.planes_for(body)
    answers = {
        (name, view): view_answer(model, body, plane, view=view) for name, model in models.items() for view in FLIPS
    }
    for row, keys, method in rows(list(models)):
        sct = lead.compose([fuse([answers[key] for key in keys], method=method)], body)
        yield row, figures_of(sct, ct, mask)


def rows(names: Sequence[str]) -> Iterator[tuple[str, list[tuple[str, str]], str]]:
    """Name, answers, and how they are fused, of every row."""
    for views, words in ((PLAIN, ""), (FLIPS, " + flips")):
        for name in names:
            yield f"{name}{words}", [(name, view) for view in views], "mean"
    for size in range(2, len(names) + 1):
        for some in combinations(names, size):
            together = " + ".join(some)
            yield f"{together}, mean", [(name, view) for name in some for view in PLAIN], "mean"
            for method in ("mean", "median"):
                yield f"{together}, {method} + flips", [(name, view) for name in some for view in FLIPS], method


def figures_of(sct: Volume, ct: Volume, mask: Volume) -> list[float]:
    """`FIGURES` of one case; NaN where it has none."""
    errors = hu_error_by_tissue(sct.voxels, ct.voxels, mask.voxels)
    maes = [errors[key].mae_hu if key in errors else np.nan for key in ("all", "soft tissue", "bone", "air")]
    inside, above = mask.voxels != 0, DEFAULT_THRESHOLDS.bone_above
    return [*maes, dice((sct.voxels > above) & inside, (ct.voxels > above) & inside)]


def print_table(figures: Mapping[str, np.ndarray], patients: Sequence[str]) -> None:
    width = max(map(len, figures))
    print(f"| {'':{width}} | {' | '.join(f'{name:>6}' for name in FIGURES)} | difference (95 % interval) |")
    print(f"|{'---|' * (len(FIGURES) + 2)}")
    first = next(iter(figures.values()))
    for row, values in figures.items():
        difference = values[:, 0] - first[:, 0]
        low, high = bootstrap_ci(difference, patients, seed=0)
        *maes, bone_dice = np.nanmean(values, axis=0)
        means = " | ".join([*(f"{mae_hu:6.1f}" for mae_hu in maes), f"{bone_dice:6.3f}"])
        print(f"| {row:{width}} | {means} | {difference.mean():+5.2f} ({low:+.2f} to {high:+.2f}) |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names or folders; default: the members of --best")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--side", choices=("validation", "test"), default="validation")
    return parser


if __name__ == "__main__":
    main()
