"""From an MR volume and a model to an sCT on the MR's own grid."""

from __future__ import annotations

from mr2ct.inference.translator import Translation, Translator, convert

__all__ = ["Translation", "Translator", "convert"]
