"""From a recipe's `cyclegan` section to the method round its four networks, with cycles played through or taught."""

from __future__ import annotations

import numpy as np

from mr2ct.datasets.augmentation import IntensityAugmentation
from mr2ct.datasets.coil_fall_off import CoilFallOff
from mr2ct.datasets.lost_signal import LostSignal
from mr2ct.datasets.short_field import ShortField
from mr2ct.datasets.soft_tissue_texture import SoftTissueTexture
from mr2ct.hounsfield import HuScaling
from mr2ct.training.back_translation import BackTranslation, BackTranslationWeights, Course, MrChanges
from mr2ct.training.cyclegan import CycleGAN, CycleWeights, Players
from mr2ct.training.recipe import BackTranslationSettings, CycleGanSettings, DataSettings, Recipe

# brain, fluid and muscle: in CT a few tens of HU apart, in MR black, grey or white
SOFT_TISSUE_HU = (-20.0, 90.0)
TISSUE_HU = -300.0


def build_unpaired(
    settings: CycleGanSettings, recipe: Recipe, players: Players, *, seed: int
) -> CycleGAN | BackTranslation:
    """`BackTranslation` where `settings` have such a section, `CycleGAN` otherwise."""
    taught = settings.back_translation
    if taught is not None:
        return BackTranslation(
            players,
            weights=_taught_weights(settings, taught),
            course=Course(recipe.run.max_steps, settings.pairs_alone_steps, taught.play_every),
            changes=_changes(taught, recipe),
            pool_size=settings.pool_size,
            ema_decay=recipe.optimiser.ema_decay,
            seed=seed,
        )
    return CycleGAN(
        players,
        weights=CycleWeights(
            cycle=settings.cycle_weight,
            identity=settings.identity_weight,
            adversarial=settings.adversarial_weight,
            structure=settings.structure_weight,
            outside=settings.outside_weight,
            paired=settings.paired_weight,
            structure_kind=settings.structure,
        ),
        pool_size=settings.pool_size,
        pairs_alone_steps=settings.pairs_alone_steps,
        ema_decay=recipe.optimiser.ema_decay,
        seed=seed,
    )


def _taught_weights(settings: CycleGanSettings, taught: BackTranslationSettings) -> BackTranslationWeights:
    return BackTranslationWeights(
        cycle=settings.cycle_weight,
        gradient=taught.gradient_weight,
        adversarial_mr=settings.adversarial_weight,
        adversarial_ct=taught.adversarial_ct_weight,
        structure=settings.structure_weight,
        outside=settings.outside_weight,
        paired=settings.paired_weight,
        paired_last=taught.paired_weight_last,
        structure_kind=settings.structure,
    )


def mr_augmentation(data: DataSettings) -> IntensityAugmentation | None:
    """What `data.intensity` asks for; None where it is null."""
    return IntensityAugmentation(**data.intensity.model_dump()) if data.intensity else None


def augments_mr_of_batches(recipe: Recipe) -> bool:
    """Whether a batch's MR are changed before the method gets them.

    Back-translation learns to make MR as they are, and changes them on their way into the MR-to-CT generator alone.
    """
    return not (isinstance(recipe.method, CycleGanSettings) and recipe.method.back_translation is not None)


def _changes(taught: BackTranslationSettings, recipe: Recipe) -> MrChanges:
    lowest, highest, tissue = HuScaling(*recipe.hu_range).to_network(np.array([*SOFT_TISSUE_HU, TISSUE_HU]))
    return MrChanges(
        augmentation=mr_augmentation(recipe.data),
        texture=SoftTissueTexture(**taught.texture.model_dump()) if taught.texture else None,
        lost_signal=LostSignal(share=taught.lost_signal) if taught.lost_signal else None,
        fall_off=CoilFallOff(share=taught.fall_off) if taught.fall_off else None,
        short_field=ShortField(share=taught.short_field) if taught.short_field else None,
        soft_tissue=(float(lowest), float(highest)),
        tissue=float(tissue),
    )
