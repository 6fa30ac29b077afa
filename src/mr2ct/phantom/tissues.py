"""What each tissue label means: its HU on CT, and its proton density and relaxation times on MR."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Label(IntEnum):
    """The tissue labels of the head phantom; 0 is the air around the head."""

    OUTSIDE = 0
    AIR = 1
    SKIN = 2
    FAT = 3
    MUSCLE = 4
    CORTICAL_BONE = 5
    DIPLOE = 6
    GREY_MATTER = 7
    WHITE_MATTER = 8
    CSF = 9
    DURA = 10
    VEIN = 11
    VITREOUS = 12
    LENS = 13
    MUCOSA = 14
    TOOTH = 15
    CARTILAGE = 16
    TONGUE = 17
    GLAND = 18
    DEEP_GREY = 19
    ARTERY = 20
    DENSE_BONE = 21
    SPONGY_BONE = 22


@dataclass(frozen=True)
class Relaxation:
    """Proton density relative to water, and T1, T2, T2* in ms at one field strength."""

    proton_density: float
    t1_ms: float
    t2_ms: float
    t2_star_ms: float


@dataclass(frozen=True)
class Tissue:
    """One tissue: HU mean, spread of that mean between heads, texture within a head, and relaxation at 1.5 T and 3 T.

    `enhancement` is the drop of T1 under a contrast agent relative to blood: 1 for blood, 0 for tissue the agent
    does not reach.
    """

    hu: float
    hu_between_heads: float
    hu_texture: float
    at_1_5_tesla: Relaxation
    at_3_tesla: Relaxation
    enhancement: float = 0.0


def _tissue(
    hu: tuple[float, float, float],
    proton_density: float,
    times_1_5: tuple[float, float, float],
    times_3: tuple[float, float, float],
    enhancement: float = 0.0,
) -> Tissue:
    return Tissue(*hu, Relaxation(proton_density, *times_1_5), Relaxation(proton_density, *times_3), enhancement)


_NOTHING = ((1e6, 1.0, 1.0), (1e6, 1.0, 1.0))
_BLOOD = ((1441.0, 290.0, 120.0), (1932.0, 275.0, 50.0))

TISSUES: dict[Label, Tissue] = {
    Label.OUTSIDE: _tissue((-1000, 0, 0), 0.0, *_NOTHING),
    Label.AIR: _tissue((-1000, 0, 15), 0.0, *_NOTHING),
    Label.SKIN: _tissue((20, 20, 15), 0.72, (640, 35, 22), (850, 30, 18), 0.25),
    Label.FAT: _tissue((-100, 8, 12), 0.60, (290, 85, 15), (370, 70, 9)),
    Label.MUSCLE: _tissue((55, 6, 10), 0.82, (1008, 44, 30), (1412, 40, 25), 0.08),
    Label.CORTICAL_BONE: _tissue((1440, 140, 150), 0.15, (250, 0.5, 0.4), (260, 0.5, 0.4)),
    Label.DIPLOE: _tissue((640, 120, 170), 0.44, (380, 55, 12), (450, 48, 8), 0.05),
    Label.GREY_MATTER: _tissue((38, 2, 3), 0.83, (1124, 95, 65), (1331, 100, 50), 0.02),
    Label.WHITE_MATTER: _tissue((28, 2, 3), 0.70, (700, 80, 60), (832, 76, 46), 0.01),
    Label.CSF: _tissue((8, 3, 3), 1.00, (4200, 2000, 900), (4300, 1900, 700)),
    Label.DURA: _tissue((60, 6, 8), 0.65, (900, 45, 25), (1100, 38, 20), 0.6),
    Label.VEIN: _tissue((55, 6, 5), 0.85, *_BLOOD, 1.0),
    Label.VITREOUS: _tissue((8, 4, 4), 0.99, (3600, 1500, 700), (4000, 1200, 500)),
    Label.LENS: _tissue((75, 10, 8), 0.55, (1000, 35, 20), (1300, 30, 15)),
    Label.MUCOSA: _tissue((35, 10, 12), 0.88, (1100, 75, 40), (1400, 65, 28), 0.7),
    Label.TOOTH: _tissue((2100, 200, 250), 0.05, (250, 0.3, 0.2), (260, 0.3, 0.2)),
    Label.CARTILAGE: _tissue((90, 20, 20), 0.70, (1024, 30, 20), (1168, 27, 15), 0.05),
    Label.TONGUE: _tissue((35, 8, 25), 0.83, (760, 48, 30), (1000, 44, 25), 0.12),
    Label.GLAND: _tissue((10, 20, 20), 0.85, (700, 60, 35), (880, 52, 28), 0.35),
    Label.DEEP_GREY: _tissue((36, 2, 3), 0.78, (940, 84, 55), (1120, 82, 40), 0.02),
    Label.ARTERY: _tissue((45, 5, 5), 0.85, *_BLOOD, 1.0),
    Label.DENSE_BONE: _tissue((1650, 150, 180), 0.10, (250, 0.4, 0.3), (260, 0.4, 0.3)),
    Label.SPONGY_BONE: _tissue((330, 90, 110), 0.58, (360, 60, 14), (430, 50, 10), 0.08),
}
"""HU: Schneider et al. 1996 (doi:10.1088/0031-9155/41/1/009) for tissues, and the ranges read off head CTs for bone.
T1, T2: Stanisz et al. 2005 (doi:10.1002/mrm.20605) for grey and white matter, muscle, cartilage and blood;
Wansapura et al. 1999 (doi:10.1002/(SICI)1522-2586(199904)9:4<531::AID-JMRI4>3.0.CO;2-L) for T2*; Bottomley et al. 1984
(doi:10.1118/1.595535) for fat, skin, glands; bone marrow and fat at 3 T: de Bazelaire et al. 2004
(doi:10.1148/radiol.2303021331); cortical bone: Du et al. 2010, ultrashort-echo T2* of about 0.4 ms."""
