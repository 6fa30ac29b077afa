"""The protocols against values of the challenges' own code, and what they say of odd input."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mr2ct.errors import DataSetError, GeometryError, InputError
from mr2ct.evaluation.protocols import METRICS, PROTOCOLS, Protocol, find_protocol, image_metrics, score_image

GOLDEN_NAMES = {
    "synthrad2023": {"mae_hu": "mae", "psnr_db": "psnr_3000", "ssim": "ssim_2023"},
    "synthrad2025": {"mae_hu": "mae", "psnr_db": "psnr_3000", "ms_ssim": "ms_ssim_3000"},
    "synthrad2025-evaluation": {"mae_hu": "mae", "psnr_db": "psnr_3071", "ms_ssim": "ms_ssim_3071"},
}


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, dict[str, float]]:
    path = shared_data.parent / "golden" / "synthrad_metrics.json"
    if not path.is_file():
        pytest.skip(f"no golden values: {path} is missing")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def golden_images(shared_data: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """sCT, CT and mask by name, as the golden values' README makes them."""
    stored = nib.load(shared_data / "phantom-mr-ct" / "ct_0.78x0.78x1.25.nii.gz")
    ct = np.clip(np.asanyarray(stored.dataobj).astype(np.float64), -1024, 3071)
    a = ct[64:192, 48:208, 40:160]
    b = a[:60, :70, :40]
    wave = 80 * np.sin(0.7 * np.arange(60))[:, None, None] * np.cos(0.3 * np.arange(70))[None, :, None]
    return {
        "smooth+25": (gaussian_filter(a, 1.0) + 25, a, a > -500),
        "roll1+clip": (np.clip(np.roll(a, 1, axis=0), -1000, 1500), a, a > -500),
        "small(60x70x40)+noise": (np.rint(b + wave), b, b > -700),
    }


@pytest.mark.parametrize("name", ["smooth+25", "roll1+clip", "small(60x70x40)+noise"])
@pytest.mark.parametrize("protocol", GOLDEN_NAMES)
def test_agrees_with_the_challenges_own_code(golden, golden_images, name, protocol):
    found = image_metrics(*golden_images[name], protocol=protocol)
    expected = {ours: golden[name][theirs] for ours, theirs in GOLDEN_NAMES[protocol].items()}
    assert found == pytest.approx(expected, rel=1e-9)


def test_every_protocol_is_found_under_its_name_and_uses_known_metrics():
    assert list(PROTOCOLS) == ["synthrad2023", "synthrad2025", "synthrad2025-evaluation"]
    for name, protocol in PROTOCOLS.items():
        assert find_protocol(name) == protocol
        assert protocol.name == name
        assert set(protocol.metrics) <= set(METRICS)


def test_a_protocol_of_ones_own():
    own = Protocol("own", -200, 200, ("psnr_db",))
    found = image_metrics(np.full((8, 8, 8), 900.0), np.full((8, 8, 8), 160.0), np.ones((8, 8, 8)), protocol=own)
    assert found == {"psnr_db": pytest.approx(20)}


def test_a_slice_has_every_metric_and_a_note():
    rng = np.random.default_rng(2)
    ct_hu = rng.normal(0, 300, (60, 50, 1)).astype(np.float32)
    for protocol in PROTOCOLS:
        score = score_image(ct_hu + 10, ct_hu, np.ones(ct_hu.shape), protocol=protocol)
        assert all(np.isfinite(value) for value in score.values.values())
        assert len(score.notes) == 1
        assert "7 x 7 windows" in score.notes[0] or "edge-padded to 97" in score.notes[0]


def test_what_has_no_value_has_a_note():
    ct_hu = np.arange(40.0).reshape(20, 2, 1)
    score = score_image(ct_hu, ct_hu, np.ones(ct_hu.shape), protocol="synthrad2023")
    assert score.values["mae_hu"] == 0
    assert score.values["psnr_db"] == float("inf")
    assert np.isnan(score.values["ssim"])
    assert [note.split(":")[0] for note in score.notes] == ["PSNR is infinite", "SSIM"]
    # a corner of padding alone is left of the mask when levels are halved
    corner = np.zeros((120, 120, 120), np.uint8)
    corner[60, 60, 61] = 1
    score = score_image(np.ones(corner.shape), np.zeros(corner.shape), corner, protocol="synthrad2025")
    assert np.isnan(score.values["ms_ssim"])
    assert "no value" in score.notes[-1]


def test_voxels_that_are_not_numbers_count_outside_the_mask_only():
    ct_hu = np.zeros((9, 9, 9), np.float32)
    sct_hu, mask = ct_hu + 1, np.ones((9, 9, 9))
    sct_hu[0, 0, 0] = np.nan
    with pytest.raises(DataSetError, match="the sCT has voxels that are not numbers"):
        image_metrics(sct_hu, ct_hu, mask, protocol="synthrad2023")
    mask[0, 0, 0] = 0
    assert image_metrics(sct_hu, ct_hu, mask, protocol="synthrad2023")["mae_hu"] == 1


def test_bad_input_is_an_error():
    image = np.zeros((9, 9, 9))
    with pytest.raises(InputError, match=r"synthrad2024.*expected one of synthrad2023"):
        image_metrics(image, image, image + 1, protocol="synthrad2024")
    with pytest.raises(DataSetError, match="empty mask"):
        image_metrics(image, image, image, protocol="synthrad2023")
    with pytest.raises(GeometryError, match="different shapes"):
        image_metrics(image, image[:8], image + 1, protocol="synthrad2023")
    with pytest.raises(GeometryError, match="three axes"):
        image_metrics(image[0], image[0], image[0] + 1, protocol="synthrad2023")
