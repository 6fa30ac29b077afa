"""Measures of registration against plain versions, and what they do when the CT is moved, mirrored or another's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mr2ct.trust.pair_coverage import coverage
from mr2ct.trust.pair_images import pair_images
from mr2ct.trust.registration_quality import mutual_information, outline_distance_mm, registration_quality

from .pair_heads import arrays, moved, volumes


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray]:
    return arrays(1)


def test_mutual_information_is_numpys(head):
    pair = pair_images(*volumes(*head))
    near = ndimage.distance_transform_edt(~pair.mr_body) <= 8
    mr, ct = pair.mr[near], np.clip(pair.ct[near], -1000, 1000)
    low, high = np.percentile(mr, [0.5, 99.5])
    joint, _, _ = np.histogram2d(np.clip(mr, low, high), ct, bins=24, range=[(low, high), (-1000, 1000)])
    joint /= joint.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    plain = (joint[joint > 0] * np.log(joint[joint > 0] / independent[joint > 0])).sum()
    assert mutual_information(pair) == pytest.approx(plain, abs=2e-3)


def test_outline_distance_is_a_plain_search(head):
    mr, ct = head
    pair = pair_images(*volumes(mr, moved(ct, shift=(0, 6))))

    def rim(body):
        return np.argwhere(
            body & ~ndimage.binary_erosion(body, ndimage.generate_binary_structure(2, 1), border_value=1)
        )

    of_mr, of_ct = rim(pair.mr_body).astype(float), rim(pair.ct_body).astype(float)
    plain = np.median(np.sqrt(((of_mr[:, None] - of_ct[None]) ** 2).sum(axis=2).min(axis=1)))
    assert outline_distance_mm(pair) == pytest.approx(plain, abs=1e-6)
    assert np.isnan(outline_distance_mm(pair_images(*volumes(mr, np.full_like(ct, -1000)))))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_plane_and_spacing_measures_alike(head, axis):
    mr, ct = head
    found = registration_quality(pair_images(*volumes(mr, moved(ct, shift=(3, 0)), axis=axis)))
    assert found.pose.displacement_mm == pytest.approx(3, abs=0.6)
    assert found.local.median_mm == pytest.approx(3, abs=0.7)
    # the same picture on pixels of 0.5 mm is a head half as large, shifted by half as much
    fine = registration_quality(pair_images(*volumes(mr, moved(ct, shift=(6, 0)), axis=axis, spacing_mm=0.5)))
    assert fine.pose.displacement_mm == pytest.approx(3, abs=0.8)


def test_a_bent_ct_shows_in_the_map_of_shifts(head):
    mr, ct = head
    rows = np.arange(ct.shape[1])
    # the back half is bent sideways, the front stays
    bend = 9 * np.clip((rows - 110) / 30, 0, 1)
    i, j = np.meshgrid(np.arange(ct.shape[0]), rows, indexing="ij")
    bent = ndimage.map_coordinates(ct, [i - bend[None, :], j], order=1, mode="nearest")
    straight = registration_quality(pair_images(*volumes(mr, ct))).local
    found = registration_quality(pair_images(*volumes(mr, bent))).local
    assert straight.bend_mm < 1
    assert found.bend_mm > 2 * straight.bend_mm + 1
    back = found.centres[:, 1] > 140
    assert np.median(found.shifts_mm[back, 0]) > 5
    assert np.abs(np.median(found.shifts_mm[found.centres[:, 1] < 80, 0])) < 2


def test_a_mirrored_ct_agrees_better_turned_round(head):
    mr, ct = head
    assert registration_quality(pair_images(*volumes(mr, ct))).mirrored_gain < 0.95
    found = registration_quality(pair_images(*volumes(mr, ct[::-1])))
    assert found.mirrored_gain > 1.05
    assert found.mirrored_axis == 0


def test_coverage_measures_what_is_missing_and_only_that(head):
    mr, ct = head
    whole = coverage(pair_images(*volumes(mr, ct)))
    assert whole.ct_lacks_mm < 6
    assert whole.mr_lacks_mm < 6
    cut = ct.copy()
    cut[:, :60] = -1000
    missing = coverage(pair_images(*volumes(mr, cut)))
    assert missing.ct_lacks_mm > 30
    body = pair_images(*volumes(mr, ct)).mr_body
    assert missing.ct_lacks_share == pytest.approx(body[:, :60].sum() / body.sum(), abs=0.1)
