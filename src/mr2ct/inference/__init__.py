"""From an MR volume and a model to an sCT on the MR's own grid."""

from __future__ import annotations

from mr2ct.inference.conversion import convert
from mr2ct.inference.ensemble import Ensemble, load_model
from mr2ct.inference.translator import Translation, Translator

__all__ = ["Ensemble", "Translation", "Translator", "convert", "load_model"]
