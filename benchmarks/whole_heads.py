"""The whole heads that volume_quality.py and whole_head_pictures.py look at, converted once and kept in a folder.

Phantom heads never used in training (seeds of their own) in several contrasts, whose true CT is known, and the real
DICOM head of ../shared/data, which has no CT. Everything lies on the network's own 1 mm grid (canonical axes), where
slices are the slices that the network saw; no later resampling blurs what is measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct import read_volume
from mr2ct.bundles import find_bundle
from mr2ct.geometry import PLANE_AXIS
from mr2ct.inference import Translator
from mr2ct.inference.body_region import air_outside
from mr2ct.io.atomic import atomic_folder
from mr2ct.phantom import CONTRASTS, head_mask, head_phantom, simulate_ct, simulate_mr
from mr2ct.preprocessing.morphology import depth_mm
from mr2ct.volume import Volume

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = "real-t1"
UNSEEN_SEED = 4004
"""Training phantoms are drawn from seeds below 1000."""

PHANTOMS = {
    "p1-t1-mprage": (1, "t1_mprage"),
    "p1-t1-agent": (1, "t1_contrast_agent"),
    "p1-t2": (1, "t2"),
    "p1-flair": (1, "flair"),
    "p2-t1-spin-echo": (2, "t1_spin_echo"),
    "p3-t1-mprage": (3, "t1_mprage"),
}
"""Name -> number of the anatomy, contrast: one anatomy in four contrasts, and two others in T1."""


@dataclass(frozen=True)
class WholeHead:
    """One head on the network's grid: (i, j, k) RAS, 1 mm.

    mr : network units. mask : bool, the head (of a phantom the true one, of the real head the outline that was found).
    ct_hu : of a phantom. by_plane_hu : the sCT from the slices of each plane alone; air outside the body.
    """

    name: str
    mr: NDArray[np.float32]
    mask: NDArray[np.bool_]
    ct_hu: NDArray[np.int16] | None
    by_plane_hu: dict[str, NDArray[np.int16]]
    affine: NDArray[np.float64]
    members: tuple[str, ...]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        lengths = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    @cached_property
    def depth_mm(self) -> NDArray[np.float32]:
        """Below the outline; 0 outside."""
        return depth_mm(self.mask, self.spacing_mm)

    @cached_property
    def fused_hu(self) -> NDArray[np.float32]:
        """What `mr2ct convert` makes of the planes: their mean."""
        return np.mean([hu.astype(np.float32) for hu in self.by_plane_hu.values()], axis=0)


def head_names() -> tuple[str, ...]:
    """Every head there is on this machine."""
    return (*PHANTOMS, *([REAL] if (SHARED / "head-t1-dicom").is_dir() else []))


def whole_head(name: str, models: tuple[str, ...], cache: Path, *, device: str = "cpu") -> WholeHead:
    """The head of that name, converted by `models` (several: the mean of their answers), from the cache if there."""
    bundles = [find_bundle(model) for model in models]
    weights = "-".join(bundle.description.weights_sha256[:8] for bundle in bundles)
    folder = cache / f"{'+'.join(b.description.name for b in bundles)}-{weights}" / name
    if not folder.is_dir():
        mr, ct, mask = _real() if name == REAL else _phantom(*PHANTOMS[name])
        translators = [Translator.from_bundle(bundle, device=device) for bundle in bundles]
        _convert(mr, ct, mask, translators, folder=folder)
    return _read(folder, name, models)


def _real() -> tuple[Volume, None, None]:
    return read_volume(SHARED / "head-t1-dicom"), None, None


def _phantom(number: int, contrast: str) -> tuple[Volume, Volume, Volume]:
    """The anatomy depends on the number alone, so that contrasts can be compared on one head."""
    generator = np.random.default_rng((UNSEEN_SEED, number))
    head = head_phantom(generator, spacing_mm=1.0)
    ct = simulate_ct(head, (UNSEEN_SEED, number, 1))
    return simulate_mr(head, CONTRASTS[contrast], seed=(UNSEEN_SEED, number, 2)), ct, head_mask(head)


def _convert(
    mr: Volume, ct: Volume | None, mask: Volume | None, translators: list[Translator], *, folder: Path
) -> None:
    totals: dict[str, Any] = {}
    for translator in translators:
        body = translator.prepare(mr)
        lowest = translator.description.hu_range[0]
        for plane in translator.planes_for(body):
            units = translator.answer(body.mr_units, body.weight, plane)
            hu = air_outside(translator.description.hu_scaling.to_hu(units), body.weight, air_hu=lowest)
            totals[plane] = totals.get(plane, 0) + hu / len(translators)
    grid = body.prepared.mr.geometry
    arrays = {plane: np.rint(hu).astype(np.int16) for plane, hu in totals.items()}
    arrays["mr"] = body.mr_units.astype(np.float32)
    arrays["mask"] = body.outline if mask is None else mask.voxels[body.box] != 0
    if ct is not None:
        arrays["ct"] = ct.voxels[body.box]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        (temporary / "affine.json").write_text(json.dumps(grid.affine.tolist()), encoding="utf-8")


def _read(folder: Path, name: str, models: tuple[str, ...]) -> WholeHead:
    planes = {plane: np.load(folder / f"{plane}.npy") for plane in PLANE_AXIS if (folder / f"{plane}.npy").is_file()}
    ct = folder / "ct.npy"
    return WholeHead(
        name=name,
        mr=np.load(folder / "mr.npy"),
        mask=np.load(folder / "mask.npy"),
        ct_hu=np.load(ct) if ct.is_file() else None,
        by_plane_hu=planes,
        affine=np.array(json.loads((folder / "affine.json").read_text(encoding="utf-8"))),
        members=models,
    )
