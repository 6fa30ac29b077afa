"""Validation: the masked error in HU on whole slices or volumes, by plane, of the cases that have any."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mr2ct.datasets.sampling import BoxPlan
from mr2ct.datasets.store import CaseStore
from mr2ct.errors import DataSetError
from mr2ct.evaluation.sharpness import bone_gradient_energy_percent
from mr2ct.hounsfield import HuScaling
from mr2ct.training.validation import ScoredSlice, Validation

SCALING = HuScaling()
CPU = torch.device("cpu")


class Guess(nn.Module):
    """Says `gain` times the middle channel plus `offset`, in network units; remembers what it saw."""

    def __init__(self, gain: float = 0.0, offset: float = 0.0) -> None:
        super().__init__()
        self.gain, self.offset = gain, offset
        self.seen: list[torch.Size] = []
        self.shown = torch.empty(0)

    def forward(self, mr):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.seen.append(mr.shape)
        self.shown = mr
        middle = mr.shape[1] // 2
        return self.gain * mr[:, middle : middle + 1] + self.offset


def validation(cases, *, limit: int = 10, window=None, **plan) -> Validation:
    settings = {"size": (24, 24) if window is None else (8, 8, 8), **plan}
    if window is not None:
        settings["context_slices"] = None
    return Validation(cases, BoxPlan(**settings), SCALING, device=CPU, limit=limit, window=window)


def test_the_score_is_the_mean_masked_error_of_the_middle_slices(heads):
    volume = [case for case in heads if case.info.case == "p1"]
    scores = validation(volume)(Guess(offset=0.0))
    guessed = SCALING.to_hu(np.zeros(1))[0]
    expected = {}
    for plane, axis in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        middle = volume[0].info.shape[axis] // 2
        ct, mask = (np.take(image, middle, axis) for image in (volume[0].ct(), volume[0].mask()))
        expected[f"mae_hu_{plane}"] = np.abs(ct.astype(float) - guessed)[mask > 0].mean()
    assert scores.pop("bone_gradient_energy_percent") == 0
    assert scores == {
        "mae_hu": pytest.approx(np.mean(list(expected.values())), rel=1e-4),
        **{key: pytest.approx(value, rel=1e-4) for key, value in expected.items()},
    }


def test_single_slices_are_scored_in_their_plane(heads):
    axial = [case for case in heads if "axial" in case.info.case]
    network = Guess()
    check = validation(axial)
    assert check(network).keys() == {"mae_hu", "mae_hu_axial", "bone_gradient_energy_percent"}
    # whole slices of 40 x 44 with background round them, on a grid of few sizes
    assert set(network.seen) == {torch.Size([1, 1, 96, 96])}
    shown, mr = network.shown[0, 0].numpy(), check.slices[-1].mr
    np.testing.assert_array_equal(shown, np.pad(mr, ((16, 40), (16, 36))))
    assert [scored.mr.shape for scored in check.slices] == [(40, 44), (40, 44)]
    assert [scored.name for scored in check.slices] == ["p5-axial", "p6-axial"]


def test_a_slab_shows_its_middle_slice(heads):
    volume = [case for case in heads if case.info.case == "p1"]
    check, network = validation(volume, context_slices=3, planes=("coronal",)), Guess()
    check(network)
    assert set(network.seen) == {torch.Size([1, 3, 96, 96])}
    np.testing.assert_array_equal(check.slices[0].mr, volume[0].mr()[:, 22, :].astype(np.float32))


def test_a_volume_is_scored_whole_through_the_window(heads):
    volume = [case for case in heads if case.info.case == "p2"]
    check = validation(volume, window=lambda network, mr: network(mr))
    scores = check(Guess(offset=-1.0))
    ct, mask = volume[0].ct().astype(float), volume[0].mask() > 0
    assert scores["mae_hu"] == pytest.approx(np.abs(ct + 1024)[mask].mean(), rel=1e-4)
    assert scores.keys() == {"mae_hu", "mae_hu_volume", "bone_gradient_energy_percent"}
    assert check.slices[0].sct_hu.shape == (40, 44, 36)


def a_scored_slice(sct_hu, ct_hu, mask) -> ScoredSlice:
    return ScoredSlice("p", np.zeros_like(ct_hu), sct_hu, ct_hu, mask)


def test_sharpness_is_that_of_the_evaluation():
    rng = np.random.default_rng(4)
    ct, sct = (rng.normal(300, 900, (20, 24)).astype(np.float32) for _ in range(2))
    mask = rng.random((20, 24)) < 0.7
    expected = bone_gradient_energy_percent(sct[..., None], ct[..., None], mask[..., None], (1.0, 1.0, 1.0))
    assert a_scored_slice(sct, ct, mask).bone_gradient_energy_percent == pytest.approx(expected, rel=0.01)
    assert a_scored_slice(ct, ct, mask).bone_gradient_energy_percent == 100


def test_without_bone_there_is_no_sharpness(heads, monkeypatch):
    water = np.zeros((8, 8), np.float32)
    assert np.isnan(a_scored_slice(water, water, water == 0).bone_gradient_energy_percent)
    monkeypatch.setattr("mr2ct.training.validation.BONE_ABOVE_HU", 1e6)
    assert "bone_gradient_energy_percent" not in validation(heads[:1])(Guess())


def test_a_limit_spreads_over_the_cases(heads):
    assert [case.info.case for case in validation(heads, limit=3).cases] == ["p1", "p3", "p6-axial"]
    assert len(validation(heads, limit=99).cases) == len(heads)


def test_the_network_is_left_in_its_mode(heads):
    network = Guess().train()
    validation(heads[:1])(network)
    assert network.training


def test_without_cases_there_is_no_score():
    assert validation([])(Guess()) == {}


def test_cases_without_a_slice_in_the_planes_are_left_out(heads):
    assert len(validation(heads, planes=("coronal",)).cases) == 4
    axial = [case for case in heads if "axial" in case.info.case]
    with pytest.raises(DataSetError, match="no case to validate on; .*expected coronal"):
        validation(axial, planes=("coronal",))


def test_empty_masks_are_left_out_of_the_mean_and_alone_an_error(heads, write_heads, tmp_path):
    root = write_heads(tmp_path / "store", ["e1"])
    mask = np.load(root / "cases" / "e1" / "mask.npy")
    np.save(root / "cases" / "e1" / "mask.npy", np.zeros_like(mask))
    empty = CaseStore.open(root).cases
    with pytest.raises(DataSetError, match="empty masks in all validation slices"):
        validation(empty)(Guess())
    assert validation([*heads[:1], *empty])(Guess()) == validation(heads[:1])(Guess())
