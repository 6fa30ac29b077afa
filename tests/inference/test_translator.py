"""Volume to volume: the sCT lies on the input's grid bit for bit, and an analytic network is found again in it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from mr2ct.bundles import write_bundle
from mr2ct.errors import BundleError, GeometryError, InputError, Mr2ctError
from mr2ct.geometry import Geometry
from mr2ct.inference import Translator, convert
from mr2ct.inference.slice_frame import PLACES
from mr2ct.inference.views import FLIPS, PLAIN
from mr2ct.models import build_network
from mr2ct.volume import Quantity, Volume

SAME_GRID = [{"name": "to_canonical"}, {"name": "body_mask"}, {"name": "percentile_scaling"}]


def unit_scale(translation):
    """The intensities that became 0 and 1 network units."""
    fitted = translation.record["preprocessing"]["steps"][-1]["fitted"]
    return fitted["low"], fitted["high"]


def expected_hu(translation, mr, gain=0.4, offset=-0.5):
    low, high = unit_scale(translation)
    units = gain * np.clip((mr.voxels - low) / (high - low), 0, 1.5) + offset
    return (units + 1) / 2 * (3071 + 1024) - 1024


def test_an_sct_is_on_the_grid_of_the_mr(linear_network, describe, make_mr, awkward_affine):
    mr = make_mr((22, 20, 18), awkward_affine)
    sct = Translator(linear_network(), describe(), device="cpu").translate(mr).sct
    assert sct.geometry == mr.geometry
    assert sct.geometry.affine.tobytes() == mr.geometry.affine.tobytes()
    assert sct.voxels.dtype == np.int16
    assert sct.quantity is Quantity.HU
    assert sct.voxels.max() > -200
    assert sct.voxels.min() >= -1024


@pytest.mark.parametrize("planes", ["all", "axial", "coronal", "sagittal"])
def test_a_linear_network_is_found_again_voxel_by_voxel(linear_network, describe, make_mr, oblique_affine, planes):
    """No resampling in this pipeline, so body voxels must come back exactly, in their own place."""
    mr = make_mr((40, 38, 36), oblique_affine)
    translator = Translator(linear_network(), describe(steps=SAME_GRID), device="cpu", precision="fp32")
    translation = translator.translate(mr, planes=planes)
    body = mr.voxels > 100
    np.testing.assert_allclose(translation.sct.voxels[body], expected_hu(translation, mr)[body], atol=0.6)


def test_a_linear_network_survives_resampling(linear_network, describe, make_mr):
    mr = make_mr((30, 28, 26), np.diag([1.3, -1.3, 1.3, 1]))
    translation = Translator(linear_network(), describe(), device="cpu", precision="fp32").translate(mr)
    apart = np.abs(translation.sct.voxels - expected_hu(translation, mr))
    core = mr.voxels > 250
    assert np.median(apart[core]) < 60


def test_far_from_the_body_there_is_air(linear_network, describe, make_mr):
    mr = make_mr((44, 40, 36), np.eye(4))
    bright = Translator(linear_network(0.0, 0.5), describe(), device="cpu").translate(mr).sct.voxels
    assert bright[22, 20, 18] == round(0.75 * 4095 - 1024)
    for corner in ((0, 0, 0), (-1, 0, -1), (-1, -1, -1)):
        assert bright[corner] == -1000


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_is_converted_in_its_plane(linear_network, describe, make_mr, awkward_affine, axis):
    shape = tuple(1 if a == axis else 40 for a in range(3))
    mr = make_mr(shape, awkward_affine)
    translation = Translator(linear_network(), describe(), device="cpu").translate(mr)
    assert len(translation.planes) == 1
    assert translation.sct.geometry == mr.geometry
    assert translation.sct.voxels.max() > -200
    others = {"axial", "coronal", "sagittal"} - set(translation.planes)
    with pytest.raises(InputError, match="cannot convert in this plane"):
        Translator(linear_network(), describe(), device="cpu").translate(mr, planes=others.pop())


def test_the_network_is_trusted_further_out_in_a_single_slice(linear_network, describe, make_mr):
    translator, given = Translator(linear_network(), describe(steps=SAME_GRID), device="cpu"), {}
    head = make_mr((70, 68, 66), np.eye(4))
    middle = Volume(head.voxels[:, :, 33:34], Geometry((70, 68, 1), np.eye(4)), Quantity.MR)
    for name, mr in (("volume", head), ("slice", middle)):
        body = translator.prepare(mr)
        outside_mm = ndimage.distance_transform_edt(~body.outline)
        given[name] = [body.weight[np.abs(outside_mm - mm) < 0.5] for mm in (8, 17)]
    assert [near.min() for near, _ in given.values()] == [1, 1]
    assert [far.max() for _, far in given.values()] == [0, 1]


def test_a_tiny_trained_family_member_runs_in_all_planes_and_twice_alike(describe, make_mr):
    torch.manual_seed(1)
    network = build_network("attention_unet", {"widths": [2, 4]})
    mr = make_mr((40, 36, 34), np.diag([-1.0, 1, 1, 1]))
    translator = Translator(network, describe(), device="cpu", views=PLAIN)
    first, second = translator.translate(mr), translator.translate(mr)
    assert first.planes == ("axial", "coronal", "sagittal")
    np.testing.assert_array_equal(first.sct.voxels, second.sct.voxels)
    alone = [translator.translate(mr, planes=plane).sct.voxels.astype(float) for plane in first.planes]
    assert np.abs(np.mean(alone, axis=0) - first.sct.voxels).max() < 1.1


def test_slabs_and_patches(linear_network, describe, make_mr):
    mr = make_mr((24, 22, 20), np.eye(4))
    flat = describe(steps=SAME_GRID)
    reference = Translator(linear_network(), flat, device="cpu", precision="fp32").translate(mr).sct.voxels
    slabs = describe(steps=SAME_GRID, context_slices=3)
    patches = describe(steps=SAME_GRID, context_slices=0, patch_size=(8, 8, 8), planes=())
    for description in (slabs, patches):
        translation = Translator(linear_network(), description, device="cpu", precision="fp32").translate(mr)
        np.testing.assert_allclose(translation.sct.voxels, reference, atol=1)
    assert translation.planes == ()
    with pytest.raises(InputError, match="3-D model has no planes"):
        Translator(linear_network(), patches, device="cpu").translate(mr, planes="axial")


def test_a_given_mask_is_used(linear_network, describe, make_mr):
    mr = make_mr((30, 30, 30), np.eye(4))
    voxels = np.zeros(mr.geometry.shape, np.uint8)
    voxels[10:14, 10:14, 10:14] = 1
    mask = Volume(voxels, mr.geometry, Quantity.MASK)
    sct = Translator(linear_network(), describe(), device="cpu").translate(mr, mask=mask).sct.voxels
    assert sct[12, 12, 12] > -800
    assert sct[24, 15, 15] == -1000
    elsewhere = Volume(voxels, Geometry(mr.geometry.shape, np.diag([2.0, 1, 1, 1])), Quantity.MASK)
    with pytest.raises(GeometryError, match="mask and MR"):
        Translator(linear_network(), describe(), device="cpu").translate(mr, mask=elsewhere)


def test_what_is_no_mr_is_refused(linear_network, describe, make_mr):
    translator = Translator(linear_network(), describe(), device="cpu")
    mr = make_mr((24, 22, 20), np.eye(4))
    with pytest.raises(InputError, match="not an MR"):
        translator.translate(mr.with_voxels(mr.voxels, quantity=Quantity.HU))
    with pytest.raises(Mr2ctError):
        translator.translate(mr.with_voxels(np.full(mr.geometry.shape, 7.0)))
    rng = np.random.default_rng(1)
    ct = np.where(mr.voxels > 100, 40, -1000) + rng.normal(0, 5, mr.geometry.shape)
    with pytest.raises(InputError, match="CT"):
        translator.translate(mr.with_voxels(ct))
    assert translator.translate(mr.with_voxels(ct), force=True).sct.geometry == mr.geometry


def test_a_network_that_fails_numerically_is_not_written_down_as_hu(linear_network, describe, make_mr):
    translator = Translator(linear_network(gain=float("nan")), describe(), device="cpu")
    with pytest.raises(BundleError, match="not finite"):
        translator.translate(make_mr((24, 22, 20), np.eye(4)))


def test_the_record_says_what_was_done(linear_network, describe, make_mr):
    stages = []
    mr = make_mr((90, 36, 10), np.diag([1, 1, 4.0, 1]))
    translation = Translator(linear_network(), describe(), device="cpu").translate(
        mr, progress=lambda stage, share: stages.append((stage, share))
    )
    record = json.loads(json.dumps(translation.record))
    assert record["model"] == "analytic"
    assert record["planes"] == list(translation.planes)
    assert record["preprocessing"]["steps"][0]["name"] == "to_canonical"
    assert set(translation.seconds) == {"preprocessing", "network", "finishing"}
    assert stages[0] == ("preprocessing", 0.0)
    assert stages[-1] == ("finishing", 1.0)
    assert ("axial", 1.0) in stages
    assert any("4.0 mm" in warning for warning in translation.warnings)


def test_a_single_slice_is_shown_at_several_places_unless_the_plain_view_is_all_that_is_asked_for(describe, make_mr):
    class FirstRowsAreBone(torch.nn.Module):
        """Sees where the frame begins, as pooling does."""

        def forward(self, mr):
            units = 0.4 * mr - 0.5
            units[:, :, 18:20] = 0.5
            return units

    mr = make_mr((40, 36, 1), np.eye(4))
    bundle = describe()
    scts = {}
    for views in (None, FLIPS, PLAIN):
        done = Translator(FirstRowsAreBone(), bundle, device="cpu", precision="fp32", views=views).translate(mr)
        assert done.record["places"] == (1 if views == PLAIN else len(PLACES))
        scts[views] = done.sct.voxels
    np.testing.assert_array_equal(scts[None], scts[FLIPS])
    assert np.ptp(scts[PLAIN].astype(int)) > np.ptp(scts[FLIPS].astype(int))
    assert (
        Translator(FirstRowsAreBone(), bundle, device="cpu")
        .translate(make_mr((40, 36, 40), np.eye(4)))
        .record["places"]
        == 1
    )


def test_thin_slabs_are_warned_about(linear_network, describe, make_mr):
    translation = Translator(linear_network(), describe(), device="cpu").translate(make_mr((40, 40, 8), np.eye(4)))
    assert translation.planes == ("axial",)
    assert "coronal and sagittal" in translation.warnings[0]


def test_convert_in_one_call(tmp_path, describe, make_mr):
    torch.manual_seed(1)
    network = build_network("attention_unet", {"widths": [2, 4]})
    description = describe(network={"name": "attention_unet", "arguments": {"widths": [2, 4]}})
    write_bundle(tmp_path / "own", state=network.state_dict(), description=description, card="")
    mr = make_mr((24, 22, 20), np.eye(4))
    sct = convert(mr, tmp_path / "own", planes="axial", device="cpu")
    assert sct.geometry == mr.geometry
    with pytest.raises(BundleError, match="unknown model"):
        convert(mr, "no-such-model")


def test_views_are_averaged_and_named(linear_network, describe, make_mr):
    mr = make_mr((30, 28, 26), np.eye(4))
    plain = Translator(linear_network(), describe(), device="cpu", precision="fp32", views=PLAIN).translate(mr)
    both = Translator(linear_network(), describe(), device="cpu", precision="fp32", views=FLIPS).translate(mr)
    assert (plain.record["views"], both.record["views"]) == (["plain"], ["plain", "mirrored"])
    # a pointwise network does not care
    np.testing.assert_allclose(both.sct.voxels, plain.sct.voxels, atol=1)
    for wrong in ((), ("upside-down",)):
        with pytest.raises(InputError, match="unknown view"):
            Translator(linear_network(), describe(), device="cpu", views=wrong)


def test_a_model_that_was_trained_without_flips_never_sees_the_mirror_image(linear_network, describe, make_mr):
    description = describe(flips=False)
    head, middle = make_mr((30, 28, 26), np.eye(4)), make_mr((30, 28, 1), np.eye(4))
    for views in (None, FLIPS):
        translator = Translator(linear_network(), description, device="cpu", precision="fp32", views=views)
        assert translator.translate(head, planes="axial").record["views"] == ["plain"]
        done = translator.translate(middle)
        # unless the plain view is all that is asked for, a slice is shown at all places
        assert (done.record["views"], done.record["places"]) == (["plain"], len(PLACES))
    with pytest.raises(InputError, match="unknown view; got mirrored; expected some of plain"):
        Translator(linear_network(), description, device="cpu", views=("mirrored",))
