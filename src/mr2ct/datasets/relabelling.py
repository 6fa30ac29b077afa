"""A store whose training CT are made anew, from models or by moving them, while validation measures what it did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mr2ct.datasets.splits import Split, write_split
from mr2ct.datasets.store import CaseStore, create_store, write_case


def begin_relabelled_store(root: Path, *, of: CaseStore, split: Split, train: Iterable[str]) -> None:
    """Make the store `root` with the settings and the validation cases of another, for training cases to be added.

    Validation cases that lack MR or CT, with which nothing is measured, are left out; so are test patients.

    Parameters
    ----------
    of : the other store. split : its split. train : the training patients of the new one.

    Example
    -------
    >>> begin_relabelled_store(Path("stores/agreed"), of=store, split=split, train=["1BA001"])  # doctest: +SKIP
    """
    create_store(root, settings=of.settings)
    kept = Split(train=tuple(sorted(train)), validation=split.validation, test=(), seed=split.seed)
    write_split(kept, root / "split.json")
    for case in of.of_patients(split.validation):
        if case.has_mr and case.has_ct:
            write_case(root, info=case.info, mr=case.mr(), ct=case.ct(), mask=case.mask())
