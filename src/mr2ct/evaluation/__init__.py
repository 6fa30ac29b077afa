"""How good an sCT is: figures against the true CT, on arrays, without torch."""

from __future__ import annotations

from mr2ct.evaluation.case_score import CaseScore, score_case
from mr2ct.evaluation.image_metrics import HuError, hu_error, masked_mae_hu
from mr2ct.evaluation.protocols import PROTOCOLS, Protocol, image_metrics
from mr2ct.evaluation.tissue_metrics import hu_error_by_tissue

__all__ = [
    "PROTOCOLS",
    "CaseScore",
    "HuError",
    "Protocol",
    "hu_error",
    "hu_error_by_tissue",
    "image_metrics",
    "masked_mae_hu",
    "score_case",
]
