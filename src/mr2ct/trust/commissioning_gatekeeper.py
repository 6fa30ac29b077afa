"""Does the input check speak up at this site? The site's own cases, broken on purpose, have to be noticed.

Copies are made of cases that pass as they are: whatever is then said of a copy is said of the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator

from mr2ct.bundles.description import BundleDescription
from mr2ct.datasets.case_images import Reading, read_paired
from mr2ct.datasets.cases import PairedCase
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.orientation import to_canonical
from mr2ct.trust.faults import FAULTS, made_wrong
from mr2ct.trust.input_check import check_input
from mr2ct.trust.verdict import Verdict
from mr2ct.volume import Volume

Breaking = Callable[[Volume, Volume, Generator], Volume | None]


def _faulty(mr: Volume, ct: Volume, generator: Generator, *, kind: str) -> Volume:
    return made_wrong(mr, np.asarray(body_mask(mr).voxels != 0), kind, generator)


def _turned_round(mr: Volume, ct: Volume, generator: Generator, *, axis: int) -> Volume | None:
    """The image mirrored along an axis while the header stays; None where the volume is one voxel thick there."""
    if mr.geometry.shape[axis] == 1:
        return None
    return mr.with_voxels(np.ascontiguousarray(np.flip(mr.voxels, axis)))


def _the_ct(mr: Volume, ct: Volume, generator: Generator) -> Volume:
    return mr.with_voxels(ct.voxels.astype(np.float32))


BREAKINGS: dict[str, Breaking] = {
    **{kind: partial(_faulty, kind=kind) for kind in FAULTS},
    "upside-down": partial(_turned_round, axis=2),
    "front to back": partial(_turned_round, axis=1),
    "a CT": _the_ct,
}
"""How a canonical MR, with its CT, is broken: by kind. None where the case cannot be broken so."""


@dataclass(frozen=True)
class BrokenCopy:
    """A case, what was done to it, and what the check said."""

    case: str
    kind: str
    verdict: Verdict
    sentence: str = ""

    @property
    def caught(self) -> bool:
        """Whether a person would have been told."""
        return self.verdict is not Verdict.PASS


def check_broken_copies(
    cases: Sequence[PairedCase],
    description: BundleDescription,
    *,
    reading: Reading,
    per_kind: int = 2,
    report: Callable[[str], None] | None = None,
) -> tuple[BrokenCopy, ...]:
    """Break copies of `cases` in every way of `BREAKINGS`, `per_kind` each, and check them.

    Cases take turns, so that every kind meets other anatomy; strengths are drawn from a seed of the kind and the copy,
    so that the same cases give the same copies.

    Parameters
    ----------
    cases : sound ones, that the check lets pass. report : called with each kind when a copy of it was checked.

    Example
    -------
    >>> check_broken_copies([], description, reading=Reading())  # doctest: +SKIP
    ()
    """
    found = []
    for number, kind in enumerate(BREAKINGS):
        for copy in range(per_kind if cases else 0):
            start = number + copy * len(BREAKINGS)
            order = [cases[(start + n) % len(cases)] for n in range(len(cases))]
            seed = np.random.default_rng((number, copy))
            checked = _first_that_can_be_broken(order, kind, seed, description=description, reading=reading)
            if checked is not None:
                found.append(checked)
            if report is not None:
                report(kind)
    return tuple(found)


def _first_that_can_be_broken(
    cases: Sequence[PairedCase], kind: str, generator: Generator, *, description: BundleDescription, reading: Reading
) -> BrokenCopy | None:
    for case in cases:
        pair = read_paired(case, reading)
        broken = BREAKINGS[kind](to_canonical(pair.mr), to_canonical(pair.ct), generator)
        if broken is not None:
            said = check_input(broken, description)
            return BrokenCopy(case.case, kind, said.verdict, said.findings[0].sentence if said.findings else "")
    return None
