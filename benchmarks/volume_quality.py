"""How good whole heads are: error from the middle slice outwards, skull, sinuses, holes, steps, disagreeing planes.

    python benchmarks/volume_quality.py [--model NAME|PATH ...] [--heads NAME ...] [--cache FOLDER] [--fusions]

Several --model: the mean of their answers. Phantom heads come from seeds that training never used; the real head has no
CT. Conversions are kept in --cache by the checksum of the weights, so new weights are converted anew and old ones are
not. Prints tables; asserts nothing. The pictures are drawn by whole_head_pictures.py from the same cache.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from plane_fusions import fusion_table, outline_normals
from whole_heads import SHARED, WholeHead, head_names, whole_head

import mr2ct
from mr2ct import Quantity, read_volume
from mr2ct.bundles import DEFAULT_MODEL, find_bundle
from mr2ct.evaluation.body_outline import body_outline
from mr2ct.evaluation.distance_profile import DistanceProfile, distance_profile, flatness
from mr2ct.evaluation.enclosed_air import deep_brain, enclosed_air, pockets
from mr2ct.evaluation.geometric_metrics import dice
from mr2ct.evaluation.skull_closure import brain_centre, skull_closure, vault_rays
from mr2ct.evaluation.slice_steps import slice_steps_hu
from mr2ct.geometry import PLANE_AXIS
from mr2ct.hounsfield import Tissue, tissue_mask
from mr2ct.preprocessing.orientation import to_canonical
from mr2ct.preprocessing.resampling import to_spacing

BIN_MM = 20.0
FLAT_WITHIN = 0.20
STEPS_WITHIN = 0.15
HEAD_HEIGHT_MM = 150.0
"""Below the vertex: the head without the neck, for what is compared between people and planes."""


def main() -> None:
    arguments = _parser().parse_args()
    models = tuple(arguments.model)
    print_header(models)
    names = arguments.heads or head_names()
    heads = [whole_head(name, models, arguments.cache, device=arguments.device) for name in names]
    known = [head for head in heads if head.ct_hu is not None]
    if known:
        print_error_by_tissue(known)
        print_error_by_distance(known)
    print_skull(heads)
    print_air(heads)
    print_steps(heads)
    print_agreement(heads)
    print_poles(heads)
    if known and arguments.fusions:
        fusion_table(known)


def print_error_by_tissue(heads: list[WholeHead]) -> None:
    print("\n## MAE in HU inside the head, by true tissue (phantoms)\n")
    _row("head", "planes", "all", *(tissue.value for tissue in Tissue), "bone Dice", "air Dice")
    for head in heads:
        for name, sct in answers(head).items():
            apart = np.abs(sct - head.ct_hu)
            of_tissue = [apart[head.mask & tissue_mask(head.ct_hu, tissue)].mean() for tissue in Tissue]
            shapes = [
                dice(tissue_mask(sct, t) & head.mask, tissue_mask(head.ct_hu, t) & head.mask)
                for t in (Tissue.BONE, Tissue.AIR)
            ]
            _row(head.name, name, apart[head.mask].mean(), *of_tissue, *(f"{value:.2f}" for value in shapes))


def print_error_by_distance(heads: list[WholeHead]) -> None:
    print("\n## MAE in HU by distance from the middle slice (phantoms)\n")
    print(
        "Bins of 20 mm along the plane's own axis, the middle one at 0; 'same tissues': as if every bin had the tissues"
    )
    print(f"of the whole head. Flat: every bin within {FLAT_WITHIN:.0%} of the middle one. 'over the others': its MAE")
    print("over the mean MAE of the other two planes in the same bin, free of what is hard for every plane there.\n")
    for head in heads:
        tissue = _classes(head.ct_hu)
        apart = {name: np.abs(hu - head.ct_hu) for name, hu in answers(head).items()}
        for plane, axis in PLANE_AXIS.items():
            profiles = {
                name: distance_profile(
                    of_name, tissue, head.mask, axis=axis, spacing_mm=head.spacing_mm[axis], bin_mm=BIN_MM
                )
                for name, of_name in apart.items()
            }
            _print_profiles(head.name, plane, profiles)


def _print_profiles(head: str, plane: str, profiles: dict[str, DistanceProfile]) -> None:
    own = profiles[plane]
    # a bin at the rim with few voxels says little
    full = own.voxels >= 0.01 * own.voxels.sum()
    _row("head", f"along {plane} axis", *(f"{mm:+.0f}" for mm in own.middle_mm[full]), "flat")
    others = np.mean([profile.mae_hu for name, profile in profiles.items() if name not in (plane, "fused")], axis=0)
    rows = {f"{plane}, over the others": own.mae_hu / others}
    for name in (plane, "fused"):
        rows |= {f"{name}, plain": profiles[name].mae_hu, f"{name}, same tissues": profiles[name].standardised_hu}
    for name, figures in rows.items():
        low, high = flatness(figures[full], own.middle_mm[full])
        flat = "yes" if low >= 1 - FLAT_WITHIN and high <= 1 + FLAT_WITHIN else "no"
        cells = [f"{figure:.2f}" if figures.max() < 10 else f"{figure:.0f}" for figure in figures[full]]
        _row(head, name, *cells, f"{flat} ({low:.2f} to {high:.2f})")


def print_skull(heads: list[WholeHead]) -> None:
    print("\n## Closed skull: rays over the vault that meet bone (> 250 HU) before they leave the head\n")
    _row("head", "image", "closed %", "largest hole cm2", "bone at mm")
    for head in heads:
        centre = brain_centre(head.mask, head.spacing_mm)
        for name, hu in images(head):
            found = skull_closure(hu, head.mask, head.spacing_mm, centre=centre, rays=vault_rays())
            _row(
                head.name,
                name,
                f"{100 * found.closed_share:.1f}",
                f"{found.largest_hole_cm2:.1f}",
                f"{found.radius_mm:.0f}",
            )


def print_air(heads: list[WholeHead]) -> None:
    print("\n## Air inside the head, and what does not belong in a brain (ml)\n")
    _row("head", "image", "air", "largest", "found %", "brain holes", "largest", "brain bone", "largest")
    for head in heads:
        upper = _upper(head)
        brain = deep_brain(head.depth_mm, head.spacing_mm)
        truth = None if head.ct_hu is None else enclosed_air(head.ct_hu, head.depth_mm) & upper
        for name, hu in images(head):
            air = enclosed_air(hu, head.depth_mm) & upper
            of_air = pockets(air, head.spacing_mm)
            holes, bone = (pockets(brain & where, head.spacing_mm) for where in (hu < -250, hu > 250))
            found = "-" if truth is None else f"{100 * (air & truth).sum() / max(int(truth.sum()), 1):.0f}"
            figures = (holes.total_ml, holes.largest_ml, bone.total_ml, bone.largest_ml)
            _row(
                head.name,
                name,
                f"{of_air.total_ml:.1f}",
                f"{of_air.largest_ml:.1f}",
                found,
                *(f"{figure:.2f}" for figure in figures),
            )


def print_steps(heads: list[WholeHead]) -> None:
    print("\n## Steps between slices: mean |difference| of neighbours in HU, and its ratio to a CT's own\n")
    print("The CT of a phantom is its own; of the real head, another person's (head-ct at 1 mm). Upper 150 mm. Uneven:")
    print("the largest ratio over the smallest, 1 where no axis has steps that the others have not.\n")
    _row("head", "image", "left-right", "back-front", "feet-head", "ratios", "within 15 %", "uneven")
    for head in heads:
        upper = _upper(head)
        own = reference_steps() if head.ct_hu is None else slice_steps_hu(head.ct_hu, head.mask & upper)
        for name, hu in images(head):
            steps = slice_steps_hu(hu, head.mask & upper)
            ratios = np.array(steps) / own
            fine = "yes" if np.abs(ratios - 1).max() <= STEPS_WITHIN else "no"
            shown = " ".join(f"{ratio:.2f}" for ratio in ratios)
            _row(head.name, name, *(f"{s:.1f}" for s in steps), shown, fine, f"{ratios.max() / ratios.min():.2f}")


def reference_steps() -> tuple[float, float, float]:
    """Of the real head CT, on 1 mm voxels, in its upper 150 mm."""
    ct = read_volume(SHARED / "head-ct" / "cranium.nii.gz", quantity=Quantity.HU)
    ct = to_spacing(to_canonical(ct), 1.0)
    head = body_outline(ct, np.ones(ct.voxels.shape, dtype=bool))
    return slice_steps_hu(ct.voxels, head & upper_part(head, ct.geometry.spacing_mm[2]))


def print_agreement(heads: list[WholeHead]) -> None:
    print("\n## Where the planes disagree: mean |difference| in HU between sCTs from single planes, inside the head\n")
    pairs = list(combinations(PLANE_AXIS, 2))
    _row("head", "where", "share %", *("-".join(pair) for pair in pairs), f"error ({' '.join(PLANE_AXIS)})")
    for head in heads:
        apart = {pair: np.abs(np.subtract(*(head.by_plane_hu[p].astype(np.float32) for p in pair))) for pair in pairs}
        inside = head.mask & _upper(head)
        for name, where in regions(head):
            chosen = inside & where
            if not chosen.any():
                continue
            truth = "-"
            if head.ct_hu is not None:
                ct = head.ct_hu[chosen].astype(np.float32)
                truth = " ".join(f"{np.abs(head.by_plane_hu[p][chosen] - ct).mean():.0f}" for p in PLANE_AXIS)
            share = 100 * chosen.sum() / inside.sum()
            _row(head.name, name, f"{share:.1f}", *(apart[pair][chosen].mean() for pair in pairs), truth)


def print_poles(heads: list[WholeHead]) -> None:
    """A slice meets the skull squarely where the outline's normal lies in it, and grazes it near the plane's poles."""
    print(
        "\n## Near a plane's poles: where its slices graze the skull (less than 25 mm deep, 90 mm below the vertex)\n"
    )
    print(
        "cos: between the outline's normal and the slice's. Mean |difference| in HU: from the mean of the other planes,"
    )
    print("between these two, and (phantoms) from the true CT.\n")
    bins = [0, 0.3, 0.6, 0.8, 0.9, 1.01]
    _row("head", "plane", *(f"cos {low}-{min(high, 1)}" for low, high in pairwise(bins)))
    for head in heads:
        normal = outline_normals(head)
        vault = head.mask & (_below_vertex_mm(head.mask, head.spacing_mm[2]) < 90) & (head.depth_mm < 25)
        for plane, axis in PLANE_AXIS.items():
            one, other = (hu[vault].astype(np.float32) for name, hu in head.by_plane_hu.items() if name != plane)
            own = head.by_plane_hu[plane][vault].astype(np.float32)
            figures = [np.abs(own - (one + other) / 2), np.abs(one - other)]
            if head.ct_hu is not None:
                figures.append(np.abs(own - head.ct_hu[vault]))
            number = np.digitize(np.abs(normal[axis][vault]), bins) - 1
            cells = [" / ".join(f"{f[number == n].mean():.0f}" for f in figures) for n in range(len(bins) - 1)]
            _row(head.name, plane, *cells)


def regions(head: WholeHead) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Names and masks: everything, by height, by depth below the outline, by tissue (of the CT, else of the sCT)."""
    yield "all", np.ones(head.mask.shape, dtype=bool)
    below = _below_vertex_mm(head.mask, head.spacing_mm[2])
    for top in range(0, int(HEAD_HEIGHT_MM), 25):
        yield f"{top}-{top + 25} mm below vertex", np.broadcast_to((below >= top) & (below < top + 25), head.mask.shape)
    depth = head.depth_mm
    for low, high in ((0, 4), (4, 8), (8, 12), (12, 20), (20, 40), (40, 200)):
        yield f"{low}-{high} mm deep", (depth > low) & (depth <= high)
    hu = head.fused_hu if head.ct_hu is None else head.ct_hu
    for tissue in Tissue:
        yield f"{tissue.value} of {'sCT' if head.ct_hu is None else 'CT'}", tissue_mask(hu, tissue)


