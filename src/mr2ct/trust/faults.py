"""Ways in which an MR goes wrong, made on purpose: what the gatekeeper learns to tell from sound training images.

Strengths are drawn between "a radiographer would repeat it" and "beyond use". Axes one voxel thick take no part.
Artefact physics as in Bernstein, King & Zhou, Handbook of MRI Pulse Sequences (2004), and Krupa and
Bekiesinska-Figatowska, Artifacts in Magnetic Resonance Imaging, Pol J Radiol 80 (2015), doi:10.12659/PJR.892628.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mr2ct.geometry import Geometry, voxel_to_world
from mr2ct.preprocessing.morphology import depth_mm
from mr2ct.volume import Volume

Float = NDArray[np.float32]


def made_wrong(mr: Volume, outline: NDArray[np.bool_], kind: str, generator: Generator) -> Volume:
    """The MR with a fault of a kind in `FAULTS`, at a strength that is drawn; the grid may be another afterwards.

    Parameters
    ----------
    mr : any orientation, arbitrary units. outline : (i, j, k), the body.

    Example
    -------
    >>> from mr2ct.volume import Quantity
    >>> disc = np.hypot(*np.mgrid[-9:10, -9:10])[..., None] < 7
    >>> mr = Volume(np.where(disc, 100.0, 0.0), Geometry((19, 19, 1), np.eye(4)), Quantity.MR)
    >>> float(made_wrong(mr, disc, "noise", np.random.default_rng(1)).voxels[0, 0, 0]) > 0
    True
    """
    return FAULTS[kind](mr.with_voxels(mr.voxels.astype(np.float32)), outline, generator)


def _level(mr: Volume, outline: NDArray[np.bool_]) -> float:
    return max(float(np.median(mr.voxels[outline])), 1e-6)


def _thick(mr: Volume) -> list[int]:
    return [axis for axis in range(3) if mr.geometry.shape[axis] > 1]


def scanner_noise(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """No fault: Rician noise of 0.3 to 3 % of typical tissue, as any scanner delivers."""
    return _rician(mr, _level(mr, outline) * generator.uniform(0.003, 0.03), generator)


def noise(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """Rician noise of 10 to 40 % of typical tissue."""
    return _rician(mr, _level(mr, outline) * generator.uniform(0.1, 0.4), generator)


def _rician(mr: Volume, sigma: float, generator: Generator) -> Volume:
    real, imaginary = (
        np.float32(sigma) * generator.standard_normal(mr.geometry.shape, dtype=np.float32) for _ in range(2)
    )
    return mr.with_voxels(np.hypot(mr.voxels + real, imaginary))


def blur(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """Detail lost in all directions, or along one as in thick slices."""
    from scipy import ndimage

    sigma_mm, thick = generator.uniform(1.5, 4), _thick(mr)
    along = thick if generator.random() < 0.5 else [int(generator.choice(thick))]
    sigma = [sigma_mm / mr.geometry.spacing_mm[axis] if axis in along else 0.0 for axis in range(3)]
    return mr.with_voxels(ndimage.gaussian_filter(mr.voxels, sigma))


def bias(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """A receive field that falls off to one side or from the rim, by a factor of 3 to 12 over the image."""
    grids = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else [0.0] for n in mr.geometry.shape), indexing="ij")
    direction = generator.standard_normal(3)
    direction[[axis for axis in range(3) if axis not in _thick(mr)]] = 0
    direction /= np.linalg.norm(direction) + 1e-9
    ramp = sum(d * g for d, g in zip(direction, grids, strict=True))
    bowl = sum(g**2 for g in grids) * generator.choice([-1.0, 0.0, 1.0])
    shape = ramp + 0.5 * bowl
    shape = (shape - shape.min()) / np.ptp(shape)
    return mr.with_voxels(mr.voxels * np.exp(np.log(generator.uniform(3, 12)) * (shape - 0.5)).astype(np.float32))


def ghosts(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """Every n-th line of k-space differs: fainter copies along the phase direction."""
    axis, every = int(generator.choice(_thick(mr))), int(generator.integers(2, 6))
    lines = np.fft.fft(mr.voxels, axis=axis)
    index = np.fft.fftfreq(mr.geometry.shape[axis], 1 / mr.geometry.shape[axis]).astype(int)
    change = np.ones(len(index), dtype=complex)
    strength = generator.uniform(0.12, 0.4) * every
    change[index % every == int(generator.integers(every))] += strength * np.exp(2j * np.pi * generator.random())
    shape = [len(index) if n == axis else 1 for n in range(3)]
    return mr.with_voxels(np.abs(np.fft.ifft(lines * change.reshape(shape), axis=axis)).astype(np.float32))


def motion(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """The head lies in several places while k-space fills: 2 to 9 mm and 1 to 8 degrees apart, up to 12 stretches."""
    from scipy import ndimage

    thick = _thick(mr)
    axis, n_moves = int(generator.choice(thick)), int(generator.integers(1, 12))
    size, reach_mm, reach_deg = mr.geometry.shape[axis], generator.uniform(1, 9), generator.uniform(1, 8)
    # some stretch begins among the inner lines, which hold most of the image
    starts = np.sort(np.r_[generator.integers(0, size, n_moves), generator.integers(size // 3, 2 * size // 3)])
    place = np.searchsorted(starts, np.arange(size))
    lines = np.zeros(mr.geometry.shape, dtype=np.complex64)
    for n in range(n_moves + 2):
        shift = [
            round(generator.normal(0, reach_mm / 2) / mr.geometry.spacing_mm[a]) if a in thick else 0 for a in range(3)
        ]
        chosen = tuple(np.fft.ifftshift(place == n) if a == axis else slice(None) for a in range(3))
        turn = generator.normal(0, reach_deg / 2)
        turned = ndimage.rotate(mr.voxels, turn, axes=(thick[-2], thick[-1]), reshape=False, order=1)
        lines[chosen] = np.fft.fft(np.roll(turned, shift, axis=(0, 1, 2)), axis=axis)[chosen]
    return mr.with_voxels(np.abs(np.fft.ifft(lines, axis=axis)).astype(np.float32))


def wrap(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """A field of view smaller than the head along one axis: what lies beyond comes in at the other side."""
    axis = int(generator.choice(_thick(mr)))
    along = np.flatnonzero(outline.any(axis=tuple(a for a in range(3) if a != axis)))
    if generator.random() < 0.4:
        return mr.with_voxels(
            np.roll(mr.voxels, int(generator.uniform(0.25, 0.75) * mr.geometry.shape[axis]), axis=axis)
        )
    size = max(8, int((along[-1] - along[0]) * generator.uniform(0.6, 0.9)))
    start = max(0, int(along[0] + along[-1] - size) // 2)
    folded = np.moveaxis(
        np.zeros([size if a == axis else n for a, n in enumerate(mr.geometry.shape)], np.float32), axis, 0
    )
    np.add.at(folded, (np.arange(mr.geometry.shape[axis]) - start) % size, np.moveaxis(mr.voxels, axis, 0))
    return _on_part(mr, np.moveaxis(folded, 0, axis), axis, start)


def void(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """Metal: a ball of 12 to 35 mm radius without signal, sometimes with a bright rim."""
    centre = generator.choice(np.argwhere(outline))
    radius_mm = generator.uniform(12, 35)
    squeeze = generator.uniform(0.7, 1.4, 3)
    distance = np.sqrt(
        sum(
            ((grid - c) * d * s) ** 2
            for grid, c, d, s in zip(
                np.ogrid[tuple(slice(0, n) for n in mr.geometry.shape)],
                centre,
                mr.geometry.spacing_mm,
                squeeze,
                strict=True,
            )
        )
    )
    kept = np.clip((distance - radius_mm) / 2 + 0.5, 0, 1)
    rim = generator.choice([0.0, 1.5]) * np.exp(-(((distance - radius_mm - 3) / 2) ** 2))
    return mr.with_voxels((mr.voxels * (kept + rim)).astype(np.float32))


def sequence(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """Another sequence: brightness turned round inside the head, bent, or redrawn at random."""
    top = float(np.quantile(mr.voxels[outline], 0.98))
    share = np.clip(mr.voxels / top, 0, 1.3)
    kind = generator.integers(3)
    if kind == 0:
        dark = np.clip(share / 0.1, 0, 1)
        share = dark * np.clip(generator.uniform(1.0, 1.2) - share, 0.02, None)
    elif kind == 1:
        share = share ** generator.choice([generator.uniform(0.25, 0.5), generator.uniform(2, 3.5)])
    else:
        knots = np.r_[0, generator.uniform(0.05, 1, 6)]
        share = np.interp(share, np.r_[0, 0.1, 0.25, 0.4, 0.55, 0.75, 1.3], knots)
    return mr.with_voxels((share * top).astype(np.float32))


def crop(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """A part of the head, 12 to 45 % from one side, is missing: cut off or black. Never the neck's side."""
    sides = [(axis, high) for axis in _thick(mr) for high in (False, True) if (axis, high) != (2, False)]
    axis, high = sides[int(generator.integers(len(sides)))]
    along = np.flatnonzero(outline.any(axis=tuple(a for a in range(3) if a != axis)))
    cut = int((along[-1] - along[0]) * generator.uniform(0.12, 0.45))
    kept = slice(0, int(along[-1]) - cut) if high else slice(int(along[0]) + cut, mr.geometry.shape[axis])
    index = tuple(kept if a == axis else slice(None) for a in range(3))
    if generator.random() < 0.5:
        return _on_part(mr, mr.voxels[index], axis, kept.start)
    black = np.zeros_like(mr.voxels)
    black[index] = mr.voxels[index]
    return mr.with_voxels(black)


