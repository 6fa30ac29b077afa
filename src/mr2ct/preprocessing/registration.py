"""Find how a CT (or another scan) of the same patient lies relative to an MR, however far apart the two begin.

Mattes mutual information (Mattes et al., IEEE Trans Med Imaging 22, 2003) is maximised from many starts: the two
bodies are laid centre on centre in each of the 24 ways a box can be turned, because scanners disagree about which end
is which more often than they should. Coarse images rank the starts; the best go on to finer ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np

from mr2ct.errors import InputError
from mr2ct.geometry import Float64, Geometry, voxel_to_world, world_to_voxel
from mr2ct.preprocessing.body_mask import body_mask
from mr2ct.preprocessing.hu_clipping import clip_hu
from mr2ct.preprocessing.morphology import dilated
from mr2ct.preprocessing.resampling import outside_value, to_spacing
from mr2ct.preprocessing.rigid_transform import RigidTransform
from mr2ct.preprocessing.simpleitk_image import to_simpleitk
from mr2ct.volume import Quantity, Volume

RANKING_MM = 5.0
LEVELS_MM = (4.0, 2.0)
FINALISTS = 3

_BINS = 32
_RANKING_SAMPLES = 15_000
_REFINING_SAMPLES = 60_000
_RIM_MM = 15.0


@dataclass(frozen=True)
class _Level:
    """Both images on coarse voxels, the part of the fixed one that counts (body and a rim of air), and its points."""

    fixed: Any
    moving: Volume
    inside: Any
    body_mm: Float64
    spacing_mm: float


@dataclass(frozen=True)
class _Effort:
    """How many voxels are looked at, chosen by which seed, and whether to go on until nothing improves."""

    samples: int
    thorough: bool
    seed: int


@dataclass(frozen=True)
class _Found:
    """Where one start ended: the matrix moving <- fixed, its mutual information in nats, and the share of overlap."""

    matrix: Float64
    mutual_information: float
    overlap: float

    @property
    def merit(self) -> float:
        """What starts are compared by: a small overlap may fit well by chance."""
        return self.mutual_information * self.overlap


def register_rigid(
    fixed: Volume,
    moving: Volume,
    *,
    seed: int = 0,
    levels_mm: tuple[float, ...] = LEVELS_MM,
    finalists: int = FINALISTS,
) -> RigidTransform:
    """The rigid transform that lays `moving` on `fixed`.

    Parameters
    ----------
    fixed, moving : volumes of one object, of any quantities but masks (usually MR and CT; HU are clipped from -1024
        on). Neither may be a single slice.
    seed : of the random choice of voxels; the same seed gives the same transform.
    levels_mm : voxel sizes, coarse to fine, at which the best starts are refined.
    finalists : how many of the starts are refined at the first of these; the best of them goes on.

    Returns
    -------
    The transform moving <- fixed in RAS+ mm; `.resample(moving, fixed.geometry)` applies it.

    Raises
    ------
    InputError : a single slice, an image without a body, or images that nowhere overlap.

    Example
    -------
    >>> transform = register_rigid(read_volume("mr"), read_volume("ct", quantity="hu"))  # doctest: +SKIP
    >>> ct_on_mr = transform.resample(ct, mr.geometry)  # doctest: +SKIP
    """
    for name, volume in (("fixed", fixed), ("moving", moving)):
        if volume.geometry.single_slice_axis is not None:
            raise InputError(
                f"the {name} image is a single slice", got=f"shape {volume.geometry.shape}", expected="a volume"
            )
    finest = min(levels_mm)
    fixed, moving = _prepared(fixed, finest), _prepared(moving, finest)
    coarse = _level(fixed, moving, RANKING_MM)
    ranked = []
    for start in _starts(fixed, moving):
        found = _improved(coarse, start, _Effort(_RANKING_SAMPLES, False, seed))
        if found is not None:
            ranked.append(found)
    if not ranked:
        raise InputError("the images nowhere overlap", remedy="check that both show one object")
    best = sorted(ranked, key=lambda found: -found.merit)[:finalists]
    for spacing_mm in levels_mm:
        level = _level(fixed, moving, spacing_mm)
        refined = [_improved(level, one.matrix, _Effort(_REFINING_SAMPLES, True, seed)) for one in best]
        best = [max((one for one in refined if one), key=lambda found: found.merit, default=best[0])]
    return RigidTransform(best[0].matrix, best[0].mutual_information)


def _prepared(volume: Volume, spacing_mm: float) -> Volume:
    """Coarse float32 voxels; never finer than the volume's own, and HU without padding values."""
    if volume.quantity is Quantity.HU:
        volume = clip_hu(volume)
    voxels = volume.voxels.astype(np.float32, copy=False)
    if not np.isfinite(voxels).all():
        voxels = np.nan_to_num(voxels, nan=outside_value(volume.quantity))
    return to_spacing(volume.with_voxels(voxels), [max(spacing_mm, own) for own in volume.geometry.spacing_mm])


