"""How far does a model's error rise when the MR's contrast is not the one it was trained on?

    python benchmarks/contrast_robustness.py --data DATA --split stores/brain/split.json [MODEL ...]

MAE in HU inside the mask, mean over slices. Phantom heads, whose CT is the same whatever the sequence: T1 (MPRAGE)
without and with contrast agent, T1 spin echo, T2 and FLAIR; middle slices of the three planes. Real slices of the
validation patients: as they are, with the contrast inverted (all of the head; and with black kept black, as in T2),
with gamma 0.5 and 2, a stronger bias field, and noise. Models are names or bundle folders; all shipped ones by default.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mr2ct import Quantity, __version__, read_volume
from mr2ct.bundles import find_bundle
from mr2ct.bundles.zoo import shipped
from mr2ct.datasets.cases import find_synthrad
from mr2ct.datasets.splits import read_split
from mr2ct.geometry import Geometry
from mr2ct.inference import Translator
from mr2ct.phantom import CONTRASTS, head_mask, head_phantom, simulate_ct, simulate_mr
from mr2ct.volume import Volume

SEQUENCES = ("t1_mprage", "t1_contrast_agent", "t1_spin_echo", "t2", "flair")
BLACK = 0.15


class Example(NamedTuple):
    group: str
    mr: Volume
    ct: Volume
    mask: Volume


def gamma(exponent: float) -> Callable[..., np.ndarray]:
    return lambda mr, inside, generator: np.clip(mr, 0, None) ** exponent


def inverted(mr: np.ndarray, inside: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.where(inside, np.clip(1 - mr, 0, None), 0)


def inverted_but_black(mr: np.ndarray, inside: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.where(mr < BLACK, mr, np.clip(BLACK + 1 - mr, 0, None))


def biased(mr: np.ndarray, inside: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    field = np.ones(mr.shape)
    for axis, size in enumerate(mr.shape):
        along = np.cos(np.linspace(0, np.pi, size) + generator.uniform(0, np.pi)) if size > 1 else np.zeros(1)
        field = field * (1 + 0.4 * along.reshape([-1 if other == axis else 1 for other in range(3)]))
    return mr * field


def noisy(mr: np.ndarray, inside: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.hypot(mr + 0.06 * generator.standard_normal(mr.shape), 0.06 * generator.standard_normal(mr.shape))


CHANGES: dict[str, Callable[..., np.ndarray]] = {
    "as it is": lambda mr, inside, generator: mr,
    "inverted": inverted,
    "inverted, black kept": inverted_but_black,
    "gamma 0.5": gamma(0.5),
    "gamma 2": gamma(2.0),
    "bias field 40 %": biased,
    "noise 6 %": noisy,
}


def phantom_examples(heads: int, per_plane: int) -> Iterator[Example]:
    for seed in range(7001, 7001 + heads):
        head = head_phantom(seed, spacing_mm=1.0)
        ct, mask = simulate_ct(head, seed=seed), head_mask(head)
        for name in SEQUENCES:
            mr = simulate_mr(head, CONTRASTS[name], seed=seed)
            for axis in range(3):
                for n in middle_slices(mask, axis, per_plane):
                    yield Example(f"phantom: {name}", *(one_slice(v, axis, n) for v in (mr, ct, mask)))


def middle_slices(mask: Volume, axis: int, count: int) -> list[int]:
    seen = np.flatnonzero(mask.voxels.any(axis=tuple(other for other in range(3) if other != axis)))
    return [int(n) for n in np.quantile(seen, np.linspace(0.4, 0.7, count))]


def one_slice(volume: Volume, axis: int, n: int) -> Volume:
    start = [n if other == axis else 0 for other in range(3)]
    affine = volume.geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    voxels = np.take(volume.voxels, [n], axis)
    return Volume(voxels, Geometry(voxels.shape, affine), volume.quantity)


def real_examples(data: Path, split: Path, patients: int) -> Iterator[Example]:
    chosen = read_split(split).validation
    chosen = [chosen[int(n)] for n in np.linspace(0, len(chosen) - 1, min(patients, len(chosen)))]
    for number, case in enumerate(case for case in find_synthrad(data) if case.patient in chosen):
        mr, ct = read_volume(case.mr), read_volume(case.ct, quantity=Quantity.HU)
        mask = read_volume(case.mask, quantity=Quantity.MASK)
        inside = mask.voxels > 0
        bright = float(np.percentile(mr.voxels[inside], 99))
        for name, change in CHANGES.items():
            changed = change(mr.voxels / bright, inside, np.random.default_rng(number)) * bright
            yield Example(f"real: {name}", Volume(changed.astype(np.float32), mr.geometry, Quantity.MR), ct, mask)


def mae_hu(translator: Translator, example: Example) -> float:
    sct = translator.translate(example.mr, mask=example.mask, force=True).sct
    inside = example.mask.voxels > 0
    return float(np.abs(sct.voxels - example.ct.voxels)[inside].mean())


def main() -> None:
    arguments = _parser().parse_args()
    names = arguments.models or shipped()
    translators = {name: Translator.from_bundle(find_bundle(name)) for name in names}
    found: dict[str, list[list[float]]] = {}
    examples = [
        *phantom_examples(arguments.heads, arguments.per_plane),
        *real_examples(arguments.data, arguments.split, arguments.patients),
    ]
    for example in examples:
        found.setdefault(example.group, []).append([mae_hu(t, example) for t in translators.values()])
    print(f"mr2ct {__version__}, torch {torch.__version__}, {platform.machine()}; MAE in HU inside the mask")
    print(f"| contrast | slices | {' | '.join(translators)} |")
    print("|---|---|" + "---|" * len(translators))
    for group, rows in found.items():
        print(f"| {group} | {len(rows)} | " + " | ".join(f"{mae:.0f}" for mae in np.mean(rows, axis=0)) + " |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names or bundle folders; all shipped ones by default")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=4, help="validation patients, three slices each")
    parser.add_argument("--heads", type=int, default=2, help="phantoms")
    parser.add_argument("--per-plane", type=int, default=2, help="slices of each plane of each phantom")
    return parser


if __name__ == "__main__":
    main()
