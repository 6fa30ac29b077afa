"""Arrays inside JSON: shape and base64 of little-endian float32, so that a bundle's file stays short and exact."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mr2ct.errors import BundleError


def array_to_json(array: ArrayLike) -> dict[str, Any]:
    """An array of any shape as JSON values; kept to float32.

    Example
    -------
    >>> array_to_json([1.0])
    {'shape': [1], 'float32': 'AACAPw=='}
    """
    values = np.ascontiguousarray(array, dtype="<f4")
    return {"shape": list(values.shape), "float32": base64.b64encode(values.tobytes()).decode("ascii")}


def array_from_json(said: Mapping[str, Any]) -> NDArray[np.float32]:
    """The inverse of `array_to_json`.

    Raises
    ------
    BundleError : not such values, or as many numbers as the shape does not hold.

    Example
    -------
    >>> array_from_json({"shape": [1], "float32": "AACAPw=="}).tolist()
    [1.0]
    """
    try:
        values = np.frombuffer(base64.b64decode(said["float32"], validate=True), dtype="<f4")
        return values.reshape([int(n) for n in said["shape"]]).astype(np.float32)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BundleError("an array of the bundle cannot be read", got=error, remedy="copy the bundle again") from error
