"""How should prepared volumes lie on disk? Times random slices and patches from each candidate format.

    python benchmarks/store_formats.py [--reads 200] [--folder /tmp]

Needs numpy; zarr and h5py are measured where they are installed (`pip install zarr h5py` in a throw-away environment).
The volume is like a head CT: 200 x 240 x 220 voxels of int16, noise everywhere. An `.npy` is opened anew for each read,
as `mr2ct.datasets.store` does; the others are opened once, which flatters them. "cold" reads come after the kernel was
told to forget the file (posix_fadvise), so they show the disk; the others come from the page cache.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (200, 240, 220)
PATCH = 96
Read = Callable[[tuple[slice, ...]], np.ndarray]


@dataclass(frozen=True)
class Format:
    """One way to keep a volume: how it is written, how a part of it is read, and the package it needs."""

    name: str
    write: Callable[[Path, np.ndarray], None]
    reader: Callable[[Path], Read]
    package: str | None = None


def head_like_volume(seed: int = 0) -> np.ndarray:
    """(i, j, k) int16 HU: air, scalp, skull and brain as nested ellipsoids, with a scanner's noise."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE]
    radius = np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))
    hu = np.select([radius < 0.72, radius < 0.8, radius < 0.9], [35.0, 1100.0, -60.0], default=-1000.0)
    return np.clip(np.rint(hu + rng.normal(0, 12, SHAPE)), -1024, 3071).astype(np.int16)


def _write_npy(path: Path, volume: np.ndarray) -> None:
    np.save(path, volume)


def _read_npy(path: Path) -> Read:
    return lambda box: np.array(np.load(path, mmap_mode="r")[box])


def _write_gzip(path: Path, volume: np.ndarray) -> None:
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(volume.tobytes())


def _read_gzip(path: Path) -> Read:
    return lambda box: np.frombuffer(gzip.decompress(path.read_bytes()), np.int16).reshape(SHAPE)[box].copy()


def _hdf5(edge: int, **compression: Any) -> tuple[Callable[[Path, np.ndarray], None], Callable[[Path], Read]]:
    def write(path: Path, volume: np.ndarray) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("ct", data=volume, chunks=(edge,) * 3, **compression)

    def reader(path: Path) -> Read:
        import h5py

        data = h5py.File(path, "r")["ct"]
        return lambda box: data[box]

    return write, reader


def _zarr(edge: int, level: int) -> tuple[Callable[[Path, np.ndarray], None], Callable[[Path], Read]]:
    def write(path: Path, volume: np.ndarray) -> None:
        import zarr
        from zarr.codecs import BloscCodec

        codec = BloscCodec(cname="zstd", clevel=level, shuffle="shuffle")
        array = zarr.create_array(str(path), shape=SHAPE, dtype="int16", chunks=(edge,) * 3, compressors=[codec])
        array[:] = volume

    def reader(path: Path) -> Read:
        import zarr

        array = zarr.open_array(str(path), mode="r")
        return lambda box: array[box]

    return write, reader


FORMATS = (
    Format(".npy, memory-mapped", _write_npy, _read_npy),
    Format("gzip, whole (as .nii.gz)", _write_gzip, _read_gzip),
    Format("HDF5, 32^3, lzf", *_hdf5(32, compression="lzf", shuffle=True), package="h5py"),
    Format("HDF5, 64^3, gzip 1", *_hdf5(64, compression="gzip", compression_opts=1, shuffle=True), package="h5py"),
    Format("zarr, 32^3, zstd 1", *_zarr(32, 1), package="zarr"),
    Format("zarr, 64^3, zstd 1", *_zarr(64, 1), package="zarr"),
)


def slice_boxes(axis: int, count: int, rng: np.random.Generator) -> list[tuple[slice, ...]]:
    """`count` random slices across `axis`."""
    boxes = []
    for position in rng.integers(SHAPE[axis], size=count).tolist():
        box = [slice(None)] * 3
        box[axis] = slice(position, position + 1)
        boxes.append(tuple(box))
    return boxes


def patch_boxes(count: int, rng: np.random.Generator) -> list[tuple[slice, ...]]:
    """`count` random patches of 96 voxels a side."""
    starts = rng.integers([n - PATCH for n in SHAPE], size=(count, 3)).tolist()
    return [tuple(slice(start, start + PATCH) for start in corner) for corner in starts]


def median_ms(read: Read, boxes: list[tuple[slice, ...]], before: Callable[[], None] = lambda: None) -> float:
    """Median milliseconds of one read; `before` runs untimed before each."""
    times = []
    for box in boxes:
        before()
        start = time.perf_counter()
        read(box)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def _files(path: Path) -> list[Path]:
    return [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]


def forget(path: Path) -> None:
    """Tell the kernel to drop the pages of a file or folder from its cache."""
    for file in _files(path):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measure(form: Format, folder: Path, volume: np.ndarray, reads: int) -> list[float]:
    """Milliseconds by plane, for a patch, for a cold patch; megabytes; seconds to write."""
    path = folder / form.name.replace(" ", "_").replace(",", "")
    if form.package is None and "npy" in form.name:
        path = path.with_suffix(".npy")
    start = time.perf_counter()
    form.write(path, volume)
    written_s = time.perf_counter() - start
    read = form.reader(path)
    whole = np.asarray(read((slice(None),) * 3))
    if not np.array_equal(whole, volume):
        raise SystemExit(f"{form.name} did not give back what was written")
    rng = np.random.default_rng(1)
    count = min(reads, 5) if "whole" in form.name else reads
    row = [median_ms(read, slice_boxes(axis, count, rng)) for axis in (2, 1, 0)]
    row.append(median_ms(read, patch_boxes(count, rng)))
    row.append(median_ms(read, patch_boxes(min(count, 20), rng), before=lambda: forget(path)))
    megabytes = sum(file.stat().st_size for file in _files(path)) / 1e6
    return [*row, megabytes, written_s]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=200, help="random reads of each kind")
    parser.add_argument("--folder", type=Path, default=None, help="where the test files are written (and removed)")
    arguments = parser.parse_args()
    packages = [name for name in ("numpy", "h5py", "zarr") if importlib.util.find_spec(name)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}")
    print(f"volume {SHAPE} int16, patches {PATCH}^3, median of {arguments.reads} reads, ms per read\n")
    columns = ("axial", "coronal", "sagittal", "patch", "cold patch", "MB", "write s")
    print(f"{'format':<26}" + "".join(f"{name:>12}" for name in columns))
    volume = head_like_volume()
    folder = Path(tempfile.mkdtemp(prefix="store-formats-", dir=arguments.folder))
    try:
        for form in FORMATS:
            if form.package is not None and importlib.util.find_spec(form.package) is None:
                print(f"{form.name:<26}  skipped: {form.package} is not installed")
                continue
            row = measure(form, folder, volume, arguments.reads)
            print(f"{form.name:<26}" + "".join(f"{number:>12.2f}" for number in row), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
