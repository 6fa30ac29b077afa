"""The errors a user may meet, in one shape, so that every message can be acted on.

A message says *what* went wrong, what mr2ct *got*, what it *expected*, and the *remedy*.
"""

from __future__ import annotations


class Mr2ctError(Exception):
    """An error a user can act on.

    Parameters
    ----------
    what : the one-line statement of the problem.
    got, expected, remedy : what was found, what was needed, and what to do; each may be left out.

    Example
    -------
    >>> str(Mr2ctError("mask on another grid", got="shape (4, 4, 4)", expected="shape (8, 8, 8)"))
    'mask on another grid; got shape (4, 4, 4); expected shape (8, 8, 8)'
    """

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what, self.got, self.expected, self.remedy = what, got, expected, remedy
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        if remedy is not None:
            parts.append(remedy)
        super().__init__("; ".join(parts))


class InputError(Mr2ctError):
    """A file or an image that cannot be used: unreadable, wrong dimensions, NaN voxels, a CT where an MR belongs."""


class GeometryError(Mr2ctError):
    """A grid that is impossible (singular affine) or two grids that should agree and do not."""


class DataSetError(Mr2ctError):
    """Cases, pairs or splits that contradict each other: a missing partner, a patient on both sides of a split."""


class RecipeError(Mr2ctError):
    """A recipe, or an override on the command line, that does not describe a run."""


class BundleError(Mr2ctError):
    """A model bundle that is incomplete, altered, or from a newer version of mr2ct."""


class DiskSpaceError(Mr2ctError):
    """Too little room on disk for what is about to be written."""


class MissingDependencyError(Mr2ctError):
    """An optional package that this call needs is not installed; the remedy is the `pip install mr2ct[extra]` line."""
