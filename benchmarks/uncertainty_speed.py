"""Time and memory of `predict_uncertainty` on a whole head of 256 x 256 x 256 voxels, beside a conversion.

    python benchmarks/uncertainty_speed.py [--planes axial]

An interval comes from the head as it is and mirrored, never from tilted views: with one plane, where a conversion has
these too, it is set beside a conversion that is mirrored alone. CPU seconds are printed besides the clock's, so that a
busy machine does not blur the figures.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from mr2ct.bundles import find_bundle
from mr2ct.geometry import Geometry
from mr2ct.inference import Translator
from mr2ct.inference.planes import ALL_PLANES
from mr2ct.inference.views import FLIPS
from mr2ct.trust.uncertainty import predict_uncertainty
from mr2ct.volume import Quantity, Volume


def main() -> None:
    arguments = _parser().parse_args()
    bundle = find_bundle(arguments.model)
    members = [Translator.from_bundle(find_bundle(name)) for name in bundle.description.calibration["models"]]
    alone = members[0] if arguments.planes == ALL_PLANES else Translator.from_bundle(bundle, views=FLIPS)
    mr = head(arguments.size)
    report("models and volume loaded", 0.0, 0.0)
    runs = {
        "conversion": lambda: alone.translate(mr, planes=arguments.planes),
        "with uncertainty": lambda: predict_uncertainty(
            mr, members, bundle.description.calibration, planes=arguments.planes
        ),
    }
    for name, run in runs.items():
        clock, cpu = time.perf_counter(), time.process_time()
        run()
        report(name, time.perf_counter() - clock, time.process_time() - cpu)


def head(size: int) -> Volume:
    """An egg of tissue with noise, filling most of a cube of 1 mm voxels."""
    rng = np.random.default_rng(0)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 3, indexing="ij", sparse=True)
    inside = (i / 0.65) ** 2 + (j / 0.8) ** 2 + (k / 0.85) ** 2 < 1
    voxels = inside * (300 + 80 * np.sin(9 * i) * np.cos(7 * j) * np.sin(8 * k))
    voxels = voxels + rng.uniform(0, 8, voxels.shape).astype(np.float32)
    return Volume(voxels.astype(np.float32), Geometry((size, size, size), np.eye(4)), Quantity.MR)


def report(name: str, seconds: float, cpu_seconds: float) -> None:
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:26} {seconds:7.1f} s, CPU {cpu_seconds:7.1f} s, peak memory so far {peak_gb:.2f} GB", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="brain-multiscale-attention")
    parser.add_argument("--planes", default="all")
    parser.add_argument("--size", type=int, default=256)
    return parser


if __name__ == "__main__":
    main()
