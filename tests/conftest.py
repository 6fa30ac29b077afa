"""Fixtures every room may use: the real data beside the repository, and small volumes on awkward grids."""

from __future__ import annotations

import locale
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

# torch 2.13 corrupts memory where the tests' tiny networks train with bfloat16, batches of one and several threads
os.environ.setdefault("OMP_NUM_THREADS", "1")

from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume

if TYPE_CHECKING:
    from mr2ct.bundles import Bundle

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _keep_locale() -> Iterator[None]:
    """GDCM sets the process's locale to C when it is imported; text would then be ASCII in every later test."""
    before = locale.setlocale(locale.LC_CTYPE)
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The read-only real data beside the repository; tests that need it are skipped where it is missing."""
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"no real data: {_SHARED_DATA} is missing")
    return _SHARED_DATA


def _turned(degrees_about_ijk: tuple[float, float, float]) -> np.ndarray:
    rotation = np.eye(3)
    for axis, degrees in enumerate(degrees_about_ijk):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(np.deg2rad(degrees))
        turn[a, b], turn[b, a] = -np.sin(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        rotation = turn @ rotation
    return rotation


AFFINES = {
    "ras_1mm": np.eye(4),
    "lps_anisotropic": np.diag([-0.7, -0.9, 2.5, 1.0]),
    # axes in the order superior, left, anterior
    "permuted": np.array([[0, -1.5, 0, 20.0], [0, 0, 0.8, -31.5], [1.2, 0, 0, 4.25], [0, 0, 0, 1]]),
    "oblique_flipped": np.block(
        [[_turned((12, -7, 21)) @ np.diag([-0.8, 1.1, -2.0]), np.array([[33.3], [-12.5], [7.75]])], [0, 0, 0, 1]]
    ),
}


@pytest.fixture(params=AFFINES, ids=str)
def awkward_affine(request: pytest.FixtureRequest) -> np.ndarray:
    """(4, 4) RAS+ mm: straight, flipped and anisotropic, permuted, oblique and flipped, in turn."""
    return AFFINES[request.param]


@pytest.fixture
def oblique_affine() -> np.ndarray:
    """(4, 4) RAS+ mm, oblique and left-handed, 0.8 x 1.1 x 2 mm."""
    return AFFINES["oblique_flipped"].copy()


@pytest.fixture
def small_mr(oblique_affine: np.ndarray) -> Volume:
    """A float32 MR of 9 x 8 x 7 voxels on the oblique grid: an ellipsoid with a gradient, noise, dark air."""
    rng = np.random.default_rng(1)
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in (9, 8, 7)), indexing="ij")
    voxels = np.where(i**2 + j**2 + k**2 < 0.8, 200 + 50 * i, 0) + rng.uniform(0, 9, i.shape)
    return Volume(voxels.astype(np.float32), Geometry((9, 8, 7), oblique_affine), Quantity.MR)


@pytest.fixture
def small_ct(small_mr: Volume) -> Volume:
    """An int16 CT on the grid of `small_mr`: air, soft tissue, a bright core of bone."""
    voxels = np.where(small_mr.voxels > 100, 40, -1000).astype(np.int16)
    voxels[4, 4, 3] = 1800
    return Volume(voxels, small_mr.geometry, Quantity.HU)


@pytest.fixture(scope="session")
def tiny_bundle() -> Callable[..., Bundle]:
    """Writes a bundle with a tiny untrained attention U-Net into a folder: `tiny_bundle(folder, seed=1, **changes)`."""
    return _write_tiny_bundle


def _write_tiny_bundle(folder: Path, *, seed: int = 1, **changes: Any) -> Bundle:
    import torch

    from mr2ct.bundles import BundleDescription, write_bundle
    from mr2ct.models import build_network
    from mr2ct.preprocessing.pipeline import default_pipeline

    torch.manual_seed(seed)
    arguments = {"widths": [2, 4]}
    keys = {
        "format_version": 1,
        "name": folder.name,
        "method": "supervised",
        "network": {"name": "attention_unet", "arguments": arguments},
        "preprocessing": default_pipeline().to_record(),
        "hu_range": (-1024, 3071),
        "spacing_mm": (1, 1, 1),
        "planes": ("axial", "coronal", "sagittal"),
        "context_slices": 1,
        "training_data": "none",
        "licence": "MIT",
        "metrics": {},
    }
    description = BundleDescription.model_validate(keys | changes)
    state = build_network("attention_unet", arguments).state_dict()
    return write_bundle(folder, state=state, description=description, card=f"# {folder.name}")
