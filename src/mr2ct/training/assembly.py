"""From a recipe to the things it names: networks, method, cases, batches. Here alone a recipe meets constructors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mr2ct.datasets.augmentation import Augmentation, SpatialAugmentation
from mr2ct.datasets.case_names import PHANTOM
from mr2ct.datasets.case_weights import read_case_weights
from mr2ct.datasets.resident import ResidentCutter
from mr2ct.datasets.sampling import Batch, BoxPlan, CasePool, PairedBatches, UnpairedBatches, with_weight
from mr2ct.datasets.settings_difference import differing
from mr2ct.datasets.short_field import ShortField
from mr2ct.datasets.splits import Split, make_split, read_split, require_covers
from mr2ct.datasets.store import CaseStore, StoredCase, read_settings
from mr2ct.errors import DataSetError, Mr2ctError
from mr2ct.hounsfield import HuScaling
from mr2ct.models import DISCRIMINATORS, REGISTRY, build_network
from mr2ct.training.acceleration import Beside, is_on, make_cutter, on_gpu, prepare_compiler
from mr2ct.training.cyclegan import Players
from mr2ct.training.judgement import Game, JudgeWindow
from mr2ct.training.learner import Learner, Schedule
from mr2ct.training.loop import LAST, Method
from mr2ct.training.loss_assembly import build_paired_loss
from mr2ct.training.optimisers import optimiser_of
from mr2ct.training.pix2pix import Pix2Pix
from mr2ct.training.recipe import CycleGanSettings, DataSettings, Pix2PixSettings, Recipe, StoreSettings
from mr2ct.training.sides import SIDES, Sides, draw_sides, read_sides, write_sides
from mr2ct.training.stop_signal import ignore_in_worker
from mr2ct.training.supervised import Supervised
from mr2ct.training.unpaired_assembly import TISSUE_HU, augments_mr_of_batches, build_unpaired, mr_augmentation


@dataclass(frozen=True)
class Cases:
    """The cases of a run: pools to train on, pairs whose truth is known (CycleGAN), cases to validate on, the split."""

    train: tuple[CasePool, ...]
    pairs: tuple[CasePool, ...]
    validation: tuple[StoredCase, ...]
    split: Split


def open_cases(data: DataSettings, *, seed: int, folder: Path) -> Cases:
    """Open the stores and split their patients; a run that goes on in `folder` keeps the split that lies there.

    Phantoms are never split, and validated on only where there is no real pair. Unpaired data without any pair leave
    nothing to validate on. Case weights are of training alone.

    Raises
    ------
    DataSetError : no case left to train on, or, of data that has pairs, none to validate on; a patient whom the split
        file does not know; case weights of none of the cases.
    """
    stores = [CaseStore.open(store.path) for store in data.stores]
    patients = {c.info.patient: c.info.centre for store in stores for c in store.cases if c.info.source != PHANTOM}
    split = _split(data, patients, seed=seed, folder=folder)
    require_covers(split, patients)

    def on_side(cases: Iterable[StoredCase], side: str) -> tuple[StoredCase, ...]:
        names = frozenset(getattr(split, side))
        # a phantom trains, also where a split file has it on another side
        return tuple(c for c in cases if (side == "train" if c.info.source == PHANTOM else c.info.patient in names))

    weights = _case_weights(data, stores)
    train = _pools(stores, data.stores, lambda cases: on_side(cases, "train"), case_weights=weights)
    everything = [case for store in stores for case in store.cases]
    held_out = frozenset(split.validation + split.test)
    pairs = _pools(
        [CaseStore.open(store.path) for store in data.paired_stores],
        data.paired_stores,
        lambda cases: tuple(case for case in cases if case.info.patient not in held_out),
        case_weights=weights,
    )
    if not any(pool.cases for pool in train):
        raise DataSetError("no case left to train on", got=f"{len(split.train)} training patients")
    validation = _paired(on_side(everything, "validation"))
    if not validation and not patients:
        validation = _paired(everything)
    if not validation:
        validation = _paired(case for pool in pairs for case in pool.cases)
    if not validation and _paired(everything):
        raise DataSetError(
            "no paired case to validate on",
            remedy="keep some patients with both MR and CT for validation: "
            + ("data.validation_patients" if data.split is None else "mr2ct preprocess --split, into a new store"),
        )
    return Cases(train, pairs, validation, split)


def _paired(cases: Iterable[StoredCase]) -> tuple[StoredCase, ...]:
    return tuple(case for case in cases if case.has_mr and case.has_ct)


def _pools(
    stores: Sequence[CaseStore],
    settings: Sequence[StoreSettings],
    choose: Callable[[tuple[StoredCase, ...]], tuple[StoredCase, ...]],
    *,
    case_weights: Mapping[str, float] | None,
) -> tuple[CasePool, ...]:
    return tuple(
        CasePool(with_weight(choose(store.cases), case_weights), setting.weight, case_weights)
        for store, setting in zip(stores, settings, strict=True)
    )


def _case_weights(data: DataSettings, stores: Sequence[CaseStore]) -> dict[str, float] | None:
    if data.case_weights is None:
        return None
    weights = read_case_weights(data.case_weights)
    if not weights.keys() & {case.info.case for store in stores for case in store.cases}:
        raise DataSetError(
            f"{data.case_weights} has weights of none of the cases",
            got=", ".join(sorted(weights)[:5]),
            expected=f"names of cases in {', '.join(store.path for store in data.stores)}",
        )
    return weights


def _split(data: DataSettings, patients: dict[str, str], *, seed: int, folder: Path) -> Split:
    if data.split is not None:
        return read_split(data.split)
    # without a checkpoint it may be left from a start that failed, with other settings
    if (folder / LAST).exists() and (folder / "split.json").exists():
        return read_split(folder / "split.json")
    if not patients:
        return Split(train=(), validation=(), test=(), seed=seed)
    return make_split(patients, seed=seed, test=data.test_patients, validation=data.validation_patients)


def common_preprocessing(stores: Sequence[StoreSettings]) -> dict[str, Any]:
    """The record of the pipeline that the stores were prepared with.

    Raises
    ------
    DataSetError : prepared in different ways, or a store that does not say how. (Landmarks that a histogram
        standardisation learnt may differ.)
    """
    records: list[dict[str, Any]] = [dict(read_settings(store.path).get("pipeline", {})) for store in stores]
    for store, record in zip(stores, records, strict=True):
        if not record.get("steps"):
            raise _not_alike(f"{store.path}: no pipeline", f"the steps and arguments of {stores[0].path}")
        apart = differing(_without_landmarks(record), _without_landmarks(records[0]))
        if apart is not None:
            raise _not_alike(f"{store.path}: {apart[0]}", f"{stores[0].path}: {apart[1]}")
    return records[0]


def _not_alike(got: str, expected: str) -> DataSetError:
    remedy = "prepare them anew with the same options of `mr2ct preprocess`"
    return DataSetError("the stores were not prepared in the same way", got=got, expected=expected, remedy=remedy)


def _without_landmarks(record: Mapping[str, Any]) -> dict[str, Any]:
    steps = record.get("steps", [])
    return {"steps": [{"name": step["name"]} if step["name"] == "nyul" else step for step in steps]}


def unpaired_sides(pools: Sequence[CasePool], *, seed: int, folder: Path) -> Sides:
    """Who gives MR and who gives CT: no patient gives both (`sides.draw_sides`).

    A run that goes on in `folder` keeps the sides that lie there; patients who came since are drawn among themselves.

    Raises
    ------
    DataSetError : the file that lies there is damaged.
    """
    cases = [case for pool in pools for case in pool.cases]
    goes_on = (folder / LAST).exists() and (folder / SIDES).exists()
    return draw_sides(
        {case.info.patient for case in cases if case.has_mr},
        {case.info.patient for case in cases if case.has_ct},
        seed=seed,
        kept=read_sides(folder / SIDES) if goes_on else None,
    )


def batch_source(
    recipe: Recipe, cases: Cases, fabric: Fabric, *, folder: Path
) -> Callable[[int], Iterable[dict[str, Tensor]]]:
    """From a step to the augmented batches, on the device, of that step and all later ones."""
    data = recipe.data
    unpaired = isinstance(recipe.method, CycleGanSettings)
    sides = unpaired_sides(cases.train, seed=recipe.seed, folder=folder) if unpaired else None
    batches, extra = _datasets(recipe, cases, fabric, sides=sides)
    # what lies on a GPU is read by the process that trains
    workers = 0 if isinstance(batches.cutter, ResidentCutter) else data.workers
    beside = Beside(fabric)
    augmentation = Augmentation(
        SpatialAugmentation(**data.spatial.model_dump()) if data.spatial else None,
        mr_augmentation(data) if augments_mr_of_batches(recipe) else None,
        ShortField(share=data.short_field, tilt_deg=data.short_field_tilt_deg) if data.short_field else None,
        tissue=float(HuScaling(*recipe.hu_range).to_network(np.array(TISSUE_HU))),
    )

    def source(first_step: int) -> Iterator[dict[str, Tensor]]:
        # not before: a checkpoint that is refused changes nothing in the folder
        if sides is not None and fabric.is_global_zero:
            write_sides(sides, folder / SIDES)
        steps = range(first_step, recipe.run.max_steps)
        main = _loaded(batches, steps, workers=workers)
        pairs = _loaded(extra, steps, workers=workers) if extra is not None else None

        def make(step: int) -> Batch:
            seed = (recipe.seed * 1_000_003 + step) * 1009 + fabric.global_rank
            ready = augmentation(_on_device(next(main), fabric), seed=2 * seed)
            if pairs is not None:
                pair = augmentation(_on_device(next(pairs), fabric), seed=2 * seed + 1)
                ready |= {"pair_mr": pair["mr"], "pair_ct": pair["ct"], "pair_mask": pair["mask"]}
            return {key: _fast_layout(images) for key, images in ready.items()}

        for step in steps:
            yield beside(partial(make, step))

    return source


def _datasets(
    recipe: Recipe, cases: Cases, fabric: Fabric, *, sides: Sides | None
) -> tuple[PairedBatches | UnpairedBatches, PairedBatches | None]:
    """The batches that the method learns from, and, for CycleGAN (it has `sides`), those of pairs of known truth."""
    data = recipe.data
    plan = BoxPlan(
        size=tuple(data.size),
        planes=tuple(data.planes),
        context_slices=data.context_slices,
        foreground=data.foreground,
        off_middle=data.off_middle,
        pole_cuts=data.pole_cuts,
    )
    everything = [case for pool in (*cases.train, *cases.pairs) for case in pool.cases]
    scaling, rank = HuScaling(*recipe.hu_range), fabric.global_rank
    cutter = make_cutter(plan, scaling, everything, resident=recipe.run.resident, fabric=fabric)

    def paired(pools: Sequence[CasePool], seed: int) -> PairedBatches:
        return PairedBatches(pools, cutter, batch_size=data.batch_size, seed=seed, rank=rank)

    if sides is None:
        return paired(cases.train, recipe.seed), None
    train = [case for pool in cases.train for case in pool.cases]
    unpaired = UnpairedBatches(
        tuple(case for case in train if case.has_mr and case.info.patient in sides.mr),
        tuple(case for case in train if case.has_ct and case.info.patient in sides.ct),
        cutter,
        batch_size=data.batch_size,
        seed=recipe.seed,
        rank=rank,
        case_weights=cases.train[0].case_weights,
    )
    return unpaired, paired(cases.pairs, recipe.seed + 1) if cases.pairs else None


def _loaded(dataset: torch.utils.data.Dataset[Batch], steps: range, *, workers: int) -> Iterator[Batch]:
    # a loader draws a number for its workers: not from the generator that dropout draws from and a checkpoint keeps
    own = torch.Generator()
    # batches are drawn by step, not by worker; of more workers than cores torch warns
    count = min(workers, _cores())
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, sampler=steps, num_workers=count, generator=own, worker_init_fn=ignore_in_worker
    )
    try:
        yield from loader
    except Mr2ctError as error:
        if not workers:
            raise
        # from a worker comes a traceback as text, whose last line is the error
        _, _, words = str(error).splitlines()[-1].partition(f"{type(error).__name__}: ")
        raise type(error)(words) from error


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_device(batch: Batch, fabric: Fabric) -> Batch:
    # augmentation asks on the CPU whether a flip is anatomy
    return {
        key: images if key == "left_right" else images.to(fabric.device, non_blocking=True)
        for key, images in batch.items()
    }


def _fast_layout(images: Tensor) -> Tensor:
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    layout = layouts.get(images.dim())
    return images if layout is None else images.contiguous(memory_format=layout)


def build_generator(recipe: Recipe) -> nn.Module:
    """The MR-to-sCT network of a recipe, its channels and dimensions as the data section asks."""
    return build_network(recipe.network.name, network_arguments(recipe), among=REGISTRY)


def network_arguments(recipe: Recipe) -> dict[str, object]:
    """The arguments `build_generator` used: what a bundle has to say of the network."""
    data = recipe.data
    shape = {"in_channels": data.context_slices or 1, "dims": 3 if data.context_slices is None else 2}
    return {**shape, **recipe.network.arguments}


def build_method(recipe: Recipe, generator: nn.Module, fabric: Fabric) -> Method:
    """The training method of a recipe round an existing generator, with networks and optimisers on the device."""
    settings, ema = recipe.method, recipe.optimiser.ema_decay
    dims = 3 if recipe.data.context_slices is None else 2
    to_ct = _learner(fabric, generator, recipe, learning_rate=recipe.optimiser.learning_rate)
    if isinstance(settings, Pix2PixSettings):
        seen = {"in_channels": (recipe.data.context_slices or 1) + 1, "dims": dims}
        return Pix2Pix(
            to_ct,
            _judge(fabric, recipe, settings, seen),
            loss=build_paired_loss(settings, recipe, fabric),
            game=_game(settings, recipe),
            ema_decay=ema,
        )
    if isinstance(settings, CycleGanSettings):
        backward = build_generator(recipe)
        to_mr = _learner(fabric, backward, recipe, learning_rate=recipe.optimiser.learning_rate)
        judges = [_judge(fabric, recipe, settings, {"in_channels": 1, "dims": dims}) for _ in range(2)]
        players, seed = Players(to_ct, to_mr, *judges), recipe.seed + 2 * fabric.global_rank
        return build_unpaired(settings, recipe, players, seed=seed)
    return Supervised(to_ct, loss=build_paired_loss(settings, recipe, fabric), ema_decay=ema)


def _game(settings: Pix2PixSettings, recipe: Recipe) -> Game:
    limits = settings.judge_window_hu
    return Game(
        kind=settings.kind,
        adversarial=settings.adversarial_weight,
        feature_matching=settings.feature_matching_weight,
        begins=settings.adversarial_from,
        window=JudgeWindow.in_hu(HuScaling(*recipe.hu_range), *limits) if limits else None,
    )


def _judge(
    fabric: Fabric, recipe: Recipe, settings: Pix2PixSettings | CycleGanSettings, shape: dict[str, int]
) -> Learner:
    network = build_network(
        settings.discriminator.name, {**shape, **settings.discriminator.arguments}, among=DISCRIMINATORS
    )
    return _learner(fabric, network, recipe, learning_rate=settings.discriminator_learning_rate)


def _learner(fabric: Fabric, network: nn.Module, recipe: Recipe, *, learning_rate: float) -> Learner:
    optimiser = recipe.optimiser
    if recipe.data.context_slices is not None:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    schedule = Schedule(
        total_steps=recipe.run.max_steps,
        warmup_steps=optimiser.warmup_steps,
        decay=optimiser.decay,
        decay_from=optimiser.decay_from,
        final=optimiser.final,
    )
    learner = Learner(
        fabric,
        network,
        learning_rate=learning_rate,
        schedule=schedule,
        optimiser=optimiser_of(
            optimiser.name,
            betas=optimiser.betas,
            weight_decay=optimiser.weight_decay,
            # Fabric clips no gradient that a fused optimiser would unscale itself
            fused=on_gpu(fabric) and recipe.run.precision != "16-mixed",
        ),
        clip_norm=optimiser.clip_norm,
    )
    if not is_on(recipe.run.compile, fabric):
        return learner
    prepare_compiler(recipe.run.compile)
    return learner.compiled()
