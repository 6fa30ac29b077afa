"""How good an sCT is: figures against the true CT, on arrays, without torch."""

from __future__ import annotations

from mr2ct.evaluation.image_metrics import HuError, hu_error, masked_mae_hu
from mr2ct.evaluation.tissue_metrics import hu_error_by_tissue

__all__ = ["HuError", "hu_error", "hu_error_by_tissue", "masked_mae_hu"]
