from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import BundleError, GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume
from mr2ct.preprocessing.bias_field import BiasFieldCorrection
from mr2ct.preprocessing.body_mask import BodyMask
from mr2ct.preprocessing.hu_clipping import ClipHu
from mr2ct.preprocessing.intensity import ZScore
from mr2ct.preprocessing.nyul import Nyul
from mr2ct.preprocessing.orientation import ToCanonical
from mr2ct.preprocessing.pipeline import STEPS, Pipeline, default_pipeline, undo_geometry
from mr2ct.preprocessing.resampling import ToSpacing
from mr2ct.preprocessing.step import GeometricStep
from mr2ct.volume import Quantity, Volume

from .test_orientation import ORIENTATIONS, oblique

LEARNT = Nyul((0.0, 0.4, 1.0), (1.0, 50.0, 99.0))


def _scan(geometry: Geometry, seed: int = 0) -> tuple[Volume, Volume]:
    """MR and CT of a blob that fills the middle of the grid."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in geometry.shape), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.7
    noise = np.random.default_rng(seed).random(geometry.shape)
    mr = np.where(inside, 90 + 20 * noise, noise).astype(np.float32)
    ct = np.where(inside, 40, -1000).astype(np.int16)
    return Volume(mr, geometry, Quantity.MR), Volume(ct, geometry, Quantity.HU)


@st.composite
def grids(draw: st.DrawFn) -> Geometry:
    order, signs = draw(st.sampled_from(ORIENTATIONS))
    shape = draw(st.lists(st.integers(10, 18), min_size=3, max_size=3))
    thin = draw(st.sampled_from([None, 0, 1, 2]))
    if thin is not None:
        shape[thin] = 1
    spacing = [draw(st.sampled_from([0.7, 1.0, 1.4, 3.0])) for _ in range(3)]
    axes = np.zeros((3, 3))
    axes[order, range(3)] = np.array(signs)
    affine = np.eye(4)
    affine[:3, :3] = oblique(draw(st.tuples(*[st.floats(-0.3, 0.3)] * 3))) @ axes * spacing
    affine[:3, 3] = draw(st.lists(st.floats(-200, 200), min_size=3, max_size=3))
    return Geometry(tuple(shape), affine, "1.2.826.0.1")


@settings(max_examples=40)
@given(grids())
def test_geometry_comes_back_bit_for_bit(geometry):
    mr, ct = _scan(geometry)
    prepared = default_pipeline().apply(mr, ct=ct, mask=Volume(ct.voxels == 40, geometry, Quantity.MASK))
    assert prepared.mr.geometry == prepared.ct.geometry == prepared.mask.geometry
    assert prepared.mr.geometry.axis_codes == ("R", "A", "S")
    # through JSON, as from the file beside a prepared case
    record = json.loads(json.dumps(prepared.record))
    back = undo_geometry(prepared.ct, record, geometry)
    assert back.geometry == geometry
    assert back.voxels.shape == geometry.shape
    assert back.voxels.dtype == np.int16
    # a voxel of the blob is lost at a border at most: no voxel is uncovered
    assert back.voxels[tuple(n // 2 for n in geometry.shape)] == 40
    assert set(np.unique(np.sign(back.voxels + 1024))) <= {0, 1}


@settings(max_examples=40)
@given(grids())
def test_at_the_spacing_of_the_network_voxels_come_back_bit_for_bit(geometry):
    affine = geometry.affine.copy()
    affine[:3, :3] = geometry.directions
    geometry = Geometry(geometry.shape, affine)
    mr, ct = _scan(geometry)
    prepared = default_pipeline().apply(mr, ct=ct)
    assert np.array_equal(undo_geometry(prepared.ct, prepared.record, geometry).voxels, ct.voxels)
    inside = undo_geometry(prepared.mask, prepared.record, geometry)
    assert inside.quantity is Quantity.MASK
    assert inside.geometry == geometry


def test_the_default_pipeline_in_network_units(small_mr, small_ct):
    prepared = default_pipeline().apply(small_mr, ct=small_ct)
    assert prepared.mr.voxels.dtype == np.float32
    assert prepared.mr.voxels.min() == 0
    assert prepared.mr.voxels.max() <= 1.5
    assert prepared.ct.voxels.dtype == np.int16
    assert prepared.mask.quantity is Quantity.MASK
    np.testing.assert_allclose(prepared.mr.geometry.spacing_mm, 1.0)
    assert [step["name"] for step in prepared.record["steps"]] == [step.name for step in default_pipeline().steps]


def test_a_part_of_the_prepared_grid_can_be_brought_back(small_mr, small_ct):
    prepared = default_pipeline().apply(small_mr, ct=small_ct)
    affine = prepared.ct.geometry.affine.copy()
    affine[:3, 3] = (affine @ [2, 3, 1, 1])[:3]
    part = prepared.ct.voxels[2:5, 3:6, 1:6]
    back = undo_geometry(Volume(part, Geometry(part.shape, affine), Quantity.HU), prepared.record, small_mr.geometry)
    whole = undo_geometry(prepared.ct, prepared.record, small_mr.geometry)
    assert back.geometry == small_mr.geometry
    covered = back.voxels != -1024
    assert 0 < covered.mean() < 0.6
    assert np.abs(back.voxels[covered].astype(int) - whole.voxels[covered]).mean() < 200


@pytest.mark.parametrize("spacing_mm", [1.5, (1.0, 1.5, 2.0)])
def test_a_record_repeats_the_pipeline_exactly(small_mr, spacing_mm):
    steps = (
        ToCanonical(),
        ToSpacing(spacing_mm, "bspline"),
        BodyMask("otsu"),
        BiasFieldCorrection(2, (5, 5)),
        LEARNT,
        ClipHu(),
    )
    pipeline = Pipeline(steps)
    first = pipeline.apply(small_mr)
    for record in (pipeline.to_record(), first.record):
        again = Pipeline.from_record(json.loads(json.dumps(record)))
        assert again == pipeline
        second = again.apply(small_mr)
        assert np.array_equal(second.mr.voxels, first.mr.voxels)
        assert second.record == first.record


def test_records_are_plain_json(small_mr, small_ct):
    prepared = Pipeline((ToCanonical(), BodyMask(), LEARNT)).apply(small_mr, ct=small_ct)
    assert json.loads(json.dumps(prepared.record)) == prepared.record
    assert prepared.record["steps"][2]["arguments"]["standard"] == [0.0, 0.4, 1.0]
    assert len(prepared.record["steps"][2]["fitted"]["landmarks"]) == 3
    assert all("fitted" not in step for step in default_pipeline().to_record()["steps"])


@pytest.mark.parametrize("name", STEPS)
def test_every_registered_step_keeps_the_contract(name, small_mr, small_ct):
    step = LEARNT if name == "nyul" else STEPS[name]()
    assert step.name == name
    assert type(step).__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.name = "other"
    prepared = Pipeline((BodyMask(), step)).apply(small_mr, ct=small_ct)
    assert json.dumps(prepared.record["steps"][1])
    if isinstance(step, GeometricStep):
        undone = undo_geometry(prepared.mr, prepared.record, small_mr.geometry)
        assert undone.geometry == small_mr.geometry
    else:
        assert prepared.mr.geometry == small_mr.geometry


def test_a_given_mask_is_used(small_mr):
    whole = small_mr.with_voxels(np.ones(small_mr.geometry.shape), quantity=Quantity.MASK)
    prepared = default_pipeline().apply(small_mr, mask=whole)
    assert prepared.mask.voxels.min() == 1
    assert prepared.record["steps"][2]["fitted"] == {"source": "given"}


def test_a_ct_alone(small_ct):
    prepared = default_pipeline().apply_ct(small_ct)
    assert prepared.ct.geometry == prepared.mask.geometry
    assert undo_geometry(prepared.ct, prepared.record, small_ct.geometry).geometry == small_ct.geometry
    with pytest.raises(InputError, match="no mask"):
        Pipeline((ClipHu(),)).apply_ct(small_ct)


def test_volumes_that_do_not_fit_are_refused(small_mr, small_ct):
    other = Geometry(small_mr.geometry.shape, np.eye(4))
    with pytest.raises(GeometryError, match="CT and MR lie on different grids"):
        default_pipeline().apply(small_mr, ct=Volume(small_ct.voxels, other, Quantity.HU))
    with pytest.raises(InputError, match="the CT is of another quantity; got mr; expected hu"):
        default_pipeline().apply(small_mr, ct=small_mr)
    with pytest.raises(InputError, match=r"made no mask.*body_mask"):
        Pipeline((ToCanonical(),)).apply(small_mr)


def test_a_record_of_another_case_is_refused(small_mr):
    prepared = default_pipeline().apply(small_mr)
    with pytest.raises(GeometryError, match="another case"):
        undo_geometry(prepared.mr, prepared.record, Geometry((9, 8, 7), np.eye(4)))
    with pytest.raises(BundleError, match=r"holds no grid.*Prepared\.record"):
        undo_geometry(prepared.mr, default_pipeline().to_record(), small_mr.geometry)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"format_version": 2, "steps": []}, "another format; got format_version 2.*upgrade mr2ct"),
        ({"steps": []}, "got format_version None"),
        ({"format_version": 1}, "without steps"),
        (
            {"format_version": 1, "steps": [{"name": "sharpen"}]},
            "unknown preprocessing step; got 'sharpen'.*to_canonical",
        ),
        (
            {"format_version": 1, "steps": [{"name": "z_score", "arguments": {"limits": 3}}]},
            "z_score with other arguments.*limits",
        ),
        ({"format_version": 1, "steps": ["z_score"]}, "unusable preprocessing step; got 'z_score'"),
        ({"format_version": 1, "steps": [{"name": ["z_score"]}]}, "unknown preprocessing step"),
        ({"format_version": 1, "steps": [{"name": "z_score", "arguments": [1]}]}, "unusable preprocessing step"),
        (
            {"format_version": 1, "steps": [{"name": "to_spacing", "arguments": {"spacing_mm": "x"}}]},
            "to_spacing with other arguments",
        ),
        ({"format_version": 1, "steps": [{"name": "nyul", "arguments": {}}]}, "nyul with other arguments.*standard"),
    ],
)
def test_records_that_cannot_be_read_say_why(record, message):
    with pytest.raises(BundleError, match=message):
        Pipeline.from_record(record)


def test_steps_can_be_exchanged(small_mr):
    steps = tuple(ZScore() if step.name == "core_scaling" else step for step in default_pipeline().steps)
    prepared = Pipeline(steps).apply(small_mr)
    assert prepared.mr.voxels[prepared.mask.voxels > 0].mean() == pytest.approx(0, abs=0.05)


def test_brain_lands_on_one_level_in_real_slices(shared_data):
    levels = []
    for folder in sorted((shared_data / "brain-slices").glob("*-*"))[::31]:
        mr = read_volume(folder / "mr.nii.gz")
        ct = read_volume(folder / "ct.nii.gz", quantity=Quantity.HU)
        mask = read_volume(folder / "mask.nii.gz", quantity=Quantity.MASK)
        prepared = default_pipeline().apply(mr, ct=ct, mask=mask)
        soft = (prepared.ct.voxels > 15) & (prepared.ct.voxels < 55) & (prepared.mask.voxels > 0)
        levels.append(np.median(prepared.mr.voxels[soft]))
        assert undo_geometry(prepared.ct, prepared.record, mr.geometry).geometry == mr.geometry
    assert np.mean(levels) == pytest.approx(0.5, abs=0.05)
    assert np.std(np.log(levels)) < 0.15
