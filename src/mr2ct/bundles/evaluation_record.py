"""How good a model was found to be, in numbers: the key `evaluation` of `bundle.json`, from which its card is made.

`metrics` holds a few plain figures for lists; here each figure has its interval, and groups stand beside the whole.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Record):
    """A mean over cases, its interval (None where there is one patient only), how many cases and patients had it."""

    value: float
    low: float | None = None
    high: float | None = None
    cases: int = Field(ge=1)
    patients: int = Field(ge=1)


Figures = dict[str, Figure]


class WorstCase(_Record):
    """A case shown among the failures: whose it is, its MAE, and that of each tissue, in HU."""

    case: str
    patient: str
    centre: str = ""
    plane: str = ""
    mae_hu: float
    tissues_mae_hu: dict[str, float] = Field(default_factory=dict)


class EvaluationRecord(_Record):
    """Figures of one side of a split, as `mr2ct evaluate` finds them.

    Parameters
    ----------
    protocols : the published ways of scoring that the figures follow. side : whose figures they are.
    split : patients of each side; under "seed" what the split was drawn with.
    interval, resamples, seed : of the bootstrap, patients resampled.
    caveat : what a reader must know of the reference CTs, in a sentence.
    overall : figure by key, as in the `summary.json` of `mr2ct evaluate`; by_plane, by_centre, by_tissue : the same of
        groups, each by the group's name.
    mae_hu_by_patient : mean over each patient's cases, for paired tests between models.
    worst : the worst cases, one a plane where the cases are single slices.

    Example
    -------
    >>> EvaluationRecord(protocols=("synthrad2025",), side="test", interval=0.95, resamples=2000, seed=0).n_cases
    0
    """

    protocols: tuple[str, ...]
    side: Literal["test", "validation"]
    split: dict[str, int] = Field(default_factory=dict)
    interval: float = Field(gt=0, lt=1)
    resamples: int = Field(ge=1)
    seed: int = Field(ge=0)
    caveat: str = ""
    overall: Figures = Field(default_factory=dict)
    by_plane: dict[str, Figures] = Field(default_factory=dict)
    by_centre: dict[str, Figures] = Field(default_factory=dict)
    by_tissue: dict[str, Figures] = Field(default_factory=dict)
    mae_hu_by_patient: dict[str, float] = Field(default_factory=dict)
    worst: tuple[WorstCase, ...] = ()

    @property
    def n_cases(self) -> int:
        """How many cases were scored."""
        return max((figure.cases for figure in self.overall.values()), default=0)

    @property
    def n_patients(self) -> int:
        """Whose cases they were."""
        return max((figure.patients for figure in self.overall.values()), default=0)
