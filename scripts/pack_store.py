"""Pack prepared stores into few files of under 15 MB for a machine that trains, and unpack them there.

    python scripts/pack_store.py pack stores/brain packed            # its training and validation patients
    python scripts/pack_store.py pack stores/phantom packed --slices 3 --volumes 30
    python scripts/pack_store.py unpack packed/brain stores/brain    # needs no reader of images

`packed/brain.1of2.npz` ... hold the settings of the store and its split. What is packed comes out bit for bit. Volumes
are large: --slices cuts so many slices of each plane from each of them, at random heights in the head, as cases of
their own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from mr2ct.datasets.packing import pack_store, slices_of, unpack_store, whole_cases
from mr2ct.datasets.splits import read_split
from mr2ct.datasets.store import CaseStore, StoredCase
from mr2ct.errors import Mr2ctError
from mr2ct.geometry import PLANE_AXIS


def main() -> None:
    given = _parser().parse_args()
    try:
        if given.verb == "unpack":
            print(f"{given.store}: {unpack_store(given.packed, given.store)} cases")
        else:
            _pack(given)
    except Mr2ctError as error:
        sys.exit(f"error: {error}")


def _pack(given: argparse.Namespace) -> None:
    split = given.store / "split.json"
    cases = list(CaseStore.open(given.store).cases)
    if split.exists() and not given.with_test:
        held_out = set(read_split(split).test)
        cases = [case for case in cases if case.info.patient not in held_out]
    cases = _spread(cases, given.volumes)
    packed = (
        whole_cases(cases)
        if given.slices is None
        else slices_of(cases, count=given.slices, planes=given.planes, seed=given.seed)
    )
    text = split.read_text(encoding="utf-8") if split.exists() else None
    parts = pack_store(given.store, given.folder / given.store.name, cases=packed, split=text)
    for part in parts:
        print(f"{part}  {part.stat().st_size / 1e6:.1f} MB")


def _spread(cases: list[StoredCase], most: int | None) -> list[StoredCase]:
    if most is None or most >= len(cases):
        return cases
    return [cases[int(n)] for n in np.linspace(0, len(cases) - 1, most)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    pack = verbs.add_parser("pack", help="a store into parts")
    pack.add_argument("store", type=Path)
    pack.add_argument("folder", type=Path, help="gets the parts, named after the store")
    pack.add_argument("--slices", type=int, help="so many slices of each plane of each volume, not the volume")
    pack.add_argument("--planes", nargs="+", choices=list(PLANE_AXIS), default=list(PLANE_AXIS))
    pack.add_argument("--volumes", type=int, help="at most so many cases, spread over the store")
    pack.add_argument("--seed", type=int, default=0, help="of the slices' heights")
    pack.add_argument("--with-test", action="store_true", help="the split's test patients too")
    unpack = verbs.add_parser("unpack", help="parts into a store")
    unpack.add_argument("packed", type=Path, help="the parts' name without .1of2.npz")
    unpack.add_argument("store", type=Path)
    return parser


if __name__ == "__main__":
    main()
