"""The signal equations against values worked out by hand, their limits, and the order of tissues they give."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr2ct.errors import InputError
from mr2ct.phantom import CONTRASTS, TISSUES, GradientEcho, InversionRecovery, Label, Relaxation, SpinEcho
from mr2ct.phantom.contrast import Contrast, random_contrast

T1_WEIGHTED = ("t1_spin_echo", "t1_gradient_echo", "t1_mprage")

relaxations = st.builds(Relaxation, st.floats(0.05, 1.0), st.floats(100, 5000), st.floats(5, 2000), st.floats(1, 900))
milliseconds = st.floats(1, 1e4)
sequences = st.one_of(
    st.builds(SpinEcho, milliseconds, milliseconds),
    st.builds(GradientEcho, milliseconds, milliseconds, st.floats(1, 90)),
    st.builds(
        lambda tr_ms, share, te_ms, gradient: InversionRecovery(tr_ms, te_ms, share * tr_ms, gradient),
        milliseconds,
        st.floats(0, 0.99),
        milliseconds,
        st.booleans(),
    ),
)


def signal(name: str, label: Label) -> float:
    contrast = CONTRASTS[name]
    tissue = TISSUES[label]
    return contrast.signal(tissue.at_1_5_tesla if contrast.tesla == 1.5 else tissue.at_3_tesla)


def test_spin_echo_by_hand():
    # TR = T1 and TE = T2: PD (1 - 1/e) / e
    assert SpinEcho(900, 80).signal(Relaxation(0.7, 900, 80, 60)) == pytest.approx(0.7 * (1 - 1 / math.e) / math.e)


def test_gradient_echo_by_hand():
    # 90 degrees leaves (1 - E1), whatever the steady state; T2* decays, T2 does not matter
    tissue = Relaxation(0.8, 500, 1e-3, 20)
    assert GradientEcho(50, 10, 90).signal(tissue) == pytest.approx(0.8 * (1 - math.exp(-0.1)) * math.exp(-0.5))


def test_gradient_echo_is_brightest_at_the_ernst_angle():
    tissue = Relaxation(1.0, 800, 80, 60)
    ernst = math.degrees(math.acos(math.exp(-20 / 800)))
    best = GradientEcho(20, 3, ernst).signal(tissue)
    assert best > GradientEcho(20, 3, ernst + 2).signal(tissue)
    assert best > GradientEcho(20, 3, ernst - 2).signal(tissue)


def test_inversion_recovery_nulls_at_ln2_t1_and_shows_magnitude_before():
    tissue = Relaxation(1.0, 1000, 80, 50)
    assert InversionRecovery(1e9, 0, 1000 * math.log(2)).signal(tissue) == pytest.approx(0, abs=1e-9)
    assert InversionRecovery(1e9, 0, 0).signal(tissue) == pytest.approx(1.0)


def test_inversion_recovery_decays_with_t2_or_t2_star():
    tissue = Relaxation(1.0, 1000, 80, 40)
    spin = InversionRecovery(5000, 40, 3000).signal(tissue) / InversionRecovery(5000, 0, 3000).signal(tissue)
    gradient = InversionRecovery(5000, 40, 3000, True).signal(tissue) / InversionRecovery(5000, 0, 3000).signal(tissue)
    assert spin == pytest.approx(math.exp(-0.5))
    assert gradient == pytest.approx(math.exp(-1))


@given(sequences, relaxations)
def test_signal_lies_between_nothing_and_the_protons(sequence: Contrast, tissue: Relaxation):
    assert 0 <= sequence.signal(tissue) <= tissue.proton_density * (1 + 1e-9)


@given(sequences, relaxations, st.floats(0.1, 0.9))
def test_signal_is_proportional_to_the_protons(sequence: Contrast, tissue: Relaxation, share: float):
    fewer = Relaxation(tissue.proton_density * share, tissue.t1_ms, tissue.t2_ms, tissue.t2_star_ms)
    assert sequence.signal(fewer) == pytest.approx(share * sequence.signal(tissue), rel=1e-6, abs=1e-12)


@given(st.floats(50, 2000), st.floats(1, 30), st.floats(5, 90), relaxations, st.floats(0.2, 0.95))
def test_shorter_t1_never_darkens_spin_and_gradient_echoes(
    tr_ms: float, te_ms: float, flip_deg: float, tissue: Relaxation, share: float
):
    for sequence in (SpinEcho(tr_ms, te_ms), GradientEcho(tr_ms, te_ms, flip_deg)):
        assert sequence.signal(tissue, t1_ms=tissue.t1_ms * share) >= sequence.signal(tissue) * (1 - 1e-9)


@pytest.mark.parametrize("name", T1_WEIGHTED)
def test_t1_weighting_orders_fat_white_grey_fluid(name: str):
    order = [signal(name, t) for t in (Label.FAT, Label.WHITE_MATTER, Label.GREY_MATTER, Label.CSF)]
    if name == "t1_mprage":
        # magnitude shows fluid, still inverted, brighter than nothing; it stays below grey matter
        assert order[3] < order[1]
        order = order[:3]
    assert order == sorted(order, reverse=True)


def test_t2_weighting_turns_the_order_round():
    order = [signal("t2", t) for t in (Label.WHITE_MATTER, Label.GREY_MATTER, Label.CSF)]
    assert order == sorted(order)


def test_flair_darkens_fluid():
    assert signal("flair", Label.CSF) < 0.35 * signal("flair", Label.GREY_MATTER)
    assert signal("flair", Label.GREY_MATTER) > signal("flair", Label.WHITE_MATTER)


@pytest.mark.parametrize("name", CONTRASTS)
def test_bone_and_air_are_dark_in_every_contrast(name: str):
    white = signal(name, Label.WHITE_MATTER)
    assert signal(name, Label.AIR) == 0
    assert signal(name, Label.CORTICAL_BONE) < 0.05 * white


def test_random_contrasts_are_seeded_and_mostly_what_was_asked():
    first, again = (random_contrast(np.random.default_rng(4)) for _ in range(2))
    assert first == again
    rng = np.random.default_rng(0)
    white, csf = TISSUES[Label.WHITE_MATTER].at_3_tesla, TISSUES[Label.CSF].at_3_tesla
    t1 = [random_contrast(rng) for _ in range(50)]
    other = [random_contrast(rng, t1_share=0.0) for _ in range(50)]
    assert all(c.signal(white) > c.signal(csf) for c in t1 if not isinstance(c, InversionRecovery))
    assert all(c.te_ms >= 90 or c.tr_ms >= 2500 for c in other)
    assert {c.agent > 0 for c in t1} == {True, False}


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpinEcho(0, 10),
        lambda: SpinEcho(500, -1),
        lambda: GradientEcho(10, 3, 0),
        lambda: GradientEcho(10, 3, 120),
        lambda: InversionRecovery(900, 3, 900),
    ],
)
def test_impossible_timing_is_refused(make: Callable[[], Contrast]):
    with pytest.raises(InputError, match="impossible"):
        make()
