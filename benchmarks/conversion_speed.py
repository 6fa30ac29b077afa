"""How long a head takes from folder to sCT, by stage, and how much memory: under a minute on two cores, it is claimed.

    python benchmarks/conversion_speed.py [--model NAME|PATH] [--runs 1] [INPUT ...]

Without INPUT: the DICOM head of ../shared/data where it is there, and a phantom head on 256 x 256 x 256 voxels of 1 mm.
Without --model: the default shipped model, or an untrained network of its size where none ships. Each run is a process
of its own, so that its peak memory is its own. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DICOM_HEAD = Path(__file__).resolve().parents[2] / "shared" / "data" / "head-t1-dicom"
STAGES = ("import", "reading", "loading", "preprocessing", "network", "finishing", "writing", "total")
UNTRAINED = "untrained 16-256"
PHANTOM = "phantom 256^3"


def convert_once(source: str, model: str, out: Path) -> dict[str, float | str]:
    """Runs in a process of its own; seconds by stage, and peak memory."""
    start = time.perf_counter()
    from mr2ct.inference import Translator
    from mr2ct.io import read_volume, write_volume

    marks = {"import": time.perf_counter()}
    mr = read_volume(source)
    marks["reading"] = time.perf_counter()
    network, description = _model(model)
    translator = Translator(network, description)
    marks["loading"] = time.perf_counter()
    translation = translator.translate(mr)
    translated = time.perf_counter()
    write_volume(translation.sct, out / "sct.nii.gz")
    end = time.perf_counter()
    seconds = {stage: at - before for (stage, at), before in zip(marks.items(), [start, *marks.values()], strict=False)}
    from mr2ct.cli.demo import peak_memory_mb

    figures: dict[str, float | str] = {**seconds, **translation.seconds, "writing": end - translated}
    figures |= {"total": end - start, "peak MB": peak_memory_mb(), "engine": translator.engine.words}
    return figures | {"voxels": " x ".join(map(str, mr.geometry.shape))}


def _model(model: str):
    from mr2ct.bundles import BundleDescription, find_bundle, load_network
    from mr2ct.models import build_network
    from mr2ct.preprocessing.pipeline import default_pipeline

    if model != UNTRAINED:
        bundle = find_bundle(model)
        return load_network(bundle), bundle.description
    description = BundleDescription(
        format_version=1,
        name="untrained",
        method="none",
        network={"name": "attention_unet", "arguments": {}},
        preprocessing=default_pipeline().to_record(),
        hu_range=(-1024, 3071),
        spacing_mm=(1, 1, 1),
        planes=("axial", "coronal", "sagittal"),
        context_slices=1,
        training_data="none",
        licence="MIT",
        metrics={},
    )
    return build_network("attention_unet", {}), description


def _write_phantom(path: Path) -> None:
    from mr2ct.io import write_volume
    from mr2ct.phantom import CONTRASTS, head_phantom, simulate_mr

    head = head_phantom(1, shape=(256, 256, 256))
    write_volume(simulate_mr(head, CONTRASTS["t1_mprage"], seed=1), path)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def _default_model() -> str:
    from mr2ct.bundles import DEFAULT_MODEL, shipped

    return DEFAULT_MODEL if DEFAULT_MODEL in shipped() else UNTRAINED


def _print_table(columns: dict[str, dict[str, float | str]]) -> None:
    print(f"\n| seconds | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row in ("voxels", *STAGES, "peak MB"):
        cells = [f"{c[row]:.1f}" if isinstance(c[row], float) else str(c[row]) for c in columns.values()]
        print(f"| {row} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*")
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        source, model, out = given.child
        print(json.dumps(convert_once(source, model, Path(out))))
        return
    import torch

    model = given.model or _default_model()
    print(f"{_cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {platform.platform()}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"model {model}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        sources = {Path(source).name: source for source in given.inputs}
        if not sources:
            if DICOM_HEAD.is_dir():
                sources[DICOM_HEAD.name] = str(DICOM_HEAD)
            sources[PHANTOM] = str(Path(folder) / "phantom.nii.gz")
            _write_phantom(Path(sources[PHANTOM]))
        columns = {}
        for name, source in sources.items():
            for run in range(given.runs):
                command = [sys.executable, __file__, "--child", source, model, folder]
                answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                columns[name if given.runs == 1 else f"{name} ({run + 1})"] = json.loads(answer.splitlines()[-1])
    print(next(iter(columns.values()))["engine"])
    _print_table(columns)


if __name__ == "__main__":
    main()
