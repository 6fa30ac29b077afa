"""mr2ct turns an MRI into a synthetic CT in Hounsfield units, on the MRI's own grid.

The public names are imported on first use, so that `import mr2ct` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mr2ct.geometry import Geometry
    from mr2ct.inference.conversion import convert
    from mr2ct.io import read_volume, write_volume
    from mr2ct.volume import Quantity, Volume

__version__ = "0.1.0"

_HOMES = {
    "Geometry": "mr2ct.geometry",
    "Quantity": "mr2ct.volume",
    "Volume": "mr2ct.volume",
    "convert": "mr2ct.inference.conversion",
    "read_volume": "mr2ct.io",
    "write_volume": "mr2ct.io",
}

__all__ = ["Geometry", "Quantity", "Volume", "__version__", "convert", "read_volume", "write_volume"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mr2ct' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
