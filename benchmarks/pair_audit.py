"""Claim: `mr2ct audit` finds planted faults, kind by kind, and leaves sound pairs alone.

Every pair of brain-slices is audited untouched: what is found there is a false alarm, or a fault of the data set. Then
each kind of fault is planted into copies of some of the cases, in memory, and each copy is judged in the place of its
original among the others. "found": excluded or in doubt; "named": by a finding that fits the fault.

    python benchmarks/pair_audit.py ../shared/data/brain-slices --cases 36
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from mr2ct.datasets.case_images import Reading, read_paired
from mr2ct.datasets.cases import PairedCase, find_synthrad
from mr2ct.trust.pair_cohort import Member, usual_for
from mr2ct.trust.pair_findings import Severity
from mr2ct.trust.pair_leaks import duplicate_findings, likenesses
from mr2ct.trust.pair_measures import PairMeasures, measure_pair
from mr2ct.trust.pair_rules import judge
from mr2ct.volume import Volume

AIR = -1024.0


@dataclass(frozen=True)
class Slices:
    """MR, CT and mask of one slice (rows, columns), the CT of another patient, and a source of chance."""

    mr: Any
    ct: Any
    mask: Any
    others_ct: Any
    others_mask: Any
    rng: np.random.Generator

    @property
    def box(self) -> tuple[Any, Any]:
        where = np.argwhere(self.mask)
        return where.min(axis=0), where.max(axis=0)


def moved(image: Any, *, shift: Any = (0, 0), degrees: float = 0.0, outside: float = AIR) -> Any:
    turned = ndimage.rotate(image, degrees, reshape=False, order=1, cval=outside) if degrees else image
    return ndimage.shift(turned, shift, order=1, cval=outside)


def shifted(mm: float, *, edges_kept: bool = False) -> Callable[[Slices], tuple[Any, Any]]:
    def plant(s: Slices) -> tuple[Any, Any]:
        angle = s.rng.uniform(0, 2 * np.pi)
        ct = moved(s.ct, shift=(mm * np.cos(angle), mm * np.sin(angle)))
        # where faces were removed or the field of view ends, the edge stays put whatever the registration did
        return s.mr, np.where(s.mask, ct, AIR) if edges_kept else ct

    return plant


def turned(degrees: float) -> Callable[[Slices], tuple[Any, Any]]:
    return lambda s: (s.mr, np.where(s.mask, moved(s.ct, degrees=degrees * s.rng.choice([-1, 1])), AIR))


def of_another_patient(s: Slices) -> tuple[Any, Any]:
    apart = np.array(ndimage.center_of_mass(s.others_mask)) - ndimage.center_of_mass(s.mask)
    return s.mr, ndimage.affine_transform(
        s.others_ct, np.eye(2), offset=np.rint(apart), output_shape=s.mr.shape, order=0, cval=AIR
    )


def mirrored(s: Slices) -> tuple[Any, Any]:
    (first, _), (last, _) = s.box
    return s.mr, moved(s.ct[::-1], shift=(first + last - (s.ct.shape[0] - 1), 0))


def side_missing(image: Any, s: Slices, mm: int, value: float) -> Any:
    axis, end = int(s.rng.integers(2)), int(s.rng.integers(2))
    (low, high), cut = (s.box[0][axis], s.box[1][axis]), image.copy()
    rows = slice(0, low + mm) if end == 0 else slice(high - mm + 1, None)
    cut[(rows, slice(None)) if axis == 0 else (slice(None), rows)] = value
    return cut


def round_field_of_view(s: Slices) -> tuple[Any, Any]:
    (a, b), (c, d) = s.box
    rows, columns = np.ogrid[: s.ct.shape[0], : s.ct.shape[1]]
    radius = 0.36 * max(c - a, d - b)
    return s.mr, np.where((rows - (a + c) / 2) ** 2 + (columns - (b + d) / 2) ** 2 < radius**2, s.ct, AIR)


def with_metal(*, blob: bool, streaks: float) -> Callable[[Slices], tuple[Any, Any]]:
    def plant(s: Slices) -> tuple[Any, Any]:
        inner = np.argwhere(ndimage.binary_erosion(s.mask, iterations=20))
        at = inner[int(s.rng.integers(len(inner)))]
        rows, columns = np.ogrid[: s.ct.shape[0], : s.ct.shape[1]]
        distance, angle = np.hypot(rows - at[0], columns - at[1]), np.arctan2(rows - at[0], columns - at[1])
        rays = streaks * np.sign(np.sin(9 * angle + 0.7 * np.sin(4 * angle))) * np.exp(-distance / 60)
        ct = np.clip(s.ct + np.where(s.mask, rays, 0), AIR, 3071)
        return s.mr, np.where(distance < 4, 3071, ct) if blob else ct

    return plant


def with_nan(s: Slices) -> tuple[Any, Any]:
    ct = s.ct.astype(np.float32)
    ct[tuple(slice(int(c), int(c) + 5) for c in ndimage.center_of_mass(s.mask))] = np.nan
    return s.mr, ct


def another_scan(s: Slices) -> tuple[Any, Any]:
    """The same head under another name, as a second export might have it: brightness, noise and position changed."""
    mr = 255 * (s.mr / 255) ** 0.8 + np.abs(s.rng.normal(0, 5, s.mr.shape))
    shift = s.rng.uniform(-5, 5, 2)
    return moved(mr, shift=shift, outside=0), moved(s.ct + s.rng.normal(0, 15, s.ct.shape), shift=shift)


FAULTS: dict[str, tuple[Callable[[Slices], tuple[Any, Any]], set[str]]] = {
    "CT shifted by 3 mm": (shifted(3), {"displaced"}),
    "CT shifted by 5 mm": (shifted(5), {"displaced"}),
    "CT shifted by 8 mm": (shifted(8), {"displaced"}),
    "CT shifted by 3 mm, edges of the mask kept": (shifted(3, edges_kept=True), {"displaced"}),
    "CT shifted by 5 mm, edges of the mask kept": (shifted(5, edges_kept=True), {"displaced"}),
    "CT turned by 3 degrees, edges kept": (turned(3), {"displaced"}),
    "CT turned by 5 degrees, edges kept": (turned(5), {"displaced"}),
    "CT of another patient, centred": (of_another_patient, {"mismatch", "mirrored", "displaced", "odd"}),
    "CT mirrored along its first axis": (mirrored, {"mirrored", "mismatch"}),
    "CT without 40 mm of one side": (lambda s: (s.mr, side_missing(s.ct, s, 40, AIR)), {"ct-field-of-view"}),
    "MR without 40 mm of one side": (lambda s: (side_missing(s.mr, s, 40, 0), s.ct), {"mr-field-of-view"}),
    "CT cut by a round field of view": (round_field_of_view, {"ct-field-of-view", "outlines", "mismatch"}),
    "CT truncated: 30 mm of one side are 0": (lambda s: (s.mr, side_missing(s.ct, s, 30, 0)), {"truncated"}),
    "metal with streaks": (with_metal(blob=True, streaks=400), {"metal", "streaks"}),
    "metal alone, 8 mm": (with_metal(blob=True, streaks=0), {"metal"}),
    "streaks alone": (with_metal(blob=False, streaks=400), {"streaks"}),
    "rescale not applied (+1024)": (lambda s: (s.mr, s.ct + 1024), {"hu-offset"}),
    "CT in grey levels 0..255": (lambda s: (s.mr, np.clip((s.ct + 1024) / 16, 0, 255)), {"hu-scale"}),
    "clipped at 1000 HU": (lambda s: (s.mr, np.minimum(s.ct, 1000)), {"hu-clipped"}),
    "clipped at -500 HU": (lambda s: (s.mr, np.maximum(s.ct, -500)), {"hu-air"}),
    "NaN voxels in the CT": (with_nan, {"not-finite"}),
}  # fmt: skip


def read_slices(case: PairedCase) -> tuple[Volume, Volume, Any]:
    pair = read_paired(case, Reading())
    return pair.mr, pair.ct, np.squeeze(pair.mask.voxels) > 0


def planted(
    case: PairedCase, other: PairedCase, plant: Callable[[Slices], tuple[Any, Any]], seed: int
) -> tuple[Volume, Volume]:
    mr, ct, mask = read_slices(case)
    _, others_ct, others_mask = read_slices(other)
    flat = [np.squeeze(volume.voxels).astype(np.float64) for volume in (mr, ct, others_ct)]
    images = plant(Slices(flat[0], flat[1], mask, flat[2], others_mask, np.random.default_rng(seed)))
    return tuple(
        volume.with_voxels(np.asarray(image, dtype=np.float32).reshape(volume.voxels.shape))
        for volume, image in zip((mr, ct), images, strict=True)
    )


def another(cases: list[PairedCase], case: PairedCase, rng: np.random.Generator) -> PairedCase:
    alike = [c for c in cases if c.case[7:] == case.case[7:] and c.centre == case.centre and c.patient != case.patient]
    return alike[int(rng.integers(len(alike)))]


def untouched(cases: list[PairedCase]) -> dict[str, PairMeasures]:
    start, measured = time.process_time(), {}
    for case in cases:
        mr, ct, _ = read_slices(case)
        measured[case.case] = measure_pair(mr, ct)
    seconds = time.process_time() - start
    print(f"{len(cases)} pairs measured in {seconds:.0f} s of processor time, {seconds / len(cases):.2f} s each\n")
    return measured


def print_false_alarms(cases: list[PairedCase], measured: Mapping[str, PairMeasures], members: list[Member]) -> None:
    verdicts, codes, names = Counter(), Counter(), {}
    for number, case in enumerate(cases):
        found = judge(measured[case.case], usual_for(members, number))
        grave = [f for f in found if f.severity is not Severity.NOTE]
        worst = min((f.severity for f in grave), key=list(Severity).index, default=None)
        verdicts[worst.value if worst else "left alone"] += 1
        for finding in found:
            codes[(finding.code, finding.severity.value)] += 1
            names.setdefault(finding.code, []).append(case.case)
    print(f"untouched: {dict(verdicts)}; excluded or in doubt {100 * (1 - verdicts['left alone'] / len(cases)):.1f} %")
    for (code, severity), count in codes.most_common():
        print(f"  {code:18s} {severity:8s} {count:4d}  {', '.join(names[code][:6])}")
    pairs = [(a, b) for a, b, _ in likenesses(measured) if a[:6] != b[:6]]
    print(f"  of one head under two patients' names: {len(pairs)} {pairs[:4]}\n")


def print_faults(cases: list[PairedCase], chosen: list[int], members: list[Member]) -> None:
    print(f"{'planted fault':46s} {'found':>7s} {'named':>7s}  {'median weight':>13s}  findings")
    for kind, (plant, expected) in FAULTS.items():
        found, named, weights, codes = 0, 0, [], Counter()
        for number in chosen:
            rng = np.random.default_rng(number)
            measures = measure_pair(*planted(cases[number], another(cases, cases[number], rng), plant, number))
            among = [*members]
            among[number] = replace(members[number], numbers=measures.numbers())
            findings = judge(measures, usual_for(among, number))
            grave = {f.code for f in findings if f.severity is not Severity.NOTE}
            found, named = found + bool(grave), named + bool(grave & expected)
            weights.append(float(np.prod([f.weight for f in findings])))
            codes.update(grave)
        n = len(chosen) / 100
        said = ", ".join(f"{code} {count}" for code, count in codes.most_common(4))
        print(f"{kind:46s} {found / n:5.0f} % {named / n:5.0f} %  {np.median(weights):13.2f}  {said}", flush=True)


def print_duplicates(cases: list[PairedCase], chosen: list[int], measured: Mapping[str, PairMeasures]) -> None:
    """Copies under other patients' names, each with its original in training and itself in the test."""
    for kind, plant in (("an exact copy", lambda s: (s.mr, s.ct)), ("another export of the scan", another_scan)):
        everything, by_name, sides = dict(measured), {c.case: c for c in cases}, {c.patient: ("train",) for c in cases}
        for number in chosen:
            case = cases[number]
            twin = replace(case, case=f"9X{case.case}", patient=f"9X{case.patient}")
            mr, ct = planted(case, case, plant, number)
            everything[twin.case], by_name[twin.case], sides[twin.patient] = measure_pair(mr, ct), twin, ("test",)
        found = likenesses(everything)
        leaks = duplicate_findings(by_name, found, sides)
        caught = sum(any(f.code == "leak" for f in leaks.get(f"9X{cases[n].case}", [])) for n in chosen)
        wrong = [(a, b) for a, b, _ in found if a.removeprefix("9X")[:6] != b.removeprefix("9X")[:6]]
        print(f"{'leak: ' + kind:46s} {100 * caught / len(chosen):5.0f} %   wrong partners {len(wrong)}", flush=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data/brain-slices"))
    parser.add_argument("--cases", type=int, default=36, help="cases each fault is planted into")
    asked = parser.parse_args(arguments)
    cases = list(find_synthrad(asked.folder))
    measured = untouched(cases)
    members = [Member(measured[c.case].plane, c.centre, measured[c.case].numbers()) for c in cases]
    print_false_alarms(cases, measured, members)
    chosen = [int(n) for n in np.random.default_rng(0).choice(len(cases), min(asked.cases, len(cases)), replace=False)]
    print_faults(cases, chosen, members)
    print_duplicates(cases, chosen, measured)


if __name__ == "__main__":
    main(sys.argv[1:])
