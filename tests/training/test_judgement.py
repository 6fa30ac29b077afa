"""What generator and discriminator owe each other: the window, the scales' scores, matched features."""

from __future__ import annotations

import pytest
import torch

from mr2ct.hounsfield import HuScaling
from mr2ct.training.judgement import JudgeWindow, feature_difference, judged


def test_the_windows_limits_are_hu():
    scaling = HuScaling()
    window = JudgeWindow.in_hu(scaling, -500, 1500)
    hu = torch.tensor([-500.0, 500.0, 1500.0, 2500.0])
    seen = window((hu - scaling.lowest_hu) / scaling.hu_per_unit - 1)
    torch.testing.assert_close(seen, torch.tensor([-1.0, 0.0, 1.0, 1.1]))


def test_beyond_the_window_the_way_back_can_still_be_felt():
    ct = torch.tensor([-0.9, 0.0, 0.9], requires_grad=True)
    JudgeWindow(-0.5, 0.5)(ct).sum().backward()
    torch.testing.assert_close(ct.grad, torch.tensor([0.2, 2.0, 0.2]))


def test_every_scale_counts_alike_whatever_its_number_of_scores():
    fine, coarse = torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 2, 2)
    assert judged([[fine], [coarse]], real=True, kind="least_squares") == pytest.approx(0.5)
    assert judged([[fine], [coarse]], real=False, kind="least_squares") == pytest.approx(0.5)


def test_features_are_compared_relative_to_the_cts_and_scores_are_not():
    generator = torch.Generator().manual_seed(0)
    of_ct = [[torch.rand(2, 3, 8, 8, generator=generator), torch.zeros(2, 1, 4, 4)] for _ in range(2)]
    of_sct = [[1.2 * features, scores + 9] for features, scores in of_ct]
    larger = [[[50 * features, scores] for features, scores in found] for found in (of_sct, of_ct)]
    assert feature_difference(of_ct, of_ct) == 0
    assert feature_difference(of_sct, of_ct) == pytest.approx(0.2, rel=1e-5)
    assert feature_difference(*larger) == pytest.approx(0.2, rel=1e-5)


def test_features_of_nothing_give_a_finite_difference():
    nothing = [[torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 2, 2)]]
    assert torch.isfinite(feature_difference(nothing, nothing))
