"""A digital head phantom: random anatomy as tissue labels, imaged as MR of any contrast and as CT in HU."""

from mr2ct.phantom.contrast import (
    CONTRASTS,
    Contrast,
    GradientEcho,
    InversionRecovery,
    SpinEcho,
    random_contrast,
)
from mr2ct.phantom.ct import simulate_ct
from mr2ct.phantom.field_of_view import cut_field_of_view, head_mask
from mr2ct.phantom.head import HeadPhantom, head_phantom
from mr2ct.phantom.mr import simulate_mr
from mr2ct.phantom.tissues import TISSUES, Label, Relaxation, Tissue

__all__ = [
    "CONTRASTS",
    "TISSUES",
    "Contrast",
    "GradientEcho",
    "HeadPhantom",
    "InversionRecovery",
    "Label",
    "Relaxation",
    "SpinEcho",
    "Tissue",
    "cut_field_of_view",
    "head_mask",
    "head_phantom",
    "random_contrast",
    "simulate_ct",
    "simulate_mr",
]
