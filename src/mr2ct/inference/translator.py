"""MR volume in, sCT volume out: preprocessing as in training, the network, fusion, and back to the MR's grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import mr2ct
from mr2ct.bundles import Bundle, BundleDescription, load_network
from mr2ct.errors import BundleError, InputError
from mr2ct.geometry import Geometry, part_of
from mr2ct.hounsfield import AIR_HU
from mr2ct.inference.body_region import (
    ROUND_FOUND,
    ROUND_FOUND_IN_SLICE,
    ROUND_MASK,
    Box,
    air_outside,
    body_weight,
    bounding_box,
)
from mr2ct.inference.bone_level import bone_level, contrast_exponent, with_contrast
from mr2ct.inference.engine import Engine, TorchEngine
from mr2ct.inference.planes import ALL_PLANES, OnProgress, choose_planes, fuse, predict_slices
from mr2ct.inference.slice_frame import ONE_PLACE, PLACES
from mr2ct.inference.tiling import sliding_window
from mr2ct.inference.tilts import EVERY_VIEW, tilts_of
from mr2ct.inference.views import FLIPS, PLAIN, VIEWS, view_answer
from mr2ct.io.checks import require_mask_fits, require_mr
from mr2ct.preprocessing.core_scaling import CoreScaling
from mr2ct.preprocessing.pipeline import Pipeline, Prepared, undo_geometry
from mr2ct.preprocessing.resampling import resample_to
from mr2ct.volume import Quantity, Volume

if TYPE_CHECKING:
    import torch

MARGIN_MM = 24.0
"""Background that the network sees round the body: what a training slice shows, and what the widest edge needs."""

StageProgress = Callable[[str, float], None]
"""Called with the stage ("preprocessing", a plane or "patches", "finishing") and the share of it that is done."""


@dataclass(frozen=True)
class Translation:
    """An sCT and how it came about.

    Parameters
    ----------
    sct : HU, int16, on the grid of the MR bit for bit.
    planes : the planes that were run; empty for a 3-D network.
    seconds : by stage.
    warnings : what a person should know about this case, one sentence each.
    record : JSON values: model, checksum, engine, planes, preprocessing with what was fitted to this case.
    """

    sct: Volume
    planes: tuple[str, ...]
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class PreparedBody:
    """An MR ready for a network, cut to the body with a margin.

    Parameters
    ----------
    prepared : the whole image after preprocessing, with the outline.
    mr_units : (i, j, k) network units in the box. weight : how much of the network's answer counts there, [0, 1].
    box : where it was cut from `prepared`. original : the grid of the MR as it was given.
    contrast_exponent : the power that `mr_units` were raised to (`inference.bone_level`).
    """

    prepared: Prepared
    mr_units: NDArray[Any]
    weight: NDArray[np.float32]
    box: Box
    original: Geometry
    contrast_exponent: float = 1.0

    @property
    def outline(self) -> NDArray[np.bool_]:
        """(i, j, k): inside the body, in the box."""
        return np.asarray(self.prepared.mask.voxels[self.box] != 0)


class Translator:
    """A model that is ready to convert volumes.

    Parameters
    ----------
    network : maps (N, context_slices, *spatial) to (N, 1, *spatial) in network units.
    description : of the model; its preprocessing, HU range, planes and patch size are used.
    device : "auto", "cpu" or "cuda". precision : "auto", "fp32" or "bf16"; see `TorchEngine`.
    views : keys of `mr2ct.inference.views.VIEWS`; the sCT is the mean of the answers to them. None: where one plane
        alone is converted, all of them and, of a whole head in cubic voxels, tilted ones (`tilts_of`); where several
        are, the plain one, for each plane is a view of its own. A single slice is shown at all `places` in each view.
        A model that was trained without flips is never shown the mirrored one.

    Raises
    ------
    InputError : no view that the model knows, or an unknown one.

    Example
    -------
    >>> Translator.from_bundle(find_bundle("brain-attention-unet")).translate(mr).sct  # doctest: +SKIP
    """

    def __init__(
        self,
        network: torch.nn.Module,
        description: BundleDescription,
        *,
        device: str = "auto",
        precision: str = "auto",
        views: Sequence[str] | None = None,
    ) -> None:
        self.known_views = FLIPS if description.flips else PLAIN
        if views is not None and (not set(views) & set(self.known_views) or set(views) - VIEWS.keys()):
            known = ", ".join(self.known_views)
            raise InputError("unknown view", got=", ".join(views) or "none", expected=f"some of {known}")
        self.description = description
        self.pipeline = Pipeline.from_record(description.preprocessing)
        self.engine: Engine = TorchEngine(network, device=device, precision=precision)
        self.views = None if views is None else tuple(view for view in views if view in self.known_views)
        # to ask for the plain view alone is the fast way
        self.places = ONE_PLACE if views is not None and tuple(views) == PLAIN else PLACES

    @classmethod
    def from_bundle(
        cls, bundle: Bundle, *, device: str = "auto", precision: str = "auto", views: Sequence[str] | None = None
    ) -> Translator:
        """The translator of a model on disk. Raises BundleError where its weights do not fit its network."""
        return cls(load_network(bundle), bundle.description, device=device, precision=precision, views=views)

    def translate(
        self,
        mr: Volume,
        *,
        planes: str = ALL_PLANES,
        mask: Volume | None = None,
        force: bool = False,
        progress: StageProgress | None = None,
        prepared: Prepared | None = None,
    ) -> Translation:
        """Turn an MR volume into an sCT on its own grid.

        Parameters
        ----------
        mr : any grid. mask : the body on the same grid; found in the MR where it is None.
        planes : "all", "axial", "coronal" or "sagittal"; a volume one voxel thick has only one.
        force : convert also what looks like a CT.
        prepared : what this model's pipeline made of this very MR and mask, where the caller has it already.

        Raises
        ------
        InputError : not an MR, a constant image, no body in it, a plane that the model or the volume does not have.
        GeometryError : a mask of another grid. BundleError : the network gave numbers that are not finite.
        """
        return translate_together(
            (self,), mr, planes=planes, mask=mask, force=force, progress=progress, prepared=prepared
        )

    def prepare(
        self, mr: Volume, *, mask: Volume | None = None, force: bool = False, prepared: Prepared | None = None
    ) -> PreparedBody:
        """The MR as the network sees it, cut to the body with a margin. Parameters and errors as in `translate`."""
        _require_convertible(mr, mask, force=force)
        done = self.pipeline.apply(mr, mask=mask) if prepared is None else prepared
        return self._in_known_contrast(_cut_out(mr.geometry, done, mask_was_given=mask is not None))

    def bone_level(self, mr_units: NDArray[Any], outline: NDArray[np.bool_], planes: Sequence[str]) -> float | None:
        """How bright bone is, (i, j, k) network units: see `inference.bone_level`."""

        def hu_of(units: NDArray[Any], inside: NDArray[Any], plane: str) -> NDArray[np.float32]:
            return self.description.hu_scaling.to_hu(self.answer(units, inside, plane, places=ONE_PLACE))

        return bone_level(mr_units, outline, planes, hu_of)

    def _in_known_contrast(self, body: PreparedBody) -> PreparedBody:
        """The body with bone no darker than training showed it, where the model knows how it did."""
        known = self.description.bone_levels
        core = next((step.core for step in self.pipeline.steps if isinstance(step, CoreScaling)), None)
        if known is None or core is None or self.description.dimensions != 2:
            return body
        level = self.bone_level(body.mr_units, body.outline, self.planes_for(body))
        one_slice = body.prepared.mr.geometry.single_slice_axis is not None
        exponent = contrast_exponent(level, known, core=core, half_way=one_slice)
        if exponent == 1:
            return body
        # what lies outside is noise, which lifted looks like tissue
        lifted = np.where(body.outline, with_contrast(body.mr_units, exponent, core=core), body.mr_units)
        return replace(body, mr_units=lifted, contrast_exponent=exponent)

    def planes_for(self, body: PreparedBody, planes: str = ALL_PLANES) -> tuple[str, ...]:
        """The planes that run where `planes` are wanted; none for a 3-D network. Raises InputError on a wrong one."""
        if self.description.dimensions == 2:
            shape = body.prepared.mr.geometry.shape
            return choose_planes(shape, wanted=planes, trained=self.description.planes)
        if planes != ALL_PLANES:
            raise InputError(
                "a 3-D model has no planes", got=f"planes {planes}", expected=ALL_PLANES, remedy="leave --planes away"
            )
        return ()

    def views_in(self, planes: Sequence[str], body: PreparedBody) -> tuple[str, ...]:
        """The views that are asked for where these planes run."""
        if self.views is not None:
            return self.views
        if len(planes) != 1:
            return PLAIN
        return (*self.known_views, *tilts_of(planes[0], body.mr_units.shape, body.prepared.mr.geometry.spacing_mm))

    def answer(
        self,
        mr_units: NDArray[Any],
        inside: NDArray[Any],
        plane: str | None,
        *,
        places: Sequence[tuple[int, int]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """The network's answer in one plane, or in patches where `plane` is None: (i, j, k) in, network units out.

        `places` are those of `predict_slices`; None: this translator's own.

        Raises
        ------
        BundleError : it gave numbers that are not finite.
        """
        size = self.description.patch_size
        if plane is None and size is not None:
            units = sliding_window(self.engine, mr_units, inside, patch_size=size, on_progress=on_progress)
        else:
            units = predict_slices(
                self.engine,
                mr_units,
                inside,
                plane=str(plane),
                context_slices=self.description.context_slices,
                places=self.places if places is None else places,
                on_progress=on_progress,
            )
        if not np.isfinite(units).all():
            raise BundleError(
                f"the model {self.description.name} gave numbers that are not finite", remedy="try precision fp32"
            )
        return units

    def compose(self, answers: Sequence[NDArray[np.float32]], body: PreparedBody) -> Volume:
        """The sCT on the MR's grid from the answers of all planes (network units), fused, with air outside the body."""
        hu = self.description.hu_scaling.to_hu(fuse(answers))
        air_hu = max(float(AIR_HU), self.description.hu_range[0])
        return self.on_input_grid(air_outside(hu, body.weight, air_hu=air_hu), body, outside=air_hu)

    def on_input_grid(self, hu: NDArray[np.float32], body: PreparedBody, *, outside: float) -> Volume:
        """HU values of the body's box (i, j, k) on the MR's own grid, int16, with `outside` beyond the box."""
        cropped = Volume(hu, part_of(body.prepared.mr.geometry, body.box), Quantity.HU)
        whole = resample_to(cropped, body.prepared.mr.geometry, outside=outside)
        back = undo_geometry(whole, body.prepared.record, body.original, outside=outside)
        rounded = np.rint(np.clip(back.voxels, *self.description.hu_range)).astype(np.int16)
        return Volume(rounded, body.original, Quantity.HU)

    def translation(
        self,
        sct: Volume,
        body: PreparedBody,
        planes_run: tuple[str, ...],
        *,
        planes_wanted: str,
        views: Sequence[str],
        seconds: Mapping[str, float],
    ) -> Translation:
        """The sCT with its warnings and its record."""
        left_out = [
            plane for plane in self.description.planes if planes_wanted == ALL_PLANES and plane not in planes_run
        ]
        record = self._record(planes_run, views, body)
        return Translation(sct, planes_run, seconds, _warnings(body.original, left_out), record)

    def _record(self, planes: Sequence[str], views: Sequence[str], body: PreparedBody) -> dict[str, Any]:
        return {
            "mr2ct": mr2ct.__version__,
            "model": self.description.name,
            "weights_sha256": self.description.weights_sha256,
            "engine": self.engine.words,
            "planes": list(planes),
            "views": list(views),
            "places": len(self.places) if planes and body.prepared.mr.geometry.single_slice_axis is not None else 1,
            "preprocessing": body.prepared.record,
            "contrast_exponent": round(body.contrast_exponent, 3),
        }


