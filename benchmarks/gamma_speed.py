"""How long the gamma index of 256 x 256 x 100 voxels of 2 mm takes, beside pymedphys on a part of them.

    python benchmarks/gamma_speed.py                    # 2 %/2 mm and 3 %/3 mm, and a check against pymedphys
    python benchmarks/gamma_speed.py --no-pymedphys     # ours only

Two pairs of doses: "close", as from a good sCT (1 % off, shifted by 0.7 mm, 0.5 % smooth noise), and "far" (4 % off,
shifted by 3 mm, 3 % noise), where many searches go to the end. pymedphys gets the middle slice's voxels, and its time
is scaled by the voxels scored.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from mr2ct.evaluation.gamma import gamma_index, gamma_pass_rate

SPACING_MM = (2.0, 2.0, 2.0)
PAIRS = {"close": (1.01, 0.7, 0.5), "far": (1.04, 3.0, 3.0)}


def beams_dose(shape: tuple[int, int, int], shift_mm: float = 0.0) -> np.ndarray:
    """Percent: five beams with soft edges that cross in the middle, falling off in depth."""
    i, j, k = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, SPACING_MM, strict=True))
    x, y, z = np.meshgrid(i - shift_mm, j, k, indexing="ij", sparse=True)
    dose = np.zeros(shape)
    for angle in np.deg2rad(np.arange(0, 360, 72)):
        along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        aperture = [1 / (1 + np.exp((np.abs(d) - 40) / 3)) for d in (across, z)]
        dose = dose + aperture[0] * aperture[1] * np.exp(along / 250) * (np.abs(along) < 240)
    return 100 * dose / dose.max()


def pair(name: str, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import gaussian_filter

    factor, shift_mm, noise_percent = PAIRS[name]
    noise = gaussian_filter(np.random.default_rng(0).normal(size=shape), 2)
    evaluated = factor * beams_dose(shape, shift_mm) * (1 + noise_percent / 100 * noise / noise.std())
    return beams_dose(shape), evaluated


def pymedphys_seconds(reference: np.ndarray, evaluated: np.ndarray, percent: float, mm: float) -> tuple[float, float]:
    """Seconds for all voxels, scaled from a slab in the middle, and the median difference to ours there."""
    import logging
    import warnings

    import pymedphys

    logging.disable(logging.WARNING)
    middle = reference.shape[2] // 2
    slab = np.s_[:, :, middle - 4 : middle + 5]
    scored = (reference[..., middle] >= 0.1 * reference.max()).sum()
    axes = tuple(np.arange(n) * d for n, d in zip(reference[slab].shape, SPACING_MM, strict=True))
    only_middle = np.zeros_like(reference[slab])
    only_middle[..., 4] = reference[..., middle]
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pymedphys.gamma(
            axes, only_middle, axes, evaluated[slab], percent, mm, 10, max_gamma=2, interp_algo="scipy",
            global_normalisation=reference.max(),
        )[..., 4]  # fmt: skip
    seconds = time.perf_counter() - began
    ours = gamma_index(reference, evaluated, SPACING_MM, dose_percent=percent, distance_mm=mm)[..., middle]
    apart = np.abs(ours - theirs)
    return seconds / scored * (reference >= 0.1 * reference.max()).sum(), float(np.nanmax(apart))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 100))
    parser.add_argument("--no-pymedphys", action="store_true")
    given = parser.parse_args()
    print(f"{' x '.join(map(str, given.shape))} voxels of 2 mm")
    print("| doses | criterion | scored | pass rate | s | peak MB | pymedphys s (scaled) | largest difference |")
    print("|---|---|---|---|---|---|---|---|")
    for name in PAIRS:
        reference, evaluated = pair(name, tuple(given.shape))
        for percent, mm in ((2, 2), (3, 3)):
            began = time.perf_counter()
            gamma = gamma_index(reference, evaluated, SPACING_MM, dose_percent=percent, distance_mm=mm)
            seconds = time.perf_counter() - began
            theirs, apart = ("", "")
            if not given.no_pymedphys:
                theirs, apart = (f"{n:.4g}" for n in pymedphys_seconds(reference, evaluated, percent, mm))
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"| {name} | {percent} %/{mm} mm | {np.isfinite(gamma).sum()} | {gamma_pass_rate(gamma):.2f} % | "
                f"{seconds:.1f} | {peak_mb:.0f} | {theirs} | {apart} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
