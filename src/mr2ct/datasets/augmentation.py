"""Random changes to a batch: one for MR and CT together in space, another for the MR alone in intensity.

Everything works on whole batches on their device, in two or three dimensions, and draws from a generator that is
passed in. MR is in network units (0 background, about 1 bright tissue), CT in [-1, 1] (-1 is air).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mr2ct.datasets.contrast_change import in_thick_slices, reordered, with_local_contrast
from mr2ct.datasets.short_field import ShortField
from mr2ct.datasets.smooth_fields import smooth_field
from mr2ct.errors import Mr2ctError

_SPACINGS = ("spacing_mm", "ct_spacing_mm")


@dataclass(frozen=True)
class SpatialAugmentation:
    """Flips from left to right, small rotations, scalings, shifts and bends; the same for every image of a sample.

    Parameters
    ----------
    flip : probability of a left-right flip, only where the first spatial axis runs left to right.
    rotation_deg, scaling, shift : the largest rotation in the patient about each axis, whatever the spacing; the
        largest relative change of size, and shift as a share of the image.
    elastic : the largest displacement by a smooth random field, as a share of the image. Up to 0.1 nothing folds over
        (Choi 2000, doi:10.1006/gmod.2000.0531).
    on_grid : the share of samples that are flipped, or not, and no more. What is turned, scaled or bent lies between
        voxels and is less sharp, MR and CT alike; a network that saw blurred slices alone gives bone that is too soft.
    """

    flip: float = 0.5
    rotation_deg: float = 10.0
    scaling: float = 0.1
    shift: float = 0.0
    elastic: float = 0.0
    on_grid: float = 0.0

    def __call__(
        self,
        images: dict[str, Tensor],
        left_right: Tensor,
        generator: torch.Generator,
        *,
        spacing_mm: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Move mr, ct and masks (N, C, *spatial) alike. Beyond the edge MR and mask are 0 and CT is air (-1).

        `spacing_mm` (N, spatial axes) may lie on the images' device; None stands for voxels as long as wide.

        Interpolation is cubic in slices, which keeps them sharp, within the values they had, and linear in patches.
        """
        first = next(iter(images.values()))
        kept = self._draw_kept(first, generator)
        theta = self._draw(first, left_right, kept, generator)
        if spacing_mm is not None:
            theta = in_patient_space(theta, spacing_mm)
        grid = F.affine_grid(theta, [first.shape[0], 1, *first.shape[2:]], align_corners=False)
        if self.elastic > 0:
            grid = grid + torch.where(_column(kept, grid), 0.0, self._bend(first, generator))
        moved = {}
        for key, image in images.items():
            lowest = -1.0 if key.startswith("ct") and not key.endswith("mask") else 0.0
            mode = "nearest" if key.endswith("mask") else "bicubic" if image.dim() == 4 else "bilinear"
            sampled = F.grid_sample(image - lowest, grid, mode=mode, align_corners=False) + lowest
            moved[key] = sampled.clamp(image.min().clamp(max=lowest), image.max())
        return moved

    def _bend(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(N, *spatial, dims) displacement in `grid_sample`'s coordinates, which run over 2 along an axis."""
        count, dims = images.shape[0], images.dim() - 2
        field = smooth_field(images.shape[2:], channels=dims, count=count, generator=generator)
        return 2 * self.elastic * field.movedim(1, -1).to(images.device)

    def _draw_kept(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(N,) bool: which samples stay on their voxels."""
        # an option that is off draws no number, so that those after it stay what they were
        if self.on_grid <= 0:
            return torch.zeros(images.shape[0], dtype=torch.bool)
        return torch.rand(images.shape[0], generator=generator) < self.on_grid

    def _draw(self, images: Tensor, left_right: Tensor, kept: Tensor, generator: torch.Generator) -> Tensor:
        """(N, dims, dims + 1), as `affine_grid` takes it: rows and columns count x first, the last spatial axis."""
        count, dims = images.shape[0], images.dim() - 2
        moves = (~kept).float()[:, None]
        turn = _uniform((count, dims * (dims - 1) // 2), math.radians(self.rotation_deg), generator)
        rotation = _rotation(moves * turn)
        scale = 1 + moves * _uniform((count, dims), self.scaling, generator)
        flips = (torch.rand(count, generator=generator) < self.flip) & (left_right.cpu() > 0)
        scale[:, dims - 1] *= torch.where(flips, -1.0, 1.0)
        # grid_sample's coordinates run from -1 to 1 along every axis: undo that for a rotation without shear
        size = torch.tensor(list(reversed(images.shape[2:])), dtype=torch.float32)
        matrix = rotation * scale[:, None, :] * size[None, None, :] / size[None, :, None]
        shift = moves[:, :, None] * _uniform((count, dims, 1), 2 * self.shift, generator)
        return torch.cat([matrix, shift], dim=2).to(images.device)


def in_patient_space(theta: Tensor, spacing_mm: Tensor) -> Tensor:
    """`affine_grid`'s matrices of movements counted in voxels, made the same movements counted in mm.

    Parameters
    ----------
    theta : (N, dims, dims + 1), first the last spatial axis. spacing_mm : (N, dims), along the spatial axes in their
        order. Where all of a sample's are equal its matrix is as it was, bit for bit.

    Example
    -------
    >>> turned = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    >>> in_patient_space(turned, torch.tensor([[3.0, 1.5]])).tolist()
    [[[0.0, -2.0, 0.0], [0.5, 0.0, 0.0]]]
    """
    size = spacing_mm.flip(1).to(theta.device)
    matrix = theta[:, :, :-1] * (size[:, None, :] / size[:, :, None])
    return torch.cat([matrix, theta[:, :, -1:]], dim=2)


def _rotation(angles: Tensor) -> Tensor:
    """(N, 1) angles to (N, 2, 2), or (N, 3) to (N, 3, 3) about the three axes in turn."""
    dims = 2 if angles.shape[1] == 1 else 3
    total = torch.eye(dims).repeat(angles.shape[0], 1, 1)
    for angle, (one, other) in zip(angles.T, ((0, 1), (0, 2), (1, 2)), strict=False):
        turn = torch.eye(dims).repeat(angles.shape[0], 1, 1)
        turn[:, one, one] = turn[:, other, other] = torch.cos(angle)
        turn[:, one, other], turn[:, other, one] = -torch.sin(angle), torch.sin(angle)
        total = total @ turn
    return total


@dataclass(frozen=True)
class IntensityAugmentation:
    """What another scanner or patient would do to the MR: contrast, bias field, noise, blur, ghosts of motion.

    Parameters
    ----------
    scaling : the largest relative change of brightness.
    contrast : strength of a random monotone curve; 0 keeps the contrast, 1 allows a gamma of 0.4 to 2.5.
    bias_field : the largest relative change by a smooth field (a product of cosines of random phase).
    noise : the largest standard deviation of the noise, as a share of bright tissue; Rician, as in magnitude images.
    blur : probability that a sample is blurred along one axis, as thick slices are.
    ghosting : probability of periodic ghosts along one axis (pulsation, breathing).
    motion : probability that the head moved once while k-space was filled: a band of its lines is of a shifted head.
    inversion : probability of a curve that need not be monotone, as between T1 and T2: black stays black, the order of
        all else is free.
    local_contrast : strength of a gamma that differs from place to place; 1 allows 0.4 to 2.5.
    thick_slices : probability that a sample is measured in slices of 2 to 6 voxels across one axis.
    """

    scaling: float = 0.15
    contrast: float = 0.4
    bias_field: float = 0.25
    noise: float = 0.03
    blur: float = 0.15
    ghosting: float = 0.1
    motion: float = 0.1
    inversion: float = 0.0
    local_contrast: float = 0.0
    thick_slices: float = 0.0

    def __call__(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        """(N, C, *spatial) MR in network units to the same, changed; never negative."""
        changes = (self._contrast, self._invert, self._local, self._bias, self._ghosts, self._move)
        for change in (*changes, self._blur, self._thicken, self._noise):
            mr = change(mr, generator)
        return mr

    def _contrast(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        gamma = torch.exp(_per_sample(mr, self.contrast * math.log(2.5), generator))
        scale = 1 + _per_sample(mr, self.scaling, generator)
        return scale * mr.clamp(min=0) ** gamma

    def _invert(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        return _sometimes(reordered, mr, self.inversion, generator)

    def _local(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        return with_local_contrast(mr, self.local_contrast, generator) if self.local_contrast > 0 else mr

    def _thicken(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        return _sometimes(in_thick_slices, mr, self.thick_slices, generator)

    def _bias(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        if self.bias_field <= 0:
            return mr
        field = torch.ones_like(mr[:, :1])
        for axis, size in enumerate(mr.shape[2:]):
            place = torch.linspace(0, math.pi, size, device=mr.device)
            place = place.reshape([-1 if other == axis else 1 for other in range(mr.dim() - 2)])[None, None]
            phase = _per_sample(mr, math.pi, generator)
            strength = torch.rand(1, generator=generator).item() * self.bias_field
            field = field * (1 + strength * torch.cos(place + phase))
        return mr * field

    def _ghosts(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.rand(mr.shape[0], generator=generator) < self.ghosting
        if not bool(chosen.any()):
            return mr
        axis = 2 + int(torch.randint(mr.dim() - 2, (1,), generator=generator))
        ghosts = int(torch.randint(2, 6, (1,), generator=generator))
        lines = torch.arange(mr.shape[axis], device=mr.device)
        weight = torch.where((lines % ghosts == 0) & (lines != 0), 0.7, 1.0)
        weight = weight.reshape([-1 if other == axis else 1 for other in range(mr.dim())])
        ghosted = torch.fft.ifft(torch.fft.fft(mr, dim=axis) * weight, dim=axis).abs()
        return torch.where(_column(chosen, mr), ghosted, mr)

    def _move(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.rand(mr.shape[0], generator=generator) < self.motion
        if not bool(chosen.any()):
            return mr
        axis = 2 + int(torch.randint(mr.dim() - 2, (1,), generator=generator))
        voxels, from_line = torch.randint(1, 5, (1,), generator=generator), torch.rand(1, generator=generator) * 0.4
        # k-space with its middle at line 0: lines beyond `from_line` of the sampling rate are of the moved head
        late = torch.fft.fftfreq(mr.shape[axis], device=mr.device) > float(from_line) + 0.05
        late = late.reshape([-1 if other == axis else 1 for other in range(mr.dim())])
        before, after = (torch.fft.fft(image, dim=axis) for image in (mr, torch.roll(mr, int(voxels), dims=axis)))
        moved = torch.fft.ifft(torch.where(late, after, before), dim=axis).abs()
        return torch.where(_column(chosen, mr), moved, mr)

    def _blur(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.rand(mr.shape[0], generator=generator) < self.blur
        if not bool(chosen.any()):
            return mr
        axis = 2 + int(torch.randint(mr.dim() - 2, (1,), generator=generator))
        beside = torch.roll(mr, 1, dims=axis) + torch.roll(mr, -1, dims=axis)
        return torch.where(_column(chosen, mr), 0.4 * mr + 0.3 * beside, mr)

    def _noise(self, mr: Tensor, generator: torch.Generator) -> Tensor:
        if self.noise <= 0:
            return mr
        level = torch.rand(_ones(mr), generator=generator) * self.noise
        real, imaginary = (torch.randn(mr.shape, generator=generator) * level for _ in range(2))
        return torch.hypot(mr + real.to(mr.device), imaginary.to(mr.device))


def _sometimes(
    change: Callable[[Tensor, torch.Generator], Tensor], mr: Tensor, probability: float, generator: torch.Generator
) -> Tensor:
    # an option that is off draws no number, so that those after it stay what they were
    if probability <= 0:
        return mr
    chosen = torch.rand(mr.shape[0], generator=generator) < probability
    return torch.where(_column(chosen, mr), change(mr, generator), mr) if bool(chosen.any()) else mr


def _ones(images: Tensor) -> list[int]:
    return [images.shape[0]] + [1] * (images.dim() - 1)


def _column(flags: Tensor, images: Tensor) -> Tensor:
    return flags.reshape(_ones(images)).to(images.device)


def _uniform(shape: Sequence[int], largest: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(list(shape), generator=generator) - 1) * largest


def _per_sample(images: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    return _uniform(_ones(images), largest, generator).to(images.device)


@dataclass(frozen=True)
class Augmentation:
    """All changes, for the batches of `datasets.sampling`; None leaves a kind out.

    `short_field` is for pairs alone, whose CT shows `tissue` above that value in network units.
    """

    spatial: SpatialAugmentation | None = None
    intensity: IntensityAugmentation | None = None
    short_field: ShortField | None = None
    tissue: float = -0.646

    def __call__(self, batch: dict[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        """Change a batch; the same `seed` changes it the same way. Unpaired MR and CT move independently.

        Of what the batch says besides its images, the result keeps `left_right`.
        """
        generator = torch.Generator().manual_seed(seed)
        left_right = batch["left_right"]
        images = {key: image for key, image in batch.items() if key not in ("left_right", *_SPACINGS)}
        if "mr" not in images:
            raise Mr2ctError("a batch without MR", got=", ".join(images), expected="mr")
        unpaired = "ct_mask" in images
        if self.spatial is not None:
            groups = [("mr", "mr_mask"), ("ct", "ct_mask")] if unpaired else [tuple(images)]
            for group, spacing in zip(groups, _SPACINGS, strict=False):
                of_group = {key: images[key] for key in group}
                images |= self.spatial(of_group, left_right, generator, spacing_mm=batch.get(spacing))
        if self.short_field is not None and not unpaired:
            tissue, mask = images["ct"] > self.tissue, images["mask"] > 0.5
            images["mr"] = self.short_field(images["mr"], tissue.float(), mask.float(), generator)
        if self.intensity is not None:
            images["mr"] = self.intensity(images["mr"], generator)
        return {**images, "left_right": left_right}
