"""What a store of new labels begins with: validation pairs as they were, and a split without test patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mr2ct.datasets.relabelling import begin_relabelled_store
from mr2ct.datasets.splits import Split, read_split
from mr2ct.datasets.store import CaseStore, create_store, write_case


def test_validation_pairs_are_copied_and_nothing_else(tmp_path: Path, tiny_info):
    create_store(tmp_path / "old", settings={"pipeline": 1})
    rng = np.random.default_rng(1)
    for case, patient, has in (
        ("a", "a", "mr ct"),
        ("b-pair", "b", "mr ct"),
        ("b-mr", "b", "mr"),
        ("c", "c", "ct"),
        ("d", "d", "mr ct"),
    ):
        images = {name: rng.integers(0, 2, (2, 3, 4)) for name in has.split()}
        write_case(tmp_path / "old", info=tiny_info(case, patient=patient), mask=np.ones((2, 3, 4)), **images)
    old, split = CaseStore.open(tmp_path / "old"), Split(("a", "e"), ("b", "c"), ("d",), seed=3)
    begin_relabelled_store(tmp_path / "new", of=old, split=split, train=["a"])
    new = CaseStore.open(tmp_path / "new")
    assert new.settings == {"pipeline": 1}
    assert read_split(tmp_path / "new" / "split.json") == Split(("a",), ("b", "c"), (), seed=3)
    (copy,) = new.cases
    (original,) = (case for case in old.cases if case.info.case == "b-pair")
    assert {path.name: path.read_bytes() for path in copy.folder.iterdir()} == {
        path.name: path.read_bytes() for path in original.folder.iterdir()
    }
