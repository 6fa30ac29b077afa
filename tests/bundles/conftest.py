"""A tiny attention U-Net as a bundle on disk."""

from __future__ import annotations

import pytest
import torch

from mr2ct.bundles import BundleDescription, write_bundle
from mr2ct.models import build_network

ARGUMENTS = {"widths": [2, 4]}


@pytest.fixture
def description():
    return BundleDescription(
        format_version=1,
        name="tiny",
        method="supervised",
        network={"name": "attention_unet", "arguments": ARGUMENTS},
        preprocessing={"format_version": 1, "steps": [{"name": "to_canonical", "arguments": {}}]},
        hu_range=(-1024, 3071),
        spacing_mm=(1, 1, 1),
        planes=("axial", "coronal", "sagittal"),
        context_slices=1,
        training_data="nothing",
        licence="MIT",
        metrics={"mae_hu": 83.25},
    )


@pytest.fixture
def network():
    torch.manual_seed(3)
    return build_network("attention_unet", ARGUMENTS).eval()


@pytest.fixture
def bundle(tmp_path, description, network):
    return write_bundle(tmp_path / "tiny", state=network.state_dict(), description=description, card="# tiny\n")
