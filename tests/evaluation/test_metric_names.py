"""Every key has a name, a unit and a direction; values are shown as a reader expects them."""

from __future__ import annotations

import pytest

from mr2ct.evaluation.metric_names import HIGHER, LOWER, NEITHER, metric_name
from mr2ct.evaluation.protocols import PROTOCOLS


@pytest.mark.parametrize(
    ("key", "heading", "better"),
    [
        ("mae_hu", "MAE (HU)", LOWER),
        ("ms_ssim", "MS-SSIM", HIGHER),
        ("bone_dice", "bone Dice", HIGHER),
        ("body_hd95_mm", "body HD95 (mm)", LOWER),
        ("soft_tissue_mean_error_hu", "soft tissue mean error (HU)", NEITHER),
        ("photon_gamma_pass_2_2_percent", "photon γ pass rate 2 %/2 mm (%)", HIGHER),
        ("gamma_pass_3_3_percent", "γ pass rate 3 %/3 mm (%)", HIGHER),
        ("path_length_mae_mm_gantry_045", "path length MAE gantry 045 (mm)", LOWER),
        ("radiograph_front_correlation", "radiograph front correlation", HIGHER),
        ("something_new", "something new", NEITHER),
    ],
)
def test_a_key_has_a_heading_and_a_direction(key: str, heading: str, better: str):
    assert (metric_name(key).heading, metric_name(key).better) == (heading, better)


def test_every_metric_of_a_protocol_has_a_direction():
    assert all(metric_name(key).better for protocol in PROTOCOLS.values() for key in protocol.metrics)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(61.25, "61.2"), (-3.14159, "−3.1"), (-0.01, "0.0"), (None, "–"), (float("nan"), "–"), (float("inf"), "–")],
)
def test_values_are_shown_with_their_decimals(value: float | None, shown: str):
    assert metric_name("mae_hu").show(value) == shown
