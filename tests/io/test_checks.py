"""A CT is told from an MR by its numbers; a mask must fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume
from mr2ct.io.checks import looks_like_ct, require_mask_fits, require_mr
from mr2ct.volume import Quantity, Volume

EVERY_NTH_CASE = 12


def test_every_twelfth_real_pair(shared_data: Path):
    cases = sorted(path.parent for path in (shared_data / "brain-slices").glob("*/mr.nii.gz"))
    for case in cases[::EVERY_NTH_CASE]:
        mr = read_volume(case / "mr.nii.gz")
        require_mr(mr)
        ct = read_volume(case / "ct.nii.gz").voxels.astype(np.int32)
        mask = read_volume(case / "mask.nii.gz", quantity=Quantity.MASK).voxels
        assert looks_like_ct(ct), case
        assert looks_like_ct(ct + 1024), case
        assert looks_like_ct(np.where(mask, ct, 0)), case
        # even scaled to where soft tissue lies in a raw CT, an MR is none
        for percentile in (30, 50, 70, 90):
            tissue = np.percentile(mr.voxels[mr.voxels > 13], percentile)
            assert not looks_like_ct(mr.voxels * (1024 / tissue)), case


def test_other_scanners(shared_data: Path):
    require_mr(read_volume(shared_data / "phantom-mr-ct" / "t2-dicom"))
    for name in ("head-ct/cranium.nii.gz", "phantom-mr-ct/ct_0.78x0.78x1.25.nii.gz"):
        ct = read_volume(shared_data / name)
        with pytest.raises(InputError, match=r"looks like a CT.*--force"):
            require_mr(ct)
        require_mr(ct, force=True)


def mr_of(voxels: np.ndarray) -> Volume:
    return Volume(voxels, Geometry(voxels.shape, np.eye(4)), Quantity.MR)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "voxels",
    [
        np.random.default_rng(0).normal(0, 1, (20, 20, 20)),
        np.random.default_rng(0).uniform(-4096, 4095, (20, 20, 20)),
        np.random.default_rng(0).rayleigh(500, (20, 20, 20)),
    ],
    ids=["z-scores", "phase", "noise"],
)
def test_numbers_that_are_no_hu_are_taken(voxels: np.ndarray):
    require_mr(mr_of(voxels))
    assert not looks_like_ct(voxels)


def test_a_ct_without_air_is_known_by_its_tissues(small_ct: Volume):
    hu = np.random.default_rng(0).normal(40, 20, (20, 20, 20))
    hu[:4] = 900
    hu[19] = -400
    assert looks_like_ct(hu)
    assert looks_like_ct(hu + 1024)


def test_what_is_said_counts(small_mr: Volume, small_ct: Volume):
    with pytest.raises(InputError, match="got modality CT"):
        require_mr(small_mr, modality="CT")
    with pytest.raises(InputError, match="got a volume in HU"):
        require_mr(small_ct)
    # a scanner that says MR is believed
    require_mr(small_ct.with_voxels(small_ct.voxels, quantity=Quantity.MR), modality="MR")
    require_mr(small_ct, force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("value", [0, 7, -1000])
def test_a_constant_image_is_refused(value: float, force: bool):
    with pytest.raises(InputError, match=f"the image is constant; got every voxel {value}"):
        require_mr(mr_of(np.full((4, 4, 4), value)), force=force)


def test_a_mask_must_fit(small_mr: Volume):
    mask = small_mr.with_voxels(small_mr.voxels > 100, quantity=Quantity.MASK)
    require_mask_fits(mask, small_mr)
    moved = small_mr.geometry.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(GeometryError, match="mask and MR lie on different grids; got affine: corners up to 1 mm apart"):
        require_mask_fits(Volume(mask.voxels, Geometry((9, 8, 7), moved), Quantity.MASK), small_mr)
    cut = Volume(mask.voxels[1:], Geometry((8, 8, 7), small_mr.geometry.affine), Quantity.MASK)
    with pytest.raises(GeometryError, match=r"got shape \(8, 8, 7\) and \(9, 8, 7\)"):
        require_mask_fits(cut, small_mr)
    with pytest.raises(InputError, match="not a mask"):
        require_mask_fits(small_mr, small_mr)
    with pytest.raises(InputError, match="the mask is empty"):
        require_mask_fits(mask.with_voxels(np.zeros((9, 8, 7))), small_mr)
