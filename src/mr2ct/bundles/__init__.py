"""A trained model on disk: weights, what they mean, and a card for people; and the ones that ship with mr2ct."""

from __future__ import annotations

from mr2ct.bundles.bundle import Bundle, load_bundle, load_network, write_bundle
from mr2ct.bundles.description import BundleDescription, NetworkDescription
from mr2ct.bundles.zoo import DEFAULT_MODEL, find_bundle, shipped

__all__ = [
    "DEFAULT_MODEL",
    "Bundle",
    "BundleDescription",
    "NetworkDescription",
    "find_bundle",
    "load_bundle",
    "load_network",
    "shipped",
    "write_bundle",
]
