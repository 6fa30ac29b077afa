"""The mean of the weights of two or more runs that went on from one another, as a bundle to ship.

    python scripts/average_weights.py runs/one runs/other --out runs/mean

Runs that ended in the same valley of the loss give a mean that is as good as they are or better (Wortsman 2022,
arXiv:2203.05482); others do not, so score it on the validation patients before you believe it. A run that is named
three times counts three times. Written to --out: the bundle, as `scripts/ship_bundle.py` takes it, and the command in
`commands.jsonl`. What the description says is what it says of the last run, without figures, their provenance,
calibration and levels of bone (`scripts/learn_bone_levels.py` asks the mean): of the mean nothing has been measured.
Buffers, the statistics of batch norm, are averaged too.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mr2ct.bundles import Bundle, load_bundle, load_network, write_bundle
from mr2ct.bundles.card import fill_card
from mr2ct.bundles.provenance import record_step, this_step
from mr2ct.errors import BundleError, Mr2ctError
from mr2ct.io.atomic import atomic_folder

SHARED = ("network", "hu_range", "preprocessing", "planes", "context_slices", "spacing_mm")
"""Keys of bundle.json in which the runs must agree: what their weights were learnt for."""
UNMEASURED = {"metrics": {}, "evaluation": None, "calibration": None, "bone_levels": None}


def main(words: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(words)
    if len(arguments.runs) < 2:
        raise SystemExit(f"a mean needs two runs or more, not {len(arguments.runs)}")
    try:
        average(arguments.runs, arguments.out)
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"written to {arguments.out / 'bundle'}")


def average(runs: Sequence[Path], out: Path) -> None:
    """Write the mean of the runs' bundles to `out`. Raises BundleError where one is no bundle, or unlike the first."""
    bundles = [load_bundle(run / "bundle") for run in runs]
    for bundle in bundles[1:]:
        require_alike(bundles[0], bundle)
    mean = mean_weights([load_network(bundle).state_dict() for bundle in bundles])
    last = bundles[-1].description
    origin = last.provenance and last.provenance.model_copy(update={"scoring": ()})
    described = last.model_copy(update={**UNMEASURED, "provenance": origin})
    with atomic_folder(out) as unfinished:
        write_bundle(unfinished / "bundle", state=mean, description=described, card=fill_card(described))
        record_step(unfinished, this_step("CPU"))


def require_alike(first: Bundle, other: Bundle) -> None:
    """Raise BundleError, naming the keys, where two bundles' weights were learnt for different things."""
    differing = [key for key in SHARED if getattr(first.description, key) != getattr(other.description, key)]
    if differing:
        raise BundleError(
            "the runs do not fit together",
            got=f"{other.folder} has another {' and another '.join(differing)} than {first.folder}",
            expected=f"runs alike in {', '.join(SHARED)}",
            remedy="leave it out, or take its mean with runs of its own kind",
        )


def mean_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor; of whole numbers, such as counts of batches, the last.

    Example
    -------
    >>> mean_weights([{"a": torch.zeros(1)}, {"a": torch.ones(1)}])
    {'a': tensor([0.5000])}
    """
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if last.is_floating_point() else last.clone()
        for name, last in states[-1].items()
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of mr2ct train, in order")
    parser.add_argument("--out", type=Path, required=True, help="folder that does not exist yet")
    return parser


if __name__ == "__main__":
    main()
