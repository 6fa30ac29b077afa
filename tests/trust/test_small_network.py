"""The little network: against torch, by its gradients, and through its record."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from mr2ct.errors import BundleError
from mr2ct.trust.small_network import SmallNetwork, _gradients, fit_network

RNG = np.random.default_rng(4)


def network(sizes=(3, 5, 4)):
    weights = tuple(RNG.normal(size=(a, b)).astype(np.float32) for a, b in pairwise(sizes))
    offsets = tuple(RNG.normal(size=b).astype(np.float32) for b in sizes[1:])
    return SmallNetwork(np.float32([0.1, -0.2, 0]), np.float32([1, 2, 0.5]), weights, offsets)


def in_torch(net, features):
    x = torch.from_numpy((features - net.mean) / net.scale).clamp(-4, 4)
    parameters = [torch.from_numpy(p).requires_grad_() for p in (*net.weights, *net.offsets)]
    n = len(net.weights)
    for layer in range(n):
        x = x @ parameters[layer] + parameters[n + layer]
        x = torch.relu(x) if layer < n - 1 else x
    return x, parameters


def test_probabilities_are_those_of_torch():
    net, features = network(), RNG.normal(size=(7, 3)).astype(np.float32)
    logits, _ = in_torch(net, features)
    np.testing.assert_allclose(net.probabilities(features), logits.softmax(1).detach().numpy(), rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_torch():
    net, features = network((3, 6, 5, 4)), RNG.normal(size=(9, 3)).astype(np.float32)
    targets = RNG.integers(0, 4, 9)
    logits, parameters = in_torch(net, features)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets)).backward()
    for ours, theirs in zip(_gradients(net, features, targets), parameters, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_a_feature_far_beyond_training_counts_no_more():
    net = network()
    far, farther = np.full((1, 3), 1e3, np.float32), np.full((1, 3), 1e6, np.float32)
    np.testing.assert_array_equal(net.probabilities(far), net.probabilities(farther))


def test_fitting_finds_frequencies_and_repeats_itself():
    side = RNG.integers(0, 2, 4000)
    targets = (RNG.random(4000) < np.where(side, 0.8, 0.3)).astype(np.intp)
    features = side[:, None].astype(np.float32)
    found = [fit_network(features, targets, hidden=(6,), outputs=2, steps=400, seed=2) for _ in range(2)]
    p = found[0].probabilities(np.float32([[0], [1]]))[:, 1]
    assert p == pytest.approx([0.3, 0.8], abs=0.05)
    assert found[0].to_record() == found[1].to_record()


def test_the_record_keeps_the_network():
    net, features = network(), RNG.normal(size=(7, 3)).astype(np.float32)
    again = SmallNetwork.from_record(net.to_record())
    np.testing.assert_allclose(again.probabilities(features), net.probabilities(features), atol=1e-4)


@pytest.mark.parametrize("harm", [{"weights": [["1 2"], ["1"]]}, {"mean": "a b"}, {"mean": 3}, {"offsets": []}])
def test_a_damaged_record_is_said_to_be_one(harm):
    with pytest.raises(BundleError, match="network cannot be read"):
        SmallNetwork.from_record(network().to_record() | harm)
