"""What cannot be an MR is found by its numbers alone; what can be is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from mr2ct.geometry import Geometry
from mr2ct.trust.image_kind import even_share, kind_findings
from mr2ct.trust.verdict import Verdict
from mr2ct.volume import Quantity, Volume

DISC = np.hypot(*np.mgrid[-30:31, -30:31])[:, :, None] < 22


def volume(voxels, quantity=Quantity.MR):
    return Volume(voxels, Geometry(voxels.shape, np.eye(4)), quantity)


def noisy_disc(scale, noise, offset=0.0):
    rng = np.random.default_rng(1)
    return (offset + scale * DISC + noise * rng.standard_normal(DISC.shape)).astype(np.float32)


IMPOSSIBLE = {
    "a constant": np.full(DISC.shape, 7.0),
    "a mask": DISC.astype(np.float32),
    "a mask volume": DISC.astype(np.uint8),
    "a label map": DISC * (np.indices(DISC.shape)[0] // 4),
    "a smooth label map": DISC * (np.indices(DISC.shape)[0] // 4) + 1e-6 * noisy_disc(1, 1),
    "a CT": noisy_disc(1040, 12, offset=-1000),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_is_no_mr_is_refused(kind):
    quantity = Quantity.MASK if kind == "a mask volume" else Quantity.MR
    (finding,) = kind_findings(volume(IMPOSSIBLE[kind], quantity))
    assert (finding.severity, finding.code) == (Verdict.REFUSE, "modality")


def test_a_ct_is_called_one():
    assert "looks like a CT" in kind_findings(volume(IMPOSSIBLE["a CT"]))[0].sentence
    assert kind_findings(volume(noisy_disc(300, 9), Quantity.HU))[0].code == "modality"


@pytest.mark.parametrize(("scale", "noise"), [(300, 9), (0.7, 0.02), (180, 4)])
def test_an_mr_of_any_scale_is_left_alone(scale, noise):
    assert kind_findings(volume(np.abs(noisy_disc(scale, noise)))) == []


def test_an_mr_of_eight_bits_is_left_alone():
    assert kind_findings(volume(np.abs(noisy_disc(180, 8)).astype(np.uint8).astype(np.float32))) == []


def test_even_neighbours_are_counted_above_the_background_only():
    image = np.zeros((4, 3))
    image[:, 1] = [9, 9, 5, 5]
    assert even_share(image) == pytest.approx(2 / 3)
    assert even_share(np.zeros((4, 4))) == 0