def translate_together(
    members: Sequence[Translator],
    mr: Volume,
    *,
    planes: str = ALL_PLANES,
    mask: Volume | None = None,
    force: bool = False,
    progress: StageProgress | None = None,
    prepared: Prepared | None = None,
) -> Translation:
    """`Translator.translate` by several models at once: prepared once by the first, answers averaged plane by plane.

    Parameters
    ----------
    members : with one preprocessing, one HU range and the same planes (not checked here); each gives the views that it
        was made for, and all answers count alike. The record is that of the first, with the views of all. The others
        as in `translate`.

    Example
    -------
    >>> translate_together([translator, other], mr).sct  # doctest: +SKIP
    """
    lead, clock, report = members[0], _Clock(), progress or _silent
    with clock.stage("preprocessing"):
        report("preprocessing", 0.0)
        body = lead.prepare(mr, mask=mask, force=force, prepared=prepared)
    planes_run = lead.planes_for(body, planes)
    with clock.stage("network"):
        asked = [(member, view) for member in members for view in member.views_in(planes_run, body)]
        views = tuple(dict.fromkeys(view for _, view in asked))
        answers = [_mean_answer(asked, body, plane, report) for plane in planes_run or (None,)]
    with clock.stage("finishing"):
        report("finishing", 0.0)
        sct = lead.compose(answers, body)
    report("finishing", 1.0)
    return lead.translation(sct, body, planes_run, planes_wanted=planes, views=views, seconds=clock.seconds)


