"""Files in and out: one file a format, `read_volume` and `write_volume` in front of them.

Importing this package is light: the readers import nibabel, SimpleITK, pydicom and Pillow when they are called.
"""

from __future__ import annotations

from mr2ct.io.formats import is_volume_path, read_geometry, read_volume, volume_name, write_volume

__all__ = ["is_volume_path", "read_geometry", "read_volume", "volume_name", "write_volume"]
