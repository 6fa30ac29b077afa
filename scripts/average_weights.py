"""The mean of the weights of two or more runs that went on from one another, as a bundle to ship.

    python scripts/average_weights.py runs/one runs/other --out runs/mean

Runs that ended in the same valley of the loss give a mean that is as good as they are or better (Wortsman 2022,
arXiv:2203.05482); others do not, so score it on the validation patients before you believe it. Written to --out: the
bundle, as `scripts/ship_bundle.py` takes it, and the command in `commands.jsonl`. The name, the figures of training and
all else that the description says are those of the last run. Buffers, the statistics of batch norm, are averaged too.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mr2ct.bundles import load_bundle, load_network, write_bundle
from mr2ct.bundles.provenance import record_step, this_step
from mr2ct.errors import Mr2ctError
from mr2ct.io.atomic import atomic_folder


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
    """Write the mean of the runs' bundles to `out`. Raises BundleError where one is no bundle."""
    bundles = [load_bundle(run / "bundle") for run in runs]
    networks = {(bundle.description.network.name, str(bundle.description.network.arguments)) for bundle in bundles}
    if len(networks) > 1:
        raise SystemExit(f"the runs have different networks: {'; '.join(sorted(map(' '.join, networks)))}")
    mean = mean_weights([load_network(bundle).state_dict() for bundle in bundles])
    with atomic_folder(out) as unfinished:
        write_bundle(unfinished / "bundle", state=mean, description=bundles[-1].description, card=bundles[-1].card)
        record_step(unfinished, this_step("CPU"))


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
