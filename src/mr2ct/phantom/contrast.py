"""MR signal equations: the brightness of a tissue from its proton density, T1, T2 and T2*, and the scanner's timing.

Sources: Hahn spin echo, the spoiled gradient echo (Ernst & Anderson 1966, doi:10.1063/1.1719961) and inversion
recovery, all as in Bernstein, King & Zhou, Handbook of MRI Pulse Sequences (2004), chapters 14 and 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator

from mr2ct.errors import InputError
from mr2ct.phantom.tissues import Relaxation


class Contrast(Protocol):
    """A pulse sequence with its timing."""

    @property
    def tesla(self) -> float:
        """Field strength, 1.5 or 3."""

    @property
    def agent(self) -> float:
        """Rise of the longitudinal relaxation rate of blood by a contrast agent, in 1/s; 0 without agent."""

    def signal(self, tissue: Relaxation, *, t1_ms: float | None = None) -> float:
        """Signal in units of fully relaxed water; `t1_ms` replaces the tissue's T1 (contrast agent)."""


def _require_order(name: str, possible: bool, sequence: object) -> None:
    if not possible:
        raise InputError(
            f"impossible {name}", got=sequence, expected="0 <= TE, 0 <= TI < TR, 0 < TR, flip angle of 1 to 90 degrees"
        )


@dataclass(frozen=True)
class SpinEcho:
    """S = PD (1 - exp(-TR/T1)) exp(-TE/T2).

    Example
    -------
    >>> round(SpinEcho(500, 15).signal(Relaxation(1.0, 500, 150, 50)), 3)
    0.572
    """

    tr_ms: float
    te_ms: float
    tesla: float = 1.5
    agent: float = 0.0

    def __post_init__(self) -> None:
        _require_order("spin echo", self.te_ms >= 0 and self.tr_ms > 0, self)

    def signal(self, tissue: Relaxation, *, t1_ms: float | None = None) -> float:
        """Signal in units of fully relaxed water; `t1_ms` replaces the tissue's T1."""
        t1 = tissue.t1_ms if t1_ms is None else t1_ms
        return float(tissue.proton_density * -np.expm1(-self.tr_ms / t1) * np.exp(-self.te_ms / tissue.t2_ms))


@dataclass(frozen=True)
class GradientEcho:
    """Spoiled gradient echo: S = PD sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE/T2*), E1 = exp(-TR/T1).

    Example
    -------
    >>> round(GradientEcho(20, 0, 90).signal(Relaxation(1.0, 1000, 80, 50)), 4)
    0.0198
    """

    tr_ms: float
    te_ms: float
    flip_deg: float
    tesla: float = 3.0
    agent: float = 0.0

    def __post_init__(self) -> None:
        _require_order("gradient echo", self.te_ms >= 0 and self.tr_ms > 0 and 0 < self.flip_deg <= 90, self)

    def signal(self, tissue: Relaxation, *, t1_ms: float | None = None) -> float:
        """Signal in units of fully relaxed water; `t1_ms` replaces the tissue's T1."""
        e1 = np.exp(-self.tr_ms / (tissue.t1_ms if t1_ms is None else t1_ms))
        angle = np.deg2rad(self.flip_deg)
        steady = np.sin(angle) * (1 - e1) / (1 - np.cos(angle) * e1)
        return float(tissue.proton_density * steady * np.exp(-self.te_ms / tissue.t2_star_ms))


@dataclass(frozen=True)
class InversionRecovery:
    """Magnitude of S = PD (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2), or T2* for `gradient` read-outs (MPRAGE).

    Example
    -------
    >>> round(InversionRecovery(1e9, 0, 1000 * 0.6931472).signal(Relaxation(1.0, 1000, 80, 50)), 3)
    0.0
    """

    tr_ms: float
    te_ms: float
    ti_ms: float
    gradient: bool = False
    tesla: float = 3.0
    agent: float = 0.0

    def __post_init__(self) -> None:
        _require_order("inversion recovery", self.te_ms >= 0 and 0 <= self.ti_ms < self.tr_ms, self)

    def signal(self, tissue: Relaxation, *, t1_ms: float | None = None) -> float:
        """Signal in units of fully relaxed water, never negative; `t1_ms` replaces the tissue's T1."""
        t1 = tissue.t1_ms if t1_ms is None else t1_ms
        recovered = 1 - 2 * np.exp(-self.ti_ms / t1) + np.exp(-self.tr_ms / t1)
        decay = np.exp(-self.te_ms / (tissue.t2_star_ms if self.gradient else tissue.t2_ms))
        return float(tissue.proton_density * abs(recovered) * decay)


CONTRASTS: dict[str, Contrast] = {
    "t1_spin_echo": SpinEcho(500, 12),
    "t1_gradient_echo": GradientEcho(9, 4, 20),
    "t1_mprage": InversionRecovery(2000, 3, 900, gradient=True),
    "t1_contrast_agent": InversionRecovery(2000, 3, 900, gradient=True, agent=4.0),
    "t2": SpinEcho(4500, 100),
    "flair": InversionRecovery(9000, 110, 2500),
    "pd": SpinEcho(3500, 15),
}


def random_contrast(generator: Generator, *, t1_share: float = 1.0) -> Contrast:
    """Draw a sequence with random timing: T1-weighted with probability `t1_share`, else T2, FLAIR or PD.

    Example
    -------
    >>> random_contrast(np.random.default_rng(0)).signal(Relaxation(1.0, 500, 150, 50)) > 0
    True
    """
    tesla = float(generator.choice([1.5, 3.0]))
    if generator.random() >= t1_share:
        return _draw_other(generator, tesla)
    agent = float(generator.uniform(2, 7)) if generator.random() < 0.45 else 0.0
    kind = generator.choice(["mprage", "gradient", "spin"], p=[0.5, 0.3, 0.2])
    if kind == "mprage":
        tr, ti = generator.uniform(1500, 2400), generator.uniform(750, 1050)
        return InversionRecovery(float(tr), float(generator.uniform(2, 4.5)), float(ti), True, tesla, agent)
    if kind == "gradient":
        tr, flip = generator.uniform(6, 25), generator.uniform(14, 32)
        return GradientEcho(float(tr), float(generator.uniform(2, 5)), float(flip), tesla, agent)
    return SpinEcho(float(generator.uniform(400, 700)), float(generator.uniform(8, 18)), tesla, agent)


def _draw_other(generator: Generator, tesla: float) -> Contrast:
    kind = generator.choice(["t2", "flair", "pd"])
    if kind == "t2":
        return SpinEcho(float(generator.uniform(3000, 6000)), float(generator.uniform(80, 120)), tesla)
    if kind == "flair":
        ti = 2500 if tesla == 3.0 else 2300
        return InversionRecovery(
            9000.0, float(generator.uniform(90, 130)), float(ti + generator.uniform(-150, 150)), tesla=tesla
        )
    return SpinEcho(float(generator.uniform(2500, 4000)), float(generator.uniform(10, 25)), tesla)
