"""How fast and how large are the image metrics? Ours against the published computations written plainly with SciPy.

    python benchmarks/metric_speed.py [--shape 256 256 200] [--mask ellipsoid] [--repeats 3]

Each row runs in a process of its own, one thread: the least of the repeats in seconds of processor time, and the
process's peak memory with the images in it (float32, as mr2ct reads them). "plain" holds whole arrays in float64,
takes five `scipy.ndimage.uniform_filter`, three powers a voxel, and a Fourier convolution between levels, as the
challenges' published code does. Both must agree to 1e-9, or the script stops.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from multiprocessing import get_context

# before numpy: one thread, so that seconds can be compared
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve

from mr2ct.evaluation.case_score import score_case
from mr2ct.evaluation.ms_ssim import SMALLEST_SIZE, WEIGHTS, ms_ssim
from mr2ct.evaluation.ssim import ssim
from mr2ct.geometry import Geometry
from mr2ct.volume import Quantity, Volume

LOWEST_HU, HIGHEST_HU = -1024.0, 3000.0
WIDTH = HIGHEST_HU - LOWEST_HU
C1, C2 = (0.01 * WIDTH) ** 2, (0.03 * WIDTH) ** 2
Images = tuple[np.ndarray, np.ndarray, np.ndarray]


def head_like_images(shape: tuple[int, ...], mask_kind: str) -> Images:
    """sCT, CT (float32 HU) and mask (uint8): nested ellipsoids, noise, an sCT that is blurred and 20 HU too bright."""
    rng = np.random.default_rng(0)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    radius = np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij", sparse=True)))
    ct_hu = np.select([radius < 0.7, radius < 0.8, radius < 0.9], [35, 1100, -60], default=-1000).astype(np.float32)
    ct_hu += rng.normal(0, 12, shape).astype(np.float32)
    sct_hu = uniform_filter(ct_hu, 3) + np.float32(20)
    mask = radius < 0.93 if mask_kind == "ellipsoid" else np.ones(shape, dtype=bool)
    return sct_hu, ct_hu, mask.astype(np.uint8)


def _shifted(hu: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask > 0, np.clip(hu.astype(np.float64), LOWEST_HU, HIGHEST_HU), LOWEST_HU) - LOWEST_HU


def _moments(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    ux, uy = uniform_filter(x, 7), uniform_filter(y, 7)
    vx = 343 / 342 * (uniform_filter(x * x, 7) - ux * ux)
    vy = 343 / 342 * (uniform_filter(y * y, 7) - uy * uy)
    return ux, uy, vx, vy, 343 / 342 * (uniform_filter(x * y, 7) - ux * uy)


def plain_ssim(sct_hu: np.ndarray, ct_hu: np.ndarray, mask: np.ndarray) -> float:
    """SynthRAD2023's masked SSIM."""
    ux, uy, vx, vy, vxy = _moments(_shifted(sct_hu, mask), _shifted(ct_hu, mask))
    similarity = (2 * ux * uy + C1) * (2 * vxy + C2) / ((ux**2 + uy**2 + C1) * (vx + vy + C2))
    inner = (slice(3, -3),) * 3
    return float(similarity[inner][mask[inner] > 0].mean())


def plain_ms_ssim(sct_hu: np.ndarray, ct_hu: np.ndarray, mask: np.ndarray) -> float:
    """SynthRAD2025's masked MS-SSIM."""
    missing = [max(0, SMALLEST_SIZE - n) for n in mask.shape]
    pads = [(n // 2, n - n // 2) for n in missing]
    x, y, mask = (np.pad(a, pads, mode="edge") for a in (_shifted(sct_hu, mask), _shifted(ct_hu, mask), mask))
    inner, product = (slice(3, -3),) * 3, 1.0
    for weight in WEIGHTS:
        ux, uy, vx, vy, vxy = _moments(x, y)
        deviations = np.sqrt(np.clip(vx, 0, None)) * np.sqrt(np.clip(vy, 0, None))
        luminance = np.clip((2 * ux * uy + C1) / (ux * ux + uy * uy + C1), 0, None)
        contrast = np.clip((2 * deviations + C2) / (vx + vy + C2), 0, None)
        structure = np.clip((vxy + C2 / 2) / (deviations + C2 / 2), 0, None)
        level = luminance**weight * contrast**weight * structure**weight
        product *= np.clip(level[inner][mask[inner] > 0].mean(), 0, 1)
        x, y = (fftconvolve(image, np.full((2, 2, 2), 1 / 8), mode="same")[::2, ::2, ::2] for image in (x, y))
        mask = mask[::2, ::2, ::2]
    return float(product)


def our_ssim(*images: np.ndarray) -> float:
    return ssim(*images, lowest_hu=LOWEST_HU, highest_hu=HIGHEST_HU)


def our_ms_ssim(*images: np.ndarray) -> float:
    return ms_ssim(*images, lowest_hu=LOWEST_HU, highest_hu=HIGHEST_HU)


def our_case(sct_hu: np.ndarray, ct_hu: np.ndarray, mask: np.ndarray) -> float:
    """Everything: image, tissue, shape, histogram and distance figures."""
    geometry = Geometry(mask.shape, np.eye(4))
    sct, ct = (Volume(hu, geometry, Quantity.HU) for hu in (sct_hu, ct_hu))
    return score_case(sct, ct, Volume(mask, geometry, Quantity.MASK), protocol="synthrad2025").image["ms_ssim"]


ROWS: dict[str, tuple[Callable[..., float], ...]] = {
    "SSIM (2023)": (our_ssim, plain_ssim),
    "MS-SSIM (2025)": (our_ms_ssim, plain_ms_ssim),
    "score_case, all of it": (our_case,),
}


def measure(function: Callable[..., float], shape: tuple[int, ...], mask_kind: str, repeats: int) -> list[float]:
    """Value, least seconds, peak GB; to be run in a fresh process."""
    images = head_like_images(shape, mask_kind)
    seconds, value = [], float("nan")
    for _ in range(repeats):
        start = time.process_time()
        value = function(*images)
        seconds.append(time.process_time() - start)
    return [value, min(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 200))
    parser.add_argument("--mask", choices=("ellipsoid", "all"), default="ellipsoid")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}; {arguments.shape}, mask: {arguments.mask}")
    print(f"{'metric':<24}{'ours s':>9}{'plain s':>9}{'ratio':>8}{'ours GB':>9}{'plain GB':>10}")
    for name, functions in ROWS.items():
        found = []
        for function in functions:
            with get_context("spawn").Pool(1) as pool:
                work = (function, tuple(arguments.shape), arguments.mask, arguments.repeats)
                found.append(pool.apply(measure, work))
        if abs(found[0][0] / found[-1][0] - 1) > 1e-9:
            raise SystemExit(f"{name}: {found[0][0]} is not {found[-1][0]}")
        print(_row(name, *found), flush=True)


def _row(name: str, ours: list[float], plain: list[float] | None = None) -> str:
    if plain is None:
        return f"{name:<24}{ours[1]:>9.2f}{'-':>9}{'-':>8}{ours[2]:>9.2f}{'-':>10}"
    return f"{name:<24}{ours[1]:>9.2f}{plain[1]:>9.2f}{plain[1] / ours[1]:>7.1f}x{ours[2]:>9.2f}{plain[2]:>10.2f}"


if __name__ == "__main__":
    main()
