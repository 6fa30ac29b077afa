"""A trained model on disk: weights, what they mean, and a card for people; and the ones that ship with mr2ct."""

from __future__ import annotations

from mr2ct.bundles.bundle import Bundle, load_bundle, load_network, write_bundle
from mr2ct.bundles.description import BundleDescription, NetworkDescription
from mr2ct.bundles.ensemble import EnsembleBundle
from mr2ct.bundles.zoo import BEST, DEFAULT_MODEL, find_bundle, find_ensemble, find_model, shipped, shipped_ensembles

__all__ = [
    "BEST",
    "DEFAULT_MODEL",
    "Bundle",
    "BundleDescription",
    "EnsembleBundle",
    "NetworkDescription",
    "find_bundle",
    "find_ensemble",
    "find_model",
    "load_bundle",
    "load_network",
    "shipped",
    "shipped_ensembles",
    "write_bundle",
]