def _level(fixed: Volume, moving: Volume, spacing_mm: float) -> _Level:
    small = _prepared(fixed, spacing_mm)
    body = body_mask(small).voxels > 0
    rim = dilated(body, small.geometry.spacing_mm, _RIM_MM).astype(np.uint8)
    return _Level(
        fixed=to_simpleitk(small),
        moving=_prepared(moving, spacing_mm),
        inside=to_simpleitk(small.with_voxels(rim, quantity=Quantity.MASK)),
        body_mm=voxel_to_world(small.geometry.affine, np.argwhere(body)),
        spacing_mm=spacing_mm,
    )


def _starts(fixed: Volume, moving: Volume) -> list[Float64]:
    """Matrices moving <- fixed: body centre on body centre, turned in each of 24 ways; the unturned one first."""
    centres = []
    for volume in (fixed, moving):
        small = _prepared(volume, RANKING_MM)
        centres.append(voxel_to_world(small.geometry.affine, np.argwhere(body_mask(small).voxels > 0).mean(axis=0)))
    starts = []
    for turn in cube_rotations():
        start = np.eye(4)
        start[:3, :3], start[:3, 3] = turn, centres[1] - turn @ centres[0]
        starts.append(start)
    return starts


def cube_rotations() -> list[Float64]:
    """The 24 rotations (3, 3) that lay a cube on itself, by falling trace: first the identity.

    Example
    -------
    >>> len(cube_rotations()), float(cube_rotations()[0].trace())
    (24, 3.0)
    """
    turns = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if np.linalg.det(turn) > 0:
                turns.append(turn)
    return sorted(turns, key=lambda turn: -float(turn.trace()))


def _improved(level: _Level, start: Float64, effort: _Effort) -> _Found | None:
    """Climb from one start; None where the images do not overlap enough to say anything.

    The moving image is laid where the start puts it, so that what is optimised is a small turn about the body's centre:
    angles near zero have no singular positions.
    """
    import SimpleITK as sitk  # noqa: N813

    geometry = level.moving.geometry
    placed = Geometry(geometry.shape, np.linalg.inv(start) @ geometry.affine)
    small = sitk.Euler3DTransform()
    small.SetCenter(level.body_mm.mean(axis=0).tolist())
    method = _method(level, effort)
    method.SetInitialTransform(small, inPlace=True)
    try:
        method.Execute(level.fixed, to_simpleitk(Volume(level.moving.voxels, placed, level.moving.quantity)))
    except RuntimeError as error:
        if "samples map outside" in str(error) or "overlap" in str(error):
            return None
        raise
    turn = np.eye(4)
    turn[:3, :3] = np.array(small.GetMatrix()).reshape(3, 3)
    turn[:3, 3] = small.TransformPoint((0.0, 0.0, 0.0))
    matrix = start @ turn
    return _Found(matrix, -float(method.GetMetricValue()), _overlap(level, matrix))


def _overlap(level: _Level, matrix: Float64) -> float:
    """Which part of the fixed body falls into the moving image."""
    some = level.body_mm[:: max(1, len(level.body_mm) // 5000)]
    voxels = world_to_voxel(level.moving.geometry.affine, voxel_to_world(matrix, some))
    within = (voxels >= -0.5) & (voxels <= np.array(level.moving.geometry.shape) - 0.5)
    return float(within.all(axis=1).mean())


def _method(level: _Level, effort: _Effort) -> Any:
    import SimpleITK as sitk  # noqa: N813

    method = sitk.ImageRegistrationMethod()
    # one thread adds in one order: the same seed gives the same transform to the last bit
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(level.inside)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(
        min(1.0, effort.samples / float(np.prod(level.fixed.GetSize()))), effort.seed + 1
    )
    # central differences agree with the metric's slope; the default, smoothed gradients are off by a factor of three
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetInterpolator(sitk.sitkLinear)
    if effort.thorough:
        # Powell's line searches need no gradient, and do not stop on the way as gradient descent does
        method.SetOptimizerAsPowell(
            numberOfIterations=20, maximumLineIterations=20, stepLength=1.0, stepTolerance=1e-2, valueTolerance=1e-4
        )
    else:
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=level.spacing_mm, minStep=level.spacing_mm / 50, numberOfIterations=40, relaxationFactor=0.8
        )
    method.SetOptimizerScalesFromPhysicalShift()
    return method
