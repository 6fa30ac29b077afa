"""Claim: the gatekeeper stops what is not a head MR as in training, and lets real held-out heads through.

Sound: every slice of the patients that `--part` of the split names. Wrong: the same slices, made wrong in 31 ways, many
of which the reference was not learnt from, and none at strengths tuned on these patients. With `--head`, also a whole
head from DICOM, sound and wrong. Prints the share that is warned or refused, kind by kind.

    python benchmarks/input_check.py ../shared/data --split stores/brain/split.json --head
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from mr2ct.bundles import find_bundle
from mr2ct.geometry import Geometry
from mr2ct.io import read_volume
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.morphology import depth_mm
from mr2ct.preprocessing.orientation import to_canonical
from mr2ct.preprocessing.resampling import to_spacing
from mr2ct.trust.input_check import check_input
from mr2ct.volume import Quantity, Volume


@dataclass(frozen=True)
class Case:
    """Canonical MR, its CT where there is one, the body, typical tissue, and a generator of its own."""

    mr: Volume
    ct: Volume | None
    body: np.ndarray
    level: float
    generator: np.random.Generator

    @property
    def thick(self) -> list[int]:
        return [axis for axis in range(3) if self.mr.geometry.shape[axis] > 1]

    def extent(self, axis: int) -> tuple[int, int]:
        along = np.flatnonzero(self.body.any(axis=tuple(a for a in range(3) if a != axis)))
        return int(along[0]), int(along[-1])

    def grids(self) -> list[np.ndarray]:
        return list(
            np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else [0.0] for n in self.mr.geometry.shape), indexing="ij")
        )

    @property
    def depth_mm(self) -> np.ndarray:
        return depth_mm(self.body, self.mr.geometry.spacing_mm)

    def scaled_grid(self, factors: list[float]) -> Volume:
        affine = self.mr.geometry.affine @ np.diag([*factors, 1.0])
        return Volume(self.mr.voxels, Geometry(self.mr.geometry.shape, affine), Quantity.MR)

    def sigma(self, mm: float, axes: list[int] | None = None) -> list[float]:
        return [
            mm / self.mr.geometry.spacing_mm[a] if a in (self.thick if axes is None else axes) else 0 for a in range(3)
        ]


def ct_in_hu(case):
    return case.ct and case.mr.with_voxels(case.ct.voxels.astype(np.float32))


def ct_in_window(case):
    return case.ct and case.mr.with_voxels(np.clip((case.ct.voxels + 450.0) / 1500 * 255, 0, 255).round())


def pet(case):
    grey = (case.depth_mm > 14) & (case.mr.voxels < 1.1 * case.level)
    uptake = ndimage.gaussian_filter(0.15 * case.body + 1.0 * grey, case.sigma(3))
    return case.mr.with_voxels(case.generator.poisson(60 * uptake).astype(np.float32) * 7.3)


def body_as_mask(case):
    return case.mr.with_voxels(case.body.astype(np.float32))


def label_map(case):
    edges = np.quantile(case.mr.voxels[case.body], np.linspace(0, 1, 31)[1:-1])
    smooth = ndimage.median_filter(case.mr.voxels, [5 if n > 1 else 1 for n in case.mr.geometry.shape])
    return case.mr.with_voxels((np.digitize(smooth, edges) * case.body).astype(np.float32))


def photograph(case):
    from matplotlib import cbook
    from PIL import Image

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        grey = np.asarray(Image.open(file).convert("L"), dtype=np.float32)
    rows, columns = (case.mr.geometry.shape[axis] for axis in case.thick[-2:])
    part = ndimage.zoom(grey, [columns / grey.shape[0], rows / grey.shape[1]], order=1)[::-1].T
    shape = [n if axis in case.thick[-2:] else 1 for axis, n in enumerate(case.mr.geometry.shape)]
    return case.mr.with_voxels(np.broadcast_to(part.reshape(shape), case.mr.geometry.shape).copy())


def nothing_but_noise(case):
    return case.mr.with_voxels(np.hypot(*(case.generator.normal(0, 20, case.mr.geometry.shape) for _ in range(2))))


def flipped(case, axis):
    return case.mr.with_voxels(np.ascontiguousarray(np.flip(case.mr.voxels, axis))) if axis in case.thick else None


def upside_down(case):
    return flipped(case, 2)


def front_to_back(case):
    return flipped(case, 1)


def axes_exchanged(case):
    a, b = case.thick[-2:]
    order = [b if n == a else a if n == b else n for n in range(3)]
    voxels = np.ascontiguousarray(case.mr.voxels.transpose(order))
    spacing = [case.mr.geometry.spacing_mm[n] for n in order]
    return Volume(voxels, Geometry(voxels.shape, np.diag([*spacing, 1.0])), Quantity.MR)


def part_of(case, axis, kept):
    index = tuple(kept if a == axis else slice(None) for a in range(3))
    voxels = case.mr.voxels[index].copy()
    return Volume(voxels, Geometry(voxels.shape, case.mr.geometry.affine), Quantity.MR)


def vertex_cut_off(case):
    low, high = case.extent(2)
    return part_of(case, 2, slice(0, int(high - 0.2 * (high - low)))) if 2 in case.thick else None


def vertex_black(case):
    if 2 not in case.thick:
        return None
    voxels = case.mr.voxels.copy()
    low, high = case.extent(2)
    voxels[:, :, int(high - 0.25 * (high - low)) :] = 0
    return case.mr.with_voxels(voxels)


def one_side_cut_off(case):
    if 0 not in case.thick:
        return None
    low, high = case.extent(0)
    return part_of(case, 0, slice(int(low + 0.3 * (high - low)), None))


def head_missing(case):
    if 2 not in case.thick:
        return None
    low, high = case.extent(2)
    return part_of(case, 2, slice(0, int(low + 0.4 * (high - low))))


def skull_stripped(case):
    return case.mr.with_voxels(case.mr.voxels * (case.depth_mm > 13))


def t2_like(case):
    share = case.mr.voxels / case.level
    bent = np.interp(share, [0, 0.12, 0.3, 0.6, 0.9, 1.1, 1.6, 4], [0, 0.1, 2.2, 1.5, 0.95, 0.7, 0.9, 0.9])
    return case.mr.with_voxels((bent * case.level).astype(np.float32))


def inverted_in_head(case):
    top = np.quantile(case.mr.voxels[case.body], 0.99)
    return case.mr.with_voxels(np.where(case.body, np.clip(top - case.mr.voxels, 0, None), case.mr.voxels))


def flattened(case):
    top = case.mr.voxels.max()
    return case.mr.with_voxels(top * (case.mr.voxels / top) ** 0.4)


def coarse(case):
    small = [
        1 / max(1, 4 / s) if n > 1 else 1
        for s, n in zip(case.mr.geometry.spacing_mm, case.mr.geometry.shape, strict=True)
    ]
    low = ndimage.zoom(ndimage.gaussian_filter(case.mr.voxels, case.sigma(1.7)), small, order=1)
    back = ndimage.zoom(low, [n / m for n, m in zip(case.mr.geometry.shape, low.shape, strict=True)], order=1)
    return case.mr.with_voxels(back)


def thick_slices(case):
    """6 mm along one axis in the voxels, whatever the header says."""
    axis = case.thick[-1]
    n = round(6 / case.mr.geometry.spacing_mm[axis])
    return case.mr.with_voxels(ndimage.uniform_filter1d(case.mr.voxels, n, axis=axis))


def thick_in_header(case):
    thin = ([axis for axis in range(3) if axis not in case.thick] or [2])[0]
    return case.scaled_grid([10 / case.mr.geometry.spacing_mm[a] if a == thin else 1.0 for a in range(3)])


def half_size_in_header(case):
    return case.scaled_grid([0.6, 0.6, 0.6])


def noisy(case):
    sigma = case.level / 6
    real, imaginary = (case.generator.normal(0, sigma, case.mr.geometry.shape) for _ in range(2))
    return case.mr.with_voxels(np.hypot(case.mr.voxels + real, imaginary))


def surface_coil(case):
    centre = case.generator.uniform(-1, 1, 3)
    centre[case.generator.choice(case.thick)] = case.generator.choice([-1.0, 1.0])
    distance = np.sqrt(
        sum((g - c) ** 2 for a, (g, c) in enumerate(zip(case.grids(), centre, strict=True)) if a in case.thick)
    )
    return case.mr.with_voxels(case.mr.voxels * np.exp(-1.3 * distance) * 3)


def nodding(case):
    """The head turns by 3 to 8 degrees for a quarter to half of the scan."""
    a, b = case.thick[-2:]
    turned = ndimage.rotate(case.mr.voxels, case.generator.uniform(3, 8), axes=(a, b), reshape=False, order=1)
    axis = int(case.generator.choice([a, b]))
    n = case.mr.geometry.shape[axis]
    lines, other = (np.fft.fftshift(np.fft.fft(v, axis=axis), axes=axis) for v in (case.mr.voxels, turned))
    start = int(case.generator.uniform(0.3, 0.52) * n)
    index = tuple(
        slice(start, start + int(case.generator.uniform(0.25, 0.5) * n)) if x == axis else slice(None) for x in range(3)
    )
    lines[index] = other[index]
    return case.mr.with_voxels(np.abs(np.fft.ifft(np.fft.ifftshift(lines, axes=axis), axis=axis)).astype(np.float32))


def half_field_ghost(case):
    axis = int(case.generator.choice(case.thick))
    n = case.mr.geometry.shape[axis]
    return case.mr.with_voxels(case.mr.voxels + 0.2 * np.roll(case.mr.voxels, n // 2, axis=axis))


def flow_ghosts(case):
    """Evenly spaced fainter copies of the brightest tissue, as from pulsating vessels and eyes."""
    axis, every = int(case.generator.choice(case.thick)), int(case.generator.integers(18, 40))
    bright = np.clip(case.mr.voxels - case.level, 0, None)
    ghosts = sum(np.roll(bright, n * every, axis=axis) * 0.45 / abs(n) ** 0.5 for n in (-3, -2, -1, 1, 2, 3))
    return case.mr.with_voxels(case.mr.voxels + ghosts.astype(np.float32))


def wrapped(case):
    axis = int(case.generator.choice(case.thick))
    low, high = case.extent(axis)
    size = int(0.8 * (high - low))
    folded = np.zeros([size if a == axis else n for a, n in enumerate(case.mr.geometry.shape)], np.float32)
    np.add.at(
        np.moveaxis(folded, axis, 0),
        (np.arange(case.mr.geometry.shape[axis]) - low - int(0.1 * (high - low))) % size,
        np.moveaxis(case.mr.voxels, axis, 0),
    )
    return Volume(folded, Geometry(folded.shape, case.mr.geometry.affine), Quantity.MR)


def rolled(case):
    axis = int(case.generator.choice(case.thick))
    return case.mr.with_voxels(np.roll(case.mr.voxels, case.mr.geometry.shape[axis] // 3, axis=axis))


def metal(case):
    """An oblong of 18 x 18 x 30 mm half axes without signal, piled-up signal on one side."""
    depth = ndimage.distance_transform_edt(case.body)
    centre = case.generator.choice(np.argwhere(depth >= min(12, 0.5 * depth.max())))
    half = np.array([18, 18, 30]) / case.mr.geometry.spacing_mm
    places = np.ogrid[tuple(slice(0, n) for n in case.mr.geometry.shape)]
    inside = sum(((g - c) / h) ** 2 for g, c, h in zip(places, centre, half, strict=True)) < 1
    rim = ndimage.binary_dilation(inside, iterations=3) & ~inside & (places[case.thick[0]] > centre[case.thick[0]])
    return case.mr.with_voxels(np.where(inside, 0, np.where(rim, 2 * case.level, case.mr.voxels)))


def herringbone(case):
    """A spike in k-space: stripes over the whole image."""
    wave = sum(case.generator.uniform(20, 60) * np.pi * g * case.generator.choice([-1, 1]) for g in case.grids())
    return case.mr.with_voxels(np.abs(case.mr.voxels + 0.2 * case.level * np.cos(wave)))


KINDS: dict[str, Callable[[Case], Volume | None]] = {
    f.__name__.replace("_", " "): f
    for f in (
        ct_in_hu, ct_in_window, pet, body_as_mask, label_map, photograph, nothing_but_noise,
        upside_down, front_to_back, axes_exchanged,
        vertex_cut_off, vertex_black, one_side_cut_off, head_missing, skull_stripped,
        t2_like, inverted_in_head, flattened,
        coarse, thick_slices, thick_in_header, half_size_in_header,
        noisy, surface_coil, nodding, half_field_ghost, flow_ghosts, wrapped, rolled, metal, herringbone,
    )
}  # fmt: skip


def prepared(mr: Volume, ct: Volume | None, seed: int) -> Case:
    mr = to_canonical(mr)
    mr = mr.with_voxels(mr.voxels.astype(np.float32))
    body = body_mask(mr).voxels > 0
    level = float(np.median(mr.voxels[body]))
    return Case(mr, None if ct is None else to_canonical(ct), body, level, np.random.default_rng(seed))


def held_out(data: Path, patients: set[str]) -> Iterator[tuple[str, Case]]:
    folder = data / "brain-slices"
    for n, row in enumerate(csv.DictReader((folder / "cases.csv").open())):
        if row["patient"] in patients:
            case = folder / row["case"]
            ct = read_volume(case / "ct.nii.gz", quantity=Quantity.HU)
            yield row["case"], prepared(read_volume(case / "mr.nii.gz"), ct, n)


def whole_heads(data: Path) -> Iterator[tuple[str, Case]]:
    head = to_spacing(to_canonical(read_volume(data / "head-t1-dicom")), 1.0)
    yield "head-t1-dicom", prepared(head, None, 1)


class Tally:
    """Verdicts by kind."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.codes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.missed: list[str] = []

    def add(self, kind: str, name: str, found) -> None:
        self.counts[kind][found.verdict.value] += 1
        if kind != "sound" and not found.findings:
            self.missed.append(f"{kind}: {name}")
        for finding in found.findings[:1]:
            self.codes[kind][finding.code] += 1

    def show(self, title: str) -> None:
        print(f"\n{title}\n{'kind':24s} cases  refused  warned  caught %  first reasons")
        for kind, counts in self.counts.items():
            n = sum(counts.values())
            reasons = ", ".join(f"{c} {k}" for c, k in sorted(self.codes[kind].items(), key=lambda x: -x[1])[:4])
            share = 100 * (n - counts["pass"]) / n
            print(f"{kind:24s} {n:5d} {counts['refuse']:8d} {counts['warn']:7d} {share:9.1f}  {reasons}")
        wrong = [c for kind, c in self.counts.items() if kind != "sound"]
        caught = sum(c["warn"] + c["refuse"] for c in wrong) / max(sum(sum(c.values()) for c in wrong), 1)
        print(f"{'all wrong':24s} {sum(sum(c.values()) for c in wrong):5d} {'':16s} {100 * caught:9.1f}")


