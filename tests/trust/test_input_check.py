"""The gatekeeper on a made-up population: what is like it passes, what is not is named, whatever the grid."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mr2ct.bundles import BundleDescription
from mr2ct.errors import BundleError, DataSetError
from mr2ct.geometry import Geometry
from mr2ct.preprocessing.pipeline import Pipeline, default_pipeline
from mr2ct.preprocessing.resampling import ToSpacing
from mr2ct.trust.input_check import NO_REFERENCE, check_and_prepare, check_input
from mr2ct.trust.input_reference import InputReference
from mr2ct.trust.reference_learning import TrainingSlice, learn_reference
from mr2ct.trust.verdict import Verdict
from mr2ct.volume import Quantity, Volume

MM = 4.0
SHAPE = (56, 64, 58)


def head(seed, noise=2.0):
    """A head of 4 mm voxels: fat, skull, brain, ventricles, a nose and a neck; canonical axes."""
    rng = np.random.default_rng(seed)
    i, j, k = ((g - c) * MM for g, c in zip(np.indices(SHAPE), rng.normal((28, 31, 32), 0.4), strict=True))
    a, b, c = rng.normal((75, 92, 85), 2.5)
    r = np.sqrt((i / a) ** 2 + (j / b) ** 2 + (k / c) ** 2)
    neck = (np.hypot(i, j + 15) < 45) & (k < -20)
    nose = np.hypot(i, k + 35) + 0.8 * (j - b - 4) < 12
    body = (r < 1) | neck | (nose & (j > 0) & (j < b + 14))
    mr = np.where(body, 190.0, 0.0)
    mr[(r < 0.93) & (k > -60)] = 20
    brain = (r < 0.86) & (k > -50)
    mr[brain] = 105 + 12 * np.sin(i / 7)[brain] * np.cos(k / 6)[brain]
    mr[np.hypot(np.hypot(i / 0.8, j / 2), k - 5) < 16] = 25
    mr = np.hypot(mr + rng.normal(0, noise, SHAPE), rng.normal(0, noise, SHAPE))
    return Volume(mr.astype(np.float32), Geometry(SHAPE, np.diag([MM, MM, MM, 1.0])), Quantity.MR)


def slice_of(volume, axis):
    middle = (28, 31, 32)[axis]
    affine = np.array(volume.geometry.affine)
    affine[axis, 3] = middle * MM
    voxels = volume.voxels.take([middle], axis=axis)
    return Volume(voxels, Geometry(voxels.shape, affine), volume.quantity)


@pytest.fixture(scope="module")
def preprocessing():
    canonical, _, *rest = default_pipeline().steps
    return Pipeline((canonical, ToSpacing(MM), *rest)).to_record()


@pytest.fixture(scope="module")
def reference(preprocessing):
    slices = [TrainingSlice(f"p{n}", slice_of(head(n), axis)) for n in range(11) for axis in range(3)]
    return learn_reference(slices, preprocessing, faults_a_slice=2)


@pytest.fixture(scope="module")
def description(reference, preprocessing):
    return BundleDescription(
        format_version=1,
        name="made-up",
        method="supervised",
        network={"name": "attention_unet", "arguments": {}},
        preprocessing=preprocessing,
        hu_range=(-1024, 3071),
        spacing_mm=(MM, MM, MM),
        planes=("axial", "coronal", "sagittal"),
        context_slices=1,
        training_data="made-up heads",
        licence="MIT",
        metrics={},
        input_reference=json.loads(json.dumps(reference)),
    )


def codes(verdict):
    return [finding.code for finding in verdict.findings if finding.code != "resolution"]


def test_new_heads_of_the_same_kind_are_not_refused(description):
    found = [check_input(slice_of(head(100 + n), n % 3), description) for n in range(6)]
    assert sum(bool(codes(one)) for one in found) <= 2
    assert check_input(head(200), description).verdict is not Verdict.REFUSE


@pytest.mark.parametrize("axis", [0, 1])
def test_upside_down_slices_are_found(description, axis):
    mr = slice_of(head(101), axis)
    found = check_input(mr.with_voxels(np.ascontiguousarray(mr.voxels[:, :, ::-1])), description)
    assert "orientation" in codes(found)


def test_an_upside_down_volume_is_found_in_any_voxel_order(description):
    mr = head(102)
    turned = np.ascontiguousarray(mr.voxels[:, :, ::-1])
    assert "orientation" in codes(check_input(mr.with_voxels(turned), description))
    # the same wrong claim, stored with its axes in another order
    affine = np.array([[0, 0, MM, 0], [-MM, 0, 0, 100], [0, MM, 0, 0], [0, 0, 0, 1.0]])
    stored = np.ascontiguousarray(turned[:, ::-1].transpose(1, 2, 0))
    again = check_input(Volume(stored, Geometry(stored.shape, affine), Quantity.MR), description)
    assert "orientation" in codes(again)


@pytest.mark.parametrize("noise", [40.0, 80.0])
def test_noise_is_called_noise(description, noise):
    assert codes(check_input(head(103, noise=noise), description))[0] == "noise"


def test_a_ct_a_mask_and_a_label_map_are_refused_before_anything_else(description):
    mr = head(104)
    for voxels in (
        np.where(mr.voxels > 60, 40.0, -1000.0) + mr.voxels / 50,
        mr.voxels > 60,
        np.digitize(mr.voxels, [9, 90]),
    ):
        found, prepared = check_and_prepare(mr.with_voxels(voxels.astype(np.float32)), description)
        assert (found.verdict, codes(found), prepared) == (Verdict.REFUSE, ["modality"], None)


def test_what_was_prepared_for_the_check_is_what_translation_needs(description):
    mr = head(105)
    _, prepared = check_and_prepare(mr, description)
    again = Pipeline.from_record(description.preprocessing).apply(mr)
    np.testing.assert_array_equal(prepared.mr.voxels, again.mr.voxels)


def test_thick_slices_are_said(description):
    mr = head(106)
    thick = Volume(mr.voxels, Geometry(SHAPE, np.diag([1.0, 1.0, 9.0, 1.0])), Quantity.MR)
    found = next(one for one in check_input(thick, description).findings if one.code == "resolution")
    assert found.severity is Verdict.REFUSE
    assert found.value == pytest.approx(9)


def test_a_voxel_size_in_the_wrong_unit_is_refused_and_not_resampled(description, monkeypatch):
    mr = head(108)
    huge = Volume(mr.voxels, Geometry(SHAPE, np.diag([50.0, 50.0, 50.0, 1.0])), Quantity.MR)
    monkeypatch.setattr(Pipeline, "apply", lambda *_, **__: pytest.fail("prepared"))
    verdict, prepared = check_and_prepare(huge, description)
    assert verdict.verdict is Verdict.REFUSE
    assert prepared is None


def test_without_a_reference_the_verdict_says_so(description):
    bare = description.model_copy(update={"input_reference": None})
    found = check_input(slice_of(head(107), 2), bare)
    assert found.notes == (NO_REFERENCE,)


def test_a_given_mask_does_not_change_what_the_outline_is(description):
    mr = slice_of(head(108), 1)
    everything = mr.with_voxels(np.ones(mr.geometry.shape), quantity=Quantity.MASK)
    assert "outline" not in codes(check_input(mr, description, mask=everything))


def test_the_reference_survives_json(reference):
    again = InputReference.from_json(json.loads(json.dumps(reference)))
    assert again.to_json() == reference


def test_a_damaged_reference_is_said(reference):
    with pytest.raises(BundleError, match="incomplete"):
        InputReference.from_json({key: value for key, value in reference.items() if key != "levels"})


def test_too_few_slices_are_not_learnt_from(preprocessing):
    few = [TrainingSlice(f"p{n}", slice_of(head(n), axis)) for n in range(2) for axis in range(3)]
    with pytest.raises(DataSetError, match="too few"):
        learn_reference(few, preprocessing, faults_a_slice=1)
    with pytest.raises(DataSetError, match="not a single slice"):
        learn_reference([TrainingSlice("p", head(1))], preprocessing)
