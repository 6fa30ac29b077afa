"""Small cases to evaluate: a head of a few voxels, written as people keep them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mr2ct.evaluation.pairing import Sources, find_pairs
from mr2ct.evaluation.scoring import Evaluation, ScoringOptions, score_pairs
from mr2ct.geometry import Geometry
from mr2ct.io import write_volume
from mr2ct.volume import Quantity, Volume

SHAPE = (16, 18, 12)
GEOMETRY = Geometry(SHAPE, np.diag([3.0, 3.0, 4.0, 1.0]))
RADIUS = np.sqrt(sum(axis**2 for axis in np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")))
HU = np.select([RADIUS < 0.6, RADIUS < 0.8, RADIUS < 0.95], [40, 1100, 20], default=-1000).astype(np.int16)


@pytest.fixture(scope="session")
def head_ct() -> Volume:
    """Air, a shell of bone, soft tissue inside and outside it; 16 x 18 x 12 voxels of 3 x 3 x 4 mm."""
    return Volume(HU, GEOMETRY, Quantity.HU)


@pytest.fixture(scope="session")
def head_mask() -> Volume:
    """A mask a little larger than the head."""
    return Volume((RADIUS < 0.98).astype(np.uint8), GEOMETRY, Quantity.MASK)


@pytest.fixture(scope="session")
def write_truth(head_ct: Volume, head_mask: Volume) -> Callable[..., Path]:
    """Write `root/<case>/{mr,ct,mask}.nii.gz`, as SynthRAD has it."""

    def write(root: Path, cases: list[str]) -> Path:
        mr = Volume((HU + 1100).astype(np.float32), GEOMETRY, Quantity.MR)
        for case in cases:
            for name, volume in (("mr", mr), ("ct", head_ct), ("mask", head_mask)):
                write_volume(volume, root / case / f"{name}.nii.gz")
        return root

    return write


@pytest.fixture(scope="session")
def write_converted() -> Callable[..., Path]:
    """Write `root/<case>/mr_sct.nii.gz`, as `mr2ct convert` leaves them; each case worse than the one before."""

    def write(root: Path, cases: list[str], *, error_hu: float = 30.0) -> Path:
        for number, case in enumerate(cases):
            noise = np.random.default_rng(number).normal(0, error_hu * (1 + 0.5 * number), SHAPE)
            sct = Volume((HU + noise).astype(np.float32), GEOMETRY, Quantity.HU)
            write_volume(sct, root / case / "mr_sct.nii.gz")
        return root

    return write


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory, write_truth, write_converted) -> Evaluation:
    """Six cases of three patients from two centres by synthrad2023; the sCTs grow worse from case to case."""
    root = tmp_path_factory.mktemp("scored")
    cases = [f"1B{patient}-{plane}" for patient in ("A001", "A002", "B001") for plane in ("x", "y")]
    sources = Sources(write_converted(root / "out", cases), write_truth(root / "truth", cases))
    done, failed = score_pairs(find_pairs(sources).pairs, ScoringOptions("synthrad2023"))
    return Evaluation("first", "synthrad2023", done, failed)