def run(cases: Iterator[tuple[str, Case]], description, *, every: int = 1) -> Tally:
    tally = Tally()
    for number, (name, case) in enumerate(cases):
        tally.add("sound", name, check_input(case.mr, description))
        for place, (kind, fault) in enumerate(KINDS.items()):
            wrong = fault(case) if (number + place) % every == 0 else None
            if wrong is not None:
                tally.add(kind, name, check_input(wrong, description))
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--part", default="test", help="validation while developing")
    parser.add_argument("--model", default="brain-multiscale-attention")
    parser.add_argument("--every", type=int, default=1, help="make only every n-th case of a kind")
    parser.add_argument("--head", action="store_true", help="also the whole head")
    arguments = parser.parse_args()
    description = find_bundle(arguments.model).description
    patients = set(json.loads(arguments.split.read_text())[arguments.part])
    tally = run(held_out(arguments.data, patients), description, every=arguments.every)
    tally.show(f"Slices of {len(patients)} patients ({arguments.part})")
    print("passed though wrong:", ", ".join(tally.missed[:60]) or "none")
    if arguments.head:
        heads = run(whole_heads(arguments.data), description)
        heads.show("A whole head")
        print("passed though wrong:", ", ".join(heads.missed) or "none")


if __name__ == "__main__":
    main()
