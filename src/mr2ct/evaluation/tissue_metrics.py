"""Errors by tissue: one MAE over a head hides that bone and air are where an sCT goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.evaluation.image_metrics import HuError, hu_error
from mr2ct.hounsfield import Tissue, tissue_mask


def hu_error_by_tissue(sct_hu: NDArray[Any], ct_hu: NDArray[Any], mask: NDArray[Any]) -> dict[str, HuError]:
    """`hu_error` over the whole mask ("all") and over each tissue class that the *true* CT has in it.

    Parameters
    ----------
    sct_hu, ct_hu, mask : one shape, any dimensions; HU, HU, non-zero inside.

    Returns
    -------
    "all" first, then the tissues' names; a tissue that the mask does not hold is left out.

    Raises
    ------
    GeometryError : different shapes. DataSetError : an empty mask.

    Example
    -------
    >>> list(hu_error_by_tissue(np.zeros(2), np.array([40.0, 900.0]), np.ones(2)))
    ['all', 'soft tissue', 'bone']
    """
    errors = {"all": hu_error(sct_hu, ct_hu, mask)}
    for tissue in Tissue:
        of_tissue = (mask != 0) & tissue_mask(ct_hu, tissue)
        if np.any(of_tissue):
            errors[tissue.value] = hu_error(sct_hu, ct_hu, of_tissue)
    return errors
