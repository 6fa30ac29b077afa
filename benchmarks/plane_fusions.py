"""Would another way to fuse the planes be better? Ways to weigh three answers, on phantoms whose truth is known.

Called by volume_quality.py --fusions. Every way gives each plane a weight at each voxel from what is known without the
truth: the plane, the outline of the head, the answers themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from whole_heads import WholeHead

from mr2ct.geometry import PLANE_AXIS
from mr2ct.hounsfield import Tissue, tissue_mask

_EVERY = 5
"""Of the voxels inside the head, one in so many is looked at."""


def fusion_table(heads: list[WholeHead]) -> None:
    """MAE of each way, of each head, with the gain over the mean; and by tissue, mean over heads."""
    print("\n## Ways to fuse the planes: MAE in HU (phantoms)\n")
    results: dict[str, list[list[float]]] = {}
    for head in heads:
        sampled = np.flatnonzero(head.mask)[::_EVERY]
        truth = head.ct_hu.ravel()[sampled].astype(np.float32)
        planes = {plane: hu.ravel()[sampled].astype(np.float32) for plane, hu in head.by_plane_hu.items()}
        normal = outline_normals(head)
        ways = fused_ways(planes, head.depth_mm.ravel()[sampled], [n.ravel()[sampled] for n in normal])
        for name, hu in ways.items():
            apart = np.abs(hu - truth)
            row = [float(apart.mean()), *(float(apart[tissue_mask(truth, t)].mean()) for t in Tissue)]
            results.setdefault(name, []).append(row)
    print("| fusion | " + " | ".join(head.name for head in heads) + " | gain % | air | soft tissue | bone |")
    baseline = np.array(results["mean"])
    for name, rows in results.items():
        of_heads = np.array(rows)
        gain = 100 * (1 - of_heads[:, 0].mean() / baseline[:, 0].mean())
        cells = [*of_heads[:, 0], gain, *of_heads[:, 1:].mean(axis=0)]
        print(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")


def fused_ways(
    planes: dict[str, NDArray[np.float32]], depth: NDArray[np.float32], normal: list[NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Name -> fused HU, all (voxels,). depth in mm below the outline; normal: of the outline, along i, j, k."""
    stack = np.stack([planes[plane] for plane in PLANE_AXIS])
    cosines = np.stack([np.abs(normal[axis]) for axis in PLANE_AXIS.values()])
    ways = {plane: planes[plane] for plane in PLANE_AXIS}
    ways["mean"] = stack.mean(axis=0)
    ways["median"] = np.median(stack, axis=0)
    ways["middle and mean, half each"] = (ways["mean"] + ways["median"]) / 2
    for share in (0.4, 0.5):
        weights = np.array([share if plane == "axial" else (1 - share) / 2 for plane in PLANE_AXIS])
        ways[f"axial {share:.1f}"] = (weights[:, None] * stack).sum(axis=0)
    ways["by outline's normal"] = _weighted(stack, 0.3 + (1 - cosines**2))
    near_pole = np.clip((cosines - 0.7) / 0.2, 0, 1) * np.clip((30 - depth) / 10, 0, 1)
    ways["less of a plane near its poles"] = _weighted(stack, 1 - 0.8 * near_pole)
    for scale in (150.0, 300.0, 600.0):
        weights = 1 / (scale + np.abs(stack - np.median(stack, axis=0)))
        ways[f"soft median, {scale:.0f} HU"] = _weighted(stack, weights)
    weights = (1 - 0.8 * near_pole) / (300 + np.abs(stack - np.median(stack, axis=0)))
    ways["soft median, 300 HU, less near poles"] = _weighted(stack, weights)
    return ways


def best_of_planes(head: WholeHead) -> NDArray[np.float32]:
    """What a fusion that knew the truth could reach: at each voxel the plane nearest to the CT."""
    stack = np.stack([hu.astype(np.float32) for hu in head.by_plane_hu.values()])
    return np.take_along_axis(stack, np.abs(stack - head.ct_hu).argmin(axis=0)[None], axis=0)[0]


def _weighted(stack: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    return (stack * weights).sum(axis=0) / weights.sum(axis=0)


def outline_normals(head: WholeHead) -> list[NDArray[np.float32]]:
    """The outline's unit normal carried inwards, along i, j and k: the gradient of the smoothed depth."""
    from scipy.ndimage import gaussian_filter

    slopes = [np.asarray(slope) for slope in np.gradient(gaussian_filter(head.depth_mm, 4.0))]
    length = np.maximum(np.sqrt(sum(slope**2 for slope in slopes)), 1e-3)
    return [slope / length for slope in slopes]
