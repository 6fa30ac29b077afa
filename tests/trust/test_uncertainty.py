"""Uncertainty from stand-in models: the sCT stays as it is, the map is on its grid, wrong calibrations are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mr2ct.bundles import BundleDescription
from mr2ct.bundles.card import with_section
from mr2ct.errors import BundleError, InputError
from mr2ct.geometry import Geometry
from mr2ct.inference import Ensemble, Translator
from mr2ct.inference.views import FLIPS
from mr2ct.trust.calibration import MEAN, Calibration
from mr2ct.trust.calibration_fit import DrawnCase, Truth, draw_case, fit_variant, truth_of
from mr2ct.trust.reliability import case_reliability, reliability_summary
from mr2ct.trust.uncertainty import member_answers, near_body, predict_uncertainty
from mr2ct.trust.uncertainty_card import uncertainty_section
from mr2ct.trust.uncertainty_features import FEATURES
from mr2ct.volume import Quantity, Volume


class Linear(torch.nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, mr):
        return self.gain * mr - 0.6


def describe(name, sha, **changes):
    steps = ("to_canonical", "to_spacing", "body_mask", "percentile_scaling")
    keys = {
        "format_version": 1,
        "name": name,
        "method": "supervised",
        "network": {"name": "attention_unet", "arguments": {}},
        "preprocessing": {"format_version": 1, "steps": [{"name": step, "arguments": {}} for step in steps]},
        "hu_range": (-1024, 3071),
        "spacing_mm": (1, 1, 1),
        "planes": ("axial", "coronal", "sagittal"),
        "context_slices": 1,
        "training_data": "none",
        "licence": "MIT",
        "metrics": {},
        "weights_sha256": sha * 64,
    }
    return BundleDescription(**keys | changes)


def translator(name="one", sha="a", gain=0.2, views=FLIPS, **changes):
    return Translator(Linear(gain), describe(name, sha, **changes), device="cpu", precision="fp32", views=views)


def head(shape=(40, 36, 34), affine=None, seed=1):
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    inside = sum(grid**2 for grid in grids) < 0.45
    voxels = np.where(inside, 300 + 120 * grids[0], 0) + rng.uniform(0, 6, shape)
    return Volume(voxels.astype(np.float32), Geometry(shape, np.eye(4) if affine is None else affine), Quantity.MR)


def drawn_cases(n=8, voxels=1000):
    """Cases of three kinds of voxels, told apart by the sCT: brain, edges of bone, walls of sinuses."""
    found = []
    for number in range(n):
        rng = np.random.default_rng(number)
        kind = rng.choice(3, voxels, p=[0.6, 0.2, 0.2])
        sct = np.array([40.0, 350.0, -400.0])[kind]
        other = np.array([60.0, 700.0, -900.0])[kind]
        ct = np.where(rng.random(voxels) < 0.5, other, 40) + rng.normal(0, 25, voxels)
        features = rng.normal(0, 1, (voxels, len(FEATURES)))
        features[:, FEATURES.index("sct")] = sct / 1000
        everywhere = np.ones(voxels, bool)
        as_float = [values.astype(np.float32) for values in (features, sct, ct)]
        far, mae = np.full(50, 20, np.float32), float(np.abs(ct - sct).mean())
        found.append(DrawnCase(str(number), number % 2 == 0, *as_float, everywhere, everywhere, far, mae))
    return found


@pytest.fixture(scope="module")
def models():
    return [translator("one", "a"), translator("two", "b", gain=0.3)]


@pytest.fixture(scope="module")
def record(models):
    cases = drawn_cases()
    return Calibration(tuple(fit_variant(members, cases, steps=250) for members in (models, models[:1]))).to_record()


def test_the_fitted_levels_hold_where_they_were_found(models, record):
    variant, _ = Calibration.from_record(record).choose(models)
    cases = drawn_cases()
    ct = np.concatenate([case.ct_hu for case in cases])
    inside = [np.abs(c.ct_hu - c.sct_hu) <= variant.half_widths_hu(c.features, c.sct_hu)[0] for c in cases]
    for tissue in (ct < -250, ct > 250, np.abs(ct) <= 250):
        assert np.concatenate(inside)[tissue].mean() == pytest.approx(0.9, abs=0.03)


def test_the_sct_is_what_translate_gives(models, record, oblique_affine):
    mr = head((42, 38, 20), oblique_affine)
    uncertain = predict_uncertainty(mr, models, record)
    np.testing.assert_array_equal(uncertain.sct.voxels, models[0].translate(mr).sct.voxels)
    assert uncertain.half_width_hu.geometry == mr.geometry
    assert uncertain.half_width_hu.quantity is Quantity.HU
    assert uncertain.half_width_hu.voxels.min() >= 0
    assert uncertain.interval == 0.9
    assert uncertain.members == ("one", "two")
    assert uncertain.predicted_mae_hu >= 0
    assert uncertain.translation.planes == models[0].translate(mr).planes


@pytest.mark.parametrize("shape", [(40, 36, 1), (40, 1, 34), (1, 36, 34)])
def test_single_slices_of_each_plane(shape, models, record):
    mr = head(shape)
    mask = Volume((mr.voxels > 100).astype(np.uint8), mr.geometry, Quantity.MASK)
    for given in (None, mask):
        uncertain = predict_uncertainty(mr, models, record, mask=given)
        assert uncertain.half_width_hu.voxels.shape == shape
        assert np.ptp(uncertain.half_width_hu.voxels) > 0


def test_far_outside_the_body_the_half_width_is_that_of_air(models, record):
    mr = head((90, 36, 34))
    found = predict_uncertainty(mr, models, record).half_width_hu.voxels
    assert found[0, 0, 0] == round(record["variants"][0]["outside_half_width_hu"])


def test_where_the_sct_is_air_already_half_widths_are_still_worked_out(models, record):
    mr = head((90, 80, 1))
    mask = Volume((mr.voxels > 100).astype(np.uint8), mr.geometry, Quantity.MASK)
    body = models[0].prepare(mr, mask=mask)
    ring = near_body(body) & (body.weight == 0)
    assert ring.any()
    found = predict_uncertainty(mr, models, record, mask=mask).half_width_hu.voxels[body.box][ring]
    assert (found != round(record["variants"][0]["outside_half_width_hu"])).mean() > 0.9


def test_half_widths_are_worked_out_wherever_the_network_has_a_say(models):
    body = models[0].prepare(head((120, 110, 1)))
    assert near_body(body)[body.weight > 0].all()
    assert not near_body(body).all()


def test_one_model_is_enough_and_strangers_are_left_out(models, record):
    mr = head((40, 36, 1))
    alone = predict_uncertainty(mr, models[:1], record)
    stranger = translator("two", "c", gain=0.9)
    other_preparation = translator("two", "b", preprocessing={"format_version": 1, "steps": []})
    for extra in (stranger, other_preparation):
        found = predict_uncertainty(mr, [models[0], extra], record)
        assert found.members == ("one",)
        np.testing.assert_array_equal(found.half_width_hu.voxels, alone.half_width_hu.voxels)


def test_more_models_than_calibrated_change_nothing(models, record):
    mr = head((40, 36, 1))
    three = predict_uncertainty(mr, [*models, translator("three", "d")], record)
    np.testing.assert_array_equal(
        three.half_width_hu.voxels, predict_uncertainty(mr, models, record).half_width_hu.voxels
    )


def test_a_3d_network_is_possible():
    patches = translator(planes=(), context_slices=0, patch_size=(16, 16, 16))
    record = Calibration((fit_variant([patches], drawn_cases(), steps=250),)).to_record()
    assert predict_uncertainty(head((30, 28, 26)), [patches], record).translation.planes == ()


def test_a_calibration_of_other_weights_is_refused(models, record):
    with pytest.raises(BundleError, match="of another model"):
        predict_uncertainty(head(), [translator("one", "e")], record)
    with pytest.raises(BundleError, match="of another model"):
        predict_uncertainty(head(), [], record)


def test_a_wrong_plane_is_refused_as_in_translate(models, record):
    with pytest.raises(InputError, match="unknown plane"):
        predict_uncertainty(head(), models, record, planes="oblique")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ({"variants": []}, "no calibration"),
        ({"features": ["sct"]}, "another version.*other features"),
        ({"features": None}, "another version"),
        ({"views": 3}, "another version"),
        ({"format_version": 2}, "another version"),
        ({"interval": "most"}, "cannot be read"),
        ({"sct": "median"}, "cannot be read"),
        ({"variants": [{}]}, "cannot be read"),
    ],
)
def test_damaged_calibrations_say_so(harm, words, record):
    with pytest.raises(BundleError, match=words):
        Calibration.from_record(record | harm)


def test_the_record_comes_back_whole(record):
    assert Calibration.from_record(record).to_record() == record
    assert record["models"] == ["one", "two"]


def test_the_sct_of_an_ensemble_is_its_mean(models, record):
    together = Ensemble(
        "both",
        tuple(translator(name, sha, gain) for name, sha, gain in (("one", "a", 0.2), ("two", "b", 0.3))),
    )
    of_mean = Calibration(Calibration.from_record(record).variants[:1], sct=MEAN).to_record()
    for shape in ((40, 36, 1), (42, 38, 36)):
        mr = head(shape)
        uncertain = predict_uncertainty(mr, together.members, of_mean)
        np.testing.assert_array_equal(uncertain.sct.voxels, together.translate(mr).sct.voxels)
    assert together.recorded(uncertain.translation).record["model"] == "both"
    first = predict_uncertainty(mr, models, record)
    assert np.abs(first.sct.voxels.astype(int) - uncertain.sct.voxels).max() > 5
    assert (first.half_width_hu.voxels != uncertain.half_width_hu.voxels).any()


def test_a_case_is_drawn_inside_its_mask_and_repeatably(models):
    mr = head((40, 36, 1))
    ct = Volume(np.where(mr.voxels > 100, 40, -1000).astype(np.int16), mr.geometry, Quantity.HU)
    mask = Volume((mr.voxels > 100).astype(np.uint8), mr.geometry, Quantity.MASK)
    body = models[0].prepare(mr)
    truth = Truth("p", True, *truth_of(models[0], mr, ct, mask, body))
    answers = member_answers(models, body, "axial")
    twice = [draw_case(models, answers, body, truth, plane="axial", rng=np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(twice[0].features, twice[1].features)
    assert (twice[0].ct_hu[twice[0].inside] == 40).all()
    of_sct = models[0].translate(mr).sct.voxels[mask.voxels > 0].astype(float)
    assert twice[0].true_mae_hu == pytest.approx(np.abs(of_sct - 40).mean(), abs=0.6)


def test_the_card_tells_what_was_measured(record):
    ct = np.array([-900.0, 40.0, 700.0])
    summary = reliability_summary([case_reliability(ct, np.ones(3), ct, np.ones(3), predicted_mae_hu=1, centre="A")])
    text = uncertainty_section(record | {"measured": {"with_companions": summary, "alone": summary}})
    assert "| centre A | 100.0% | 100.0% | 100.0% | 100.0% |" in text
    card = with_section("# one\n\n## Use\n\nNever.\n", "How sure it is", text, before="Use")
    assert with_section(card, "How sure it is", text, before="Use") == card


def test_a_model_that_was_trained_without_flips_has_no_interval(record):
    """Calibrating asks for the same answers."""
    sided = translator(flips=False)
    with pytest.raises(BundleError, match="one, which was trained without flips"):
        predict_uncertainty(head(), [sided], record)
    with pytest.raises(BundleError, match="mirror image"):
        member_answers([sided], sided.prepare(head()), "axial")
