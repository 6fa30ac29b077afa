"""The tissue segmenter keeps the grid and shows its levels; whether it learns is tested where it is trained."""

from __future__ import annotations

import pytest
import torch

from mr2ct.models.tissue_segmenter import TissueSegmenter


@pytest.mark.parametrize("size", [(16, 24), (13, 9), (9, 11, 8)], ids=str)
@pytest.mark.parametrize("stem", [1, 2])
def test_scores_have_the_size_of_the_ct_and_features_that_of_their_level(size, stem):
    network = TissueSegmenter(classes=3, dims=len(size), stem=stem, widths=[4, 6, 8]).eval()
    ct = torch.zeros(1, 1, *size)
    assert network(ct).shape == (1, 3, *size)
    features = network.features(ct)
    assert [level.shape[1] for level in features] == [4, 6, 8, 6, 4]
    padded = [n + -n % network.multiple for n in size]
    assert [level.shape[2] for level in features] == [padded[0] // (stem * factor) for factor in (1, 2, 4, 2, 1)]


def test_every_weight_but_those_of_the_scores_is_behind_the_features():
    network = TissueSegmenter(classes=3, widths=[4, 6])
    sum(level.sum() for level in network.features(torch.rand(2, 1, 16, 16))).backward()
    silent = {name.split(".")[0] for name, weight in network.named_parameters() if weight.grad is None}
    assert silent == {"detail"}
