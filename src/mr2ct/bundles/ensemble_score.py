"""How good an ensemble was found to be: `evaluation.json` beside `ensemble.json`, from which its card is made."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from mr2ct.bundles.description import BundleDescription
from mr2ct.bundles.evaluation_record import EvaluationRecord
from mr2ct.bundles.provenance import Step

SCORE_FILE = "evaluation.json"


class EnsembleScore(BaseModel):
    """The figures of an ensemble whose members had certain weights.

    Parameters
    ----------
    members : (name, SHA-256 of the weights) of each, in order. scoring : the commands that scored them.
    failures : what was seen to go wrong, sentences. citations : of the data, each a line.

    Example
    -------
    >>> EnsembleScore.model_validate_json(text).evaluation.n_cases  # doctest: +SKIP
    72
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: tuple[tuple[str, str], ...]
    evaluation: EvaluationRecord
    scoring: tuple[Step, ...] = ()
    failures: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()

    def is_of(self, members: Sequence[BundleDescription]) -> bool:
        """Whether it was exactly these members, with exactly these weights, that were scored."""
        return self.members == tuple((member.name, member.weights_sha256) for member in members)
