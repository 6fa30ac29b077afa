"""Calibrations with made-up numbers."""

from __future__ import annotations

import numpy as np

from mr2ct.trust.calibration import Variant
from mr2ct.trust.hu_distribution import N_BINS
from mr2ct.trust.levels import Levels
from mr2ct.trust.small_network import SmallNetwork
from mr2ct.trust.uncertainty_features import FEATURES


def variant(*descriptions):
    """For the models of these descriptions together."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.3, (len(FEATURES), N_BINS)).astype(np.float32)
    zeros, ones = np.zeros(len(FEATURES), np.float32), np.ones(len(FEATURES), np.float32)
    network = SmallNetwork(zeros, ones, (weights,), (np.zeros(N_BINS, np.float32),))
    members = tuple((described.name, described.weights_sha256) for described in descriptions)
    return Variant(members, network, Levels((1.0, 1.0, 1.0), (0.9, 0.9, 0.9)), 25.0)
