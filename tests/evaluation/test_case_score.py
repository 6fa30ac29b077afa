"""One case scored whole: each figure where it belongs, notes for what is missing, errors for what cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mr2ct.errors import DataSetError, GeometryError, InputError
from mr2ct.evaluation import hu_error, image_metrics, score_case
from mr2ct.evaluation.tissue_metrics import TissueThresholds
from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume


def volume(voxels: np.ndarray, quantity: Quantity = Quantity.HU, *, spacing_mm: float = 2.0) -> Volume:
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    return Volume(voxels, Geometry(voxels.shape, affine), quantity)


@pytest.fixture(scope="module")
def ct() -> Volume:
    """36 x 32 x 20 voxels of 2 mm: a head with a skull of 4 mm, an air cell, noise."""
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in (36, 32, 20)), indexing="ij")
    radius = np.sqrt(i**2 + j**2 + (k / 1.6) ** 2)
    hu = np.select([radius < 0.15, radius < 0.6, radius < 0.75, radius < 0.85], [-900, 35, 1000, -80], -1000)
    return volume((hu + np.random.default_rng(0).normal(0, 8, hu.shape)).astype(np.float32))


@pytest.fixture(scope="module")
def mask(ct: Volume) -> Volume:
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in ct.geometry.shape), indexing="ij")
    return ct.with_voxels(i**2 + j**2 + (k / 1.6) ** 2 < 0.92**2, quantity=Quantity.MASK)


@pytest.fixture(scope="module")
def sct(ct: Volume) -> Volume:
    """The CT moved by one voxel and 12 HU too bright."""
    return ct.with_voxels(np.roll(ct.voxels, 1, axis=0) + 12)


def test_every_figure_is_there_and_is_that_of_its_own_function(sct, ct, mask):
    score = score_case(sct, ct, mask, protocol="synthrad2023")
    assert score.image == image_metrics(sct.voxels, ct.voxels, mask.voxels, protocol="synthrad2023")
    assert list(score.tissues) == ["all", "air", "soft tissue", "bone"]
    assert score.tissues["all"] == hu_error(sct.voxels, ct.voxels, mask.voxels)
    assert list(score.geometry) == ["bone_dice", "bone_hd95_mm", "body_dice", "body_hd95_mm"]
    assert 0.5 < score.geometry["bone_dice"] < score.geometry["body_dice"] < 1
    assert score.geometry["bone_hd95_mm"] == score.geometry["body_hd95_mm"] == 2
    assert 0 < score.histogram_overlap < 1
    assert sum(b.error.n_voxels for b in score.by_bone_distance) == score.tissues["all"].n_voxels
    assert score.notes == ()


def test_a_perfect_sct(ct, mask):
    score = score_case(ct, ct, mask, protocol="synthrad2023")
    assert score.image == {"mae_hu": 0, "psnr_db": float("inf"), "ssim": pytest.approx(1)}
    assert score.geometry == {"bone_dice": 1, "bone_hd95_mm": 0, "body_dice": 1, "body_hd95_mm": 0}
    assert score.histogram_overlap == pytest.approx(1)
    assert score.notes == ("PSNR is infinite: sCT and CT agree in every voxel of the mask",)


def test_foam_in_the_mask_is_no_lung_but_a_lung_in_the_body_is():
    """Foam of a head rest has the HU of lung, and masks of the challenge reach into it."""
    i, j, _ = np.meshgrid(*(np.arange(n) for n in (50, 50, 20)), indexing="ij")
    radius = np.hypot(i - 25, j - 25)
    foam = volume(np.select([radius < 14, radius < 22], [40.0, -800.0], -1000.0), spacing_mm=5.0)
    chest = volume(np.select([radius < 14, radius < 22], [-800.0, 40.0], -1000.0), spacing_mm=5.0)
    assert (
        "lung"
        not in score_case(
            foam, foam, foam.with_voxels(radius < 23, quantity=Quantity.MASK), protocol="synthrad2023"
        ).tissues
    )
    tissues = score_case(
        chest, chest, chest.with_voxels(radius < 23, quantity=Quantity.MASK), protocol="synthrad2023"
    ).tissues
    assert tissues["lung"].n_voxels == (radius < 14).sum()
    assert "air" in tissues


def test_a_slice_is_scored(sct, ct, mask):
    one = [volume(image.voxels[:, :, 10:11], image.quantity) for image in (sct, ct, mask)]
    score = score_case(*one, protocol="synthrad2023")
    assert all(np.isfinite(value) for value in (*score.image.values(), *score.geometry.values()))
    assert score.geometry["bone_hd95_mm"] == 2
    assert len(score.notes) == 1


def test_without_a_mask_the_outline_of_the_ct_is_used_and_said(sct, ct):
    score = score_case(sct, ct, protocol="synthrad2023")
    assert score.notes == ("no mask given: compared inside the CT's own body outline",)
    assert score.tissues["all"].n_voxels < ct.voxels.size


def test_the_thresholds_reach_every_figure(sct, ct, mask):
    thresholds = TissueThresholds(bone_above=5000)
    score = score_case(sct, ct, mask, protocol="synthrad2023", thresholds=thresholds)
    assert "bone" not in score.tissues
    assert np.isnan(score.geometry["bone_dice"])
    assert score.by_bone_distance == ()
    assert score.notes == ("bone: the CT has none, so it is not compared",)


def test_an_sct_of_air_is_scored_and_noted(ct, mask):
    score = score_case(ct.with_voxels(np.full(ct.geometry.shape, -1000.0)), ct, mask, protocol="synthrad2023")
    assert score.geometry["bone_dice"] == score.geometry["body_dice"] == 0
    assert np.isnan(score.geometry["body_hd95_mm"])
    assert [note.split(",")[0] for note in score.notes] == ["bone: the sCT has none", "body: the sCT has none"]


def test_label_maps(sct, ct, mask):
    labels_ct = np.zeros(ct.geometry.shape, np.uint8)
    labels_ct[5:12, 5:12, 5:12], labels_ct[20:24, 20:24, 8:12] = 1, 4
    labels_sct = np.where(labels_ct == 1, 1, 0)
    labels_sct[0, 0, 0] = 9
    maps = [ct.with_voxels(labels, quantity=Quantity.MASK) for labels in (labels_sct, labels_ct)]
    score = score_case(sct, ct, mask, protocol="synthrad2023", labels_sct=maps[0], labels_ct=maps[1])
    figures = {name: value for name, value in score.geometry.items() if name.startswith("label")}
    assert figures == pytest.approx(
        {
            "labels_dice": 0.5,
            "labels_hd95_mm": 0,
            "label_1_dice": 1,
            "label_1_hd95_mm": 0,
            "label_4_dice": 0,
            "label_4_hd95_mm": float("nan"),
        },
        nan_ok=True,
    )
    assert score.notes == (
        "label 9: the CT has none, so it is not compared",
        "label 4: the sCT has none, so Dice is 0 and HD95 has no value",
    )


def test_what_cannot_be_compared_is_an_error(sct, ct, mask):
    elsewhere = Volume(mask.voxels, replace(mask.geometry, affine=np.eye(4)), Quantity.MASK)
    with pytest.raises(GeometryError, match="mask and CT lie on different grids"):
        score_case(sct, ct, elsewhere, protocol="synthrad2023")
    with pytest.raises(GeometryError, match="sCT and CT lie on different grids"):
        score_case(volume(sct.voxels, spacing_mm=1.0), ct, mask, protocol="synthrad2023")
    with pytest.raises(DataSetError, match="empty mask"):
        score_case(sct, ct, mask.with_voxels(np.zeros(mask.geometry.shape)), protocol="synthrad2023")
    corner = np.zeros(mask.geometry.shape)
    corner[0, 0] = 1
    with pytest.raises(DataSetError, match="mask and CT do not overlap"):
        score_case(sct, ct, mask.with_voxels(corner), protocol="synthrad2023")
    with pytest.raises(InputError, match="the sCT is not in HU"):
        score_case(ct.with_voxels(ct.voxels, quantity=Quantity.MR), ct, mask, protocol="synthrad2023")
    with pytest.raises(InputError, match="one label map without the other; got none of the CT"):
        score_case(sct, ct, mask, protocol="synthrad2023", labels_sct=mask)
    with pytest.raises(GeometryError, match="label map of the sCT"):
        score_case(sct, ct, mask, protocol="synthrad2023", labels_sct=elsewhere, labels_ct=mask)
