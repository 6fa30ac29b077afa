"""From a recipe's method section to the paired objective: weights, tissue weights in HU, the feature loss's network."""

from __future__ import annotations

from lightning_fabric import Fabric
from torch import Tensor

from mr2ct.hounsfield import HuScaling
from mr2ct.training.losses import TissueWeights
from mr2ct.training.paired_loss import PairedLoss, PairWeights
from mr2ct.training.recipe import FeatureLossSettings, Pix2PixSettings, Recipe, SupervisedSettings
from mr2ct.training.tissue_features import TissueFeatureLoss, read_segmenter


def build_paired_loss(settings: SupervisedSettings | Pix2PixSettings, recipe: Recipe, fabric: Fabric) -> PairedLoss:
    """The objective that `settings` ask for, its segmenter (if any) on the device.

    Raises
    ------
    BundleError : no segmenter in the folder that the recipe names, or one for other images.
    """
    tissues, feature_loss = settings.tissue_weights, settings.feature_loss
    weights = PairWeights(
        l1=settings.l1_weight if isinstance(settings, Pix2PixSettings) else 1.0,
        gradient=settings.gradient_weight,
        outside=settings.outside_weight,
        ssim=settings.ssim_weight,
        sharpness=settings.sharpness_weight,
        feature=feature_loss.weight if feature_loss else 0.0,
    )
    return PairedLoss(
        weights,
        tissues=TissueWeights.in_hu(HuScaling(*recipe.hu_range), **tissues.model_dump()) if tissues else None,
        features=_InRunsPrecision(feature_loss, recipe, fabric) if feature_loss else None,
        bone_above=TissueWeights.in_hu(HuScaling(*recipe.hu_range)).bone_above,
        alike=settings.images_alike,
    )


class _InRunsPrecision:
    """The feature loss, its convolutions in the precision of the run: in bfloat16 it costs half."""

    def __init__(self, settings: FeatureLossSettings, recipe: Recipe, fabric: Fabric) -> None:
        dims = 3 if recipe.data.context_slices is None else 2
        segmenter = read_segmenter(settings.segmenter, dims=dims, hu_range=recipe.hu_range)
        self.fabric, self.loss = fabric, fabric.to_device(TissueFeatureLoss(segmenter))

    def __call__(self, sct: Tensor, ct: Tensor, mask: Tensor) -> Tensor:
        with self.fabric.autocast():
            difference: Tensor = self.loss(sct, ct, mask)
        return difference
