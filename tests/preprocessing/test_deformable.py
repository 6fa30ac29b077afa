from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
from scipy import ndimage

from mr2ct.errors import InputError, MissingDependencyError
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.deformable import DeformableTransform, register_deformable
from mr2ct.volume import Quantity, Volume

installed = pytest.mark.skipif(importlib.util.find_spec("itk") is None, reason="itk-elastix (extra) is not installed")

AFFINE = np.array([[-1.5, 0, 0, 10.0], [0, 0, 1.5, -20], [0, -1.5, 0, 5], [0, 0, 0, 1]])


def _warped() -> tuple[Volume, Volume]:
    """Fixed and moving: the same texture, the fixed one bent by up to 2 mm."""
    shape = (26, 30, 28)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 2.5)
    texture = texture / texture.std() * 100
    i, j, k = np.indices(shape).astype(float)
    bent = [i + 1.5 * np.sin(2 * np.pi * j / 30), j + 1.5 * np.cos(2 * np.pi * k / 28), k + np.sin(2 * np.pi * i / 26)]
    fixed = ndimage.map_coordinates(texture, bent, order=3, mode="nearest")
    grid = Geometry(shape, AFFINE)
    return Volume(fixed, grid, Quantity.MR), Volume(texture, grid, Quantity.MR)


@installed
def test_a_known_warp_is_found_and_written_down():
    fixed, moving = _warped()
    transform = register_deformable(fixed, moving, control_spacing_mm=10.0, iterations=150)
    ours = transform.resample(moving)
    assert ours.geometry == fixed.geometry
    inner = (slice(5, -5),) * 3
    before = np.abs(moving.voxels - fixed.voxels)[inner].mean()
    assert np.abs(ours.voxels - fixed.voxels)[inner].mean() < 0.25 * before

    again = DeformableTransform.from_dict(json.loads(json.dumps(transform.to_dict())))
    assert again == transform
    assert np.array_equal(again.resample(moving).voxels, ours.voxels)

    # masks keep their labels, HU their integers
    labels = moving.with_voxels((moving.voxels > 0).astype(np.uint8), quantity=Quantity.MASK)
    assert set(np.unique(transform.resample(labels).voxels)) == {0, 1}
    hu = moving.with_voxels(np.rint(moving.voxels).astype(np.int16), quantity=Quantity.HU)
    assert transform.resample(hu).voxels.dtype == np.int16
    with pytest.raises(InputError, match="unknown interpolation"):
        transform.resample(moving, interpolation="cubic")


def test_without_the_extra_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "itk", None)
    fixed, moving = _warped()
    with pytest.raises(MissingDependencyError, match=r"itk-elastix; pip install mr2ct\[deformable\]"):
        register_deformable(fixed, moving)
    with pytest.raises(MissingDependencyError):
        DeformableTransform({}, fixed.geometry).resample(moving)


def test_single_slices_are_refused(small_mr):
    flat = Volume(small_mr.voxels[:, :, :1], Geometry((9, 8, 1), small_mr.geometry.affine), Quantity.MR)
    with pytest.raises(InputError, match="moving image is a single slice"):
        register_deformable(small_mr, flat)
