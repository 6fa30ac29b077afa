from __future__ import annotations

import numpy as np
import pytest

from mr2ct.errors import InputError
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume
from mr2ct.preprocessing.body_mask import BodyMask, body_mask
from mr2ct.preprocessing.morphology import closed, filled_slicewise, largest_component, opened
from mr2ct.preprocessing.resampling import to_spacing
from mr2ct.preprocessing.step import Images
from mr2ct.volume import Quantity, Volume


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.logical_and(one, other).sum() / (np.sum(one > 0) + np.sum(other > 0)))


def _middle_slice(volume: Volume, axis: int) -> Volume:
    voxels = np.take(volume.voxels, [volume.voxels.shape[axis] // 2], axis=axis)
    return Volume(voxels, Geometry(voxels.shape, volume.geometry.affine), volume.quantity)


@pytest.mark.parametrize("rule", ["synthrad", "otsu"])
@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_the_outline_of_a_head_without_holes(head, rule, noise):
    mr, truth = head(noise=noise)
    mask = body_mask(mr, rule=rule)
    assert mask.quantity is Quantity.MASK
    assert mask.geometry == mr.geometry
    assert set(np.unique(mask.voxels)) == {0, 1}
    assert _dice(mask.voxels, truth) > 0.97
    # skull and sinus are dark, and inside
    assert mask.voxels[mr.geometry.shape[0] // 2, :, mr.geometry.shape[2] // 2][truth[45, :, 50]].all()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_a_single_slice_in_any_plane(head, axis, noise):
    mr, truth = head(spacing_mm=1.5, noise=noise)
    mask = body_mask(_middle_slice(mr, axis))
    assert _dice(mask.voxels, np.take(truth, [truth.shape[axis] // 2], axis=axis)) > 0.96


def test_specks_of_noise_far_from_the_head_are_left_out(head):
    mr, _ = head()
    voxels = mr.voxels.copy()
    voxels[1:3, 1:3, 1:3] = 150
    assert body_mask(mr.with_voxels(voxels)).voxels[:6, :6, :6].sum() == 0


def test_a_face_cut_off_leaves_the_rest_as_it_is(head):
    mr, truth = head()
    voxels = mr.voxels.copy()
    voxels[:, 85:, :45] = 0
    truth = truth.copy()
    truth[:, 85:, :45] = False
    assert _dice(body_mask(mr.with_voxels(voxels)).voxels, truth) > 0.95


def test_intensity_scale_and_voxels_without_a_number_do_not_matter(head):
    mr, truth = head()
    same = body_mask(mr.with_voxels(mr.voxels * 1e-4 - 3))
    np.testing.assert_array_equal(same.voxels, body_mask(mr).voxels)
    voxels = mr.voxels.copy()
    voxels[~truth] = np.nan
    assert _dice(body_mask(mr.with_voxels(voxels)).voxels, truth) > 0.97


def test_a_ct_is_cut_at_minus_400_and_its_table_left_out(head):
    mr, truth = head()
    hu = np.where(truth, 40, -1000)
    hu[20:70, 2:4, :] = 300
    ct = Volume(hu.astype(np.int16), mr.geometry, Quantity.HU)
    mask = body_mask(ct)
    assert mask.voxels[:, :4].sum() == 0
    assert _dice(mask.voxels, truth) > 0.98


def test_errors_say_what_to_do(head):
    mr, _ = head(spacing_mm=8.0)
    with pytest.raises(InputError, match="unknown body-mask rule.*'magic'.*synthrad, otsu"):
        body_mask(mr, rule="magic")
    with pytest.raises(InputError, match="no body found.*give a mask"):
        body_mask(mr.with_voxels(np.zeros(mr.geometry.shape)))
    with pytest.raises(InputError, match="no body found"):
        body_mask(mr.with_voxels(np.full(mr.geometry.shape, np.nan)))


def test_the_step_prefers_a_given_mask(head):
    mr, truth = head(spacing_mm=4.0)
    given = mr.with_voxels(np.ones(mr.geometry.shape), quantity=Quantity.MASK)
    images, fitted = BodyMask().apply(Images(mr, None, given))
    assert images.mask is given
    assert fitted == {"source": "given"}
    images, fitted = BodyMask().apply(Images(mr))
    assert fitted["source"] == "computed"
    assert 0 < fitted["threshold"] < 60
    assert _dice(images.mask.voxels, truth) > 0.95


def _outline_of_ct(ct: Volume, given: np.ndarray) -> np.ndarray:
    spacing = ct.geometry.spacing_mm
    body = filled_slicewise(closed((ct.voxels > -400) & given, spacing, 3.0))
    return largest_component(filled_slicewise(opened(body, spacing, 4.0)))


def test_real_slices_agree_with_the_outline_of_their_ct(shared_data):
    found = []
    for folder in sorted((shared_data / "brain-slices").glob("*-*"))[::18]:
        mr = read_volume(folder / "mr.nii.gz")
        ct = read_volume(folder / "ct.nii.gz", quantity=Quantity.HU)
        given = read_volume(folder / "mask.nii.gz", quantity=Quantity.MASK).voxels > 0
        mask = body_mask(mr).voxels > 0
        found.append(_dice(mask, _outline_of_ct(ct, given)))
        # the given masks are dilated by a centimetre or so, ours are not
        assert _dice(mask, given) > 0.75
    assert len(found) >= 20
    assert np.mean(found) > 0.96
    assert min(found) > 0.87


def test_a_real_head_is_whole(shared_data):
    mr = to_spacing(read_volume(shared_data / "head-t1-dicom"), 2.0)
    mask = body_mask(mr).voxels > 0
    # the scalp over the crown is faint, and the skull under it black: both belong to the head
    assert mask[mr.voxels > 25].mean() > 0.99
    assert np.array_equal(filled_slicewise(mask), mask)
    assert 0.35 < mask.mean() < 0.45
