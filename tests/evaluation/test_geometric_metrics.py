"""Dice and HD95: against MONAI, which the challenge asks, empty structures included; and their symmetries."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mr2ct.errors import GeometryError
from mr2ct.evaluation.geometric_metrics import agreement, dice, hd95_mm, label_agreement, labels_of

SPACING_MM = (0.8, 1.1, 2.5)


def blobs(seed: int, shape: tuple[int, ...] = (14, 15, 9), share: float = 0.5) -> np.ndarray:
    noise = np.random.default_rng(seed).random(shape)
    return ndimage.gaussian_filter(noise, 1.2) > share


def of_monai(of_sct: np.ndarray, of_ct: np.ndarray) -> tuple[float, float]:
    """Dice and HD95 as the challenge's segmentation metrics get them, one structure at a time."""
    import torch
    from monai.metrics import DiceMetric, HausdorffDistanceMetric

    one, other = (torch.from_numpy(mask[None, None]) for mask in (of_sct, of_ct))
    of_dice = DiceMetric(include_background=True, reduction="mean")
    distance = HausdorffDistanceMetric(include_background=True, reduction="mean", percentile=95)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of_dice(one, other)
        distance(one, other, spacing=SPACING_MM)
    return of_dice.get_buffer().item(), distance.get_buffer().item()


EMPTY = np.zeros((14, 15, 9), dtype=bool)
PAIRS = {
    "blobs": (blobs(0), blobs(1)),
    "one inside the other": (blobs(2, share=0.52), blobs(2)),
    "the same": (blobs(3), blobs(3)),
    "the sCT has none": (EMPTY, blobs(4)),
    "the CT has none": (blobs(5), EMPTY),
    "none at all": (EMPTY, EMPTY),
}


@pytest.mark.parametrize("name", PAIRS)
def test_agrees_with_monai(name):
    found = agreement(*PAIRS[name], SPACING_MM)
    assert (found.dice, found.hd95_mm) == pytest.approx(of_monai(*PAIRS[name]), rel=1e-5, nan_ok=True)


def test_dice_agrees_with_simpleitk():
    import SimpleITK as sitk

    one, other = PAIRS["blobs"]
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (one, other)))
    assert dice(one, other) == pytest.approx(overlap.GetDiceCoefficient(1))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), other_seed=st.integers(0, 999))
def test_symmetry_and_identity(seed, other_seed):
    one, other = blobs(seed), blobs(other_seed)
    assert dice(one, other) == dice(other, one)
    assert 0 <= dice(one, other) <= 1
    assert hd95_mm(one, other, SPACING_MM) == hd95_mm(other, one, SPACING_MM) >= 0
    assert agreement(one, one, SPACING_MM) == agreement(other, other, SPACING_MM)
    assert (dice(one, one), hd95_mm(one, one, SPACING_MM)) == (1, 0)


@settings(max_examples=15, deadline=None)
@given(voxels=st.integers(1, 5), axis=st.integers(0, 2))
def test_a_moved_slab_is_as_far_as_it_was_moved(voxels, axis):
    one, other = np.zeros((2, 20, 20, 20), dtype=bool)
    np.moveaxis(one, axis, 0)[6:8] = True
    np.moveaxis(other, axis, 0)[6 + voxels : 8 + voxels] = True
    assert hd95_mm(one, other, SPACING_MM) == pytest.approx(voxels * SPACING_MM[axis])


def test_a_slice_is_compared_by_its_contour():
    one, other = np.zeros((2, 30, 30, 1), dtype=bool)
    one[5:25, 5:25] = True
    other[8:22, 8:22] = True
    # were the whole slice a surface, every voxel of the smaller square would be at 0
    assert hd95_mm(one, other, (1.0, 1.0, 4.0)) == pytest.approx(3 * np.sqrt(2), abs=1.3)
    assert hd95_mm(other, one, (1.0, 1.0, 40.0)) == hd95_mm(one, other, (1.0, 1.0, 4.0))


def test_labels_are_compared_one_by_one():
    rng = np.random.default_rng(0)
    of_ct = np.where(blobs(1), np.where(blobs(2), 3, 117), 0).astype(np.uint8)
    of_sct = np.where(rng.random(of_ct.shape) < 0.1, 0, of_ct).astype(np.uint8)
    of_ct[0, 0, 0], of_sct[5, 5, 5] = 9, 200
    found = label_agreement(of_sct, of_ct, SPACING_MM)
    assert list(found) == labels_of(of_ct) == [3, 9, 117]
    for label in (3, 117):
        expected = agreement(of_sct == label, of_ct == label, SPACING_MM)
        assert (found[label].dice, found[label].hd95_mm) == pytest.approx((expected.dice, expected.hd95_mm))
    assert found[9].dice == 0
    assert np.isnan(found[9].hd95_mm)


def test_labels_of_a_slice_and_no_labels():
    of_ct = np.zeros((12, 12, 1), np.uint8)
    assert label_agreement(of_ct, of_ct, SPACING_MM) == {}
    of_ct[2:9, 2:9], of_ct[10:] = 1, 2
    found = label_agreement(np.roll(of_ct, 1, axis=1), of_ct, (1.0, 2.0, 9.0))
    assert found[1].hd95_mm == pytest.approx(2)
    assert found[2].hd95_mm == 0


def test_other_shapes_are_an_error():
    with pytest.raises(GeometryError, match="different shapes"):
        dice(np.ones((2, 2, 2)), np.ones((2, 2, 3)))
    with pytest.raises(GeometryError, match="different shapes"):
        label_agreement(np.ones((2, 2, 2)), np.ones((2, 2, 3)), SPACING_MM)