def answers(head: WholeHead) -> dict[str, NDArray[np.float32]]:
    """The sCT of each plane alone and the fused one."""
    return {**{plane: hu.astype(np.float32) for plane, hu in head.by_plane_hu.items()}, "fused": head.fused_hu}


def images(head: WholeHead) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The true CT where there is one, and every answer."""
    if head.ct_hu is not None:
        yield "true CT", head.ct_hu.astype(np.float32)
    yield from answers(head).items()


def upper_part(mask: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    """(1, 1, k): less than 150 mm below the vertex."""
    return _below_vertex_mm(mask, spacing_mm) < HEAD_HEIGHT_MM


def _upper(head: WholeHead) -> NDArray[np.bool_]:
    return upper_part(head.mask, head.spacing_mm[2])


def _below_vertex_mm(mask: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.float64]:
    vertex = np.flatnonzero(mask.any(axis=(0, 1)))[-1]
    return ((vertex - np.arange(mask.shape[2])) * spacing_mm)[None, None, :]


def _classes(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    return (hu >= -250).astype(np.uint8) + (hu > 250)


def _row(*cells: object) -> None:
    words = (f"{cell:.0f}" if isinstance(cell, float | np.floating) else str(cell) for cell in cells)
    print("| " + " | ".join(words) + " |")


def print_header(models: tuple[str, ...]) -> None:
    import torch

    bundles = [find_bundle(model).description for model in models]
    versions: Mapping[str, str] = {"mr2ct": mr2ct.__version__, "torch": torch.__version__, "numpy": np.__version__}
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {platform.system()}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for description in bundles:
        print(f"{description.name} {description.weights_sha256[:12]}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--heads", nargs="+", choices=head_names())
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mr2ct-whole-heads")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fusions", action="store_true", help="also compare ways to fuse the planes")
    return parser


if __name__ == "__main__":
    main()
