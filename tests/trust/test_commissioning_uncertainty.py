"""Coverage of an interval, against a plain loop over voxels; and that what is judged is the sCT of routine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mr2ct.bundles import Bundle
from mr2ct.datasets.cases import PairedCase
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume, write_volume
from mr2ct.trust.calibration import Calibration
from mr2ct.trust.commissioning_case import CaseOptions, ModelUnderTest, commission_case
from mr2ct.trust.commissioning_uncertainty import coverage_figures
from mr2ct.trust.uncertainty import NOT_TILTED
from mr2ct.volume import Quantity, Volume

from .calibrations import variant

hu = arrays(np.int16, (4, 3, 2), elements=st.integers(-1024, 3000))


def tissue_of(value):
    return "air" if value < -250 else "bone" if value > 250 else "soft_tissue"


@given(hu, hu, arrays(np.int16, (4, 3, 2), elements=st.integers(0, 500)), arrays(bool, (4, 3, 2)))
def test_against_a_loop(sct, ct, half_width, inside):
    found = coverage_figures(sct, half_width, ct, inside, promised=0.9)
    held: dict[str, list[bool]] = {}
    for voxel in np.ndindex(ct.shape):
        if inside[voxel]:
            holds = abs(int(sct[voxel]) - int(ct[voxel])) <= half_width[voxel]
            held.setdefault("", []).append(holds)
            held.setdefault(f"{tissue_of(ct[voxel])}_", []).append(holds)
    assert found.keys() == {f"coverage_{off}{name}percent" for name in held for off in ("", "off_")}
    for name, holds in held.items():
        assert found[f"coverage_{name}percent"] == pytest.approx(100 * np.mean(holds))
        assert found[f"coverage_off_{name}percent"] == pytest.approx(100 * np.mean(holds) - 90)


def test_an_endless_interval_holds_everything():
    shape = (3, 3, 3)
    found = coverage_figures(
        np.zeros(shape), np.full(shape, np.inf), np.full(shape, 900), np.ones(shape, bool), promised=1
    )
    assert set(found.values()) == {100.0, 0.0}


@pytest.mark.parametrize("planes", [("axial",), ("axial", "coronal", "sagittal")])
def test_a_whole_head_is_judged_as_routine_converts_it(planes, tiny_bundle, tmp_path):
    bundle = tiny_bundle(tmp_path / "tiny", planes=planes)
    record = Calibration((variant(bundle.description),)).to_record()
    model = ModelUnderTest(
        Bundle(bundle.description.model_copy(update={"calibration": record}), bundle.folder), device="cpu"
    )
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in (30, 28, 100)), indexing="ij")
    radius = np.sqrt(sum(grid**2 for grid in grids))
    grid = Geometry(radius.shape, np.eye(4))
    mr = np.select([radius < 0.6, radius < 0.75], [300 + 80 * grids[0], 30.0], 3.0)
    ct = np.select([radius < 0.6, radius < 0.75], [40, 900], -1000)
    write_volume(Volume(mr.astype(np.float32), grid, Quantity.MR), tmp_path / "mr.nii.gz")
    write_volume(Volume(ct.astype(np.int16), grid, Quantity.HU), tmp_path / "ct.nii.gz")
    case = PairedCase("a", "a", "", tmp_path / "mr.nii.gz", tmp_path / "ct.nii.gz")
    tested = commission_case(case, model, options=CaseOptions(path_length=False), folder=tmp_path)
    routine = model.translator.translate(read_volume(case.mr)).sct
    np.testing.assert_array_equal(read_volume(tested.sct_file, quantity=Quantity.HU).voxels, routine.voxels)
    assert (NOT_TILTED in tested.notes) == (len(planes) == 1)
    assert {"coverage_off_percent", "predicted_mae_off_percent"} <= tested.figures.keys()