def _mean_answer(
    asked: Sequence[tuple[Translator, str]], body: PreparedBody, plane: str | None, report: StageProgress
) -> NDArray[np.float32]:
    """The mean over models and views, (i, j, k) network units; at most two answers are in memory at once."""
    total: NDArray[np.float32] | None = None
    for member, view in asked:
        where = plane or "patches"
        stage = where if len(asked) == 1 else f"{member.description.name}, {where}, {view}"
        units = view_answer(member, body, plane, view=EVERY_VIEW[view], on_progress=partial(report, stage))
        total = units if total is None else total + units
    if total is None:
        raise InputError("nobody to ask", got="no model", expected="at least one")
    return total / np.float32(len(asked))


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def _silent(stage: str, share: float) -> None:
    """Report to nobody."""


def _require_convertible(mr: Volume, mask: Volume | None, *, force: bool) -> None:
    if mr.quantity is not Quantity.MR:
        raise InputError("not an MR volume", got=f"a volume of {mr.quantity}", expected="MR")
    require_mr(mr, force=force)
    if mask is not None:
        require_mask_fits(mask, mr)


def _cut_out(original: Geometry, prepared: Prepared, *, mask_was_given: bool) -> PreparedBody:
    spacing_mm = prepared.mr.geometry.spacing_mm
    box = bounding_box(prepared.mask.voxels, spacing_mm, margin_mm=MARGIN_MM)
    found = ROUND_FOUND if prepared.mr.geometry.single_slice_axis is None else ROUND_FOUND_IN_SLICE
    weight = body_weight(prepared.mask.voxels[box], spacing_mm, edge=ROUND_MASK if mask_was_given else found)
    return PreparedBody(prepared, prepared.mr.voxels[box], weight, box, original)


def _warnings(geometry: Geometry, left_out: Sequence[str]) -> tuple[str, ...]:
    warnings = []
    if left_out and geometry.single_slice_axis is None:
        warnings.append(f"too thin for whole {' and '.join(left_out)} slices: not used")
    if max(geometry.spacing_mm) > 3.5 and geometry.single_slice_axis is None:
        warnings.append(f"voxels of {max(geometry.spacing_mm):.1f} mm: fine bone is lost between slices")
    return tuple(warnings)