def stripped(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """Skull and scalp taken away, as before many analyses of the brain."""
    depth = depth_mm(outline, mr.geometry.spacing_mm)
    return mr.with_voxels(mr.voxels * (depth > generator.uniform(8, 18)))


def size(mr: Volume, outline: NDArray[np.bool_], generator: Generator) -> Volume:
    """Voxels of another size than the header says: a head too small or too large, perhaps in one direction."""
    factor = generator.choice([generator.uniform(0.45, 0.75), generator.uniform(1.35, 2.2)])
    factors = np.full(3, factor)
    if generator.random() < 0.4:
        factors = np.where(np.arange(3) == generator.choice(_thick(mr)), factor, 1.0)
    affine = mr.geometry.affine @ np.diag([*factors, 1.0])
    return Volume(mr.voxels, Geometry(mr.geometry.shape, affine, mr.geometry.frame_of_reference_uid), mr.quantity)


def _on_part(mr: Volume, voxels: Float, axis: int, start: int) -> Volume:
    affine = np.array(mr.geometry.affine)
    affine[:3, 3] = voxel_to_world(affine, [start if a == axis else 0 for a in range(3)])
    i, j, k = voxels.shape
    return Volume(voxels, Geometry((i, j, k), affine, mr.geometry.frame_of_reference_uid), mr.quantity)


Fault = Callable[[Volume, NDArray[np.bool_], Generator], Volume]

FAULTS: dict[str, Fault] = {
    "noise": noise,
    "blur": blur,
    "bias": bias,
    "ghosts": ghosts,
    "motion": motion,
    "wrap": wrap,
    "void": void,
    "sequence": sequence,
    "crop": crop,
    "stripped": stripped,
    "size": size,
}
"""Every kind by the name that a finding of it has."""
