"""Several models that answer together: a folder whose `ensemble.json` says which, and that holds no weights of its own.

Beside it lie `calibration.json` (how sure they are together, made by scripts/calibrate.py), `evaluation.json` (how good
they are, made by scripts/ship_ensemble.py) and `MODEL_CARD.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mr2ct.bundles.bundle import CARD_FILE, Bundle, read_card
from mr2ct.bundles.description import BundleDescription
from mr2ct.bundles.ensemble_card import fill_ensemble_card
from mr2ct.bundles.ensemble_score import SCORE_FILE, EnsembleScore
from mr2ct.errors import BundleError

ENSEMBLE_FILE, CALIBRATION_FILE = "ensemble.json", "calibration.json"
ENSEMBLE_FORMAT_VERSION = 1

_Checked = TypeVar("_Checked", bound=BaseModel)

_SHARED = ("preprocessing", "hu_range", "spacing_mm", "planes")
"""Keys of bundle.json in which members must agree: they share one prepared volume and one scale of answers."""


class EnsembleDescription(BaseModel):
    """The keys of `ensemble.json`; none may be missing and no other may be there.

    Parameters
    ----------
    format_version : version of this layout. name : as in bundle.json.
    members : names of shipped models, or bundle folders; their answers count alike. Adding a model is adding its line.

    Example
    -------
    >>> EnsembleDescription(format_version=1, name="best", members=("brain-attention-unet",)).members
    ('brain-attention-unet',)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = Field(ge=1, le=ENSEMBLE_FORMAT_VERSION)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    members: tuple[str, ...] = Field(min_length=1)


class _Member(BaseModel):
    name: str
    weights_sha256: str


class _Variant(BaseModel):
    members: tuple[_Member, ...]


class _Measured(BaseModel):
    mae_hu: float | None = None


class _Calibrated(BaseModel):
    """Of `calibration.json`, what is read without asking the models: whom it is of, and how good they were."""

    variants: tuple[_Variant, ...] = ()
    measured: _Measured = _Measured()


@dataclass(frozen=True)
class EnsembleBundle:
    """An ensemble whose members were all found, unaltered, and fit together.

    Parameters
    ----------
    name : of the ensemble. members : in the order of `ensemble.json`; the input check is that of the first.
    folder : where `ensemble.json` lies.
    """

    name: str
    members: tuple[Bundle, ...]
    folder: Path

    @property
    def card(self) -> str:
        """The card, Markdown: the one written when these members were calibrated, or a shorter one without figures.

        Raises
        ------
        BundleError : a damaged file.
        """
        if (self.folder / CARD_FILE).is_file() and self.calibration is not None:
            return read_card(self.folder)
        return fill_ensemble_card(self.name, self._described, self.scored)

    @property
    def scored(self) -> EnsembleScore | None:
        """How good exactly these members with exactly these weights were found to be; None where nobody knows.

        Raises
        ------
        BundleError : a file that is not such a record.
        """
        path = self.folder / SCORE_FILE
        if not path.is_file():
            return None
        score = _validated(EnsembleScore, _read_json(path), f"{path} is no score of an ensemble")
        return score if score.is_of(self._described) else None

    @property
    def _described(self) -> list[BundleDescription]:
        return [member.description for member in self.members]

    @property
    def calibration(self) -> dict[str, Any] | None:
        """The calibration of exactly these members with exactly these weights; None where there is none.

        Raises
        ------
        BundleError : a file that is not JSON, or no calibration.
        """
        path = self.folder / CALIBRATION_FILE
        if not path.is_file():
            return None
        record = _read_json(path)
        variants = _validated(_Calibrated, record, f"{path} is no calibration").variants
        made_with = [(member.name, member.weights_sha256) for variant in variants[:1] for member in variant.members]
        own = [(member.name, member.weights_sha256) for member in self._described]
        return record if made_with == own else None


def load_ensemble(folder: Path | str, find: Callable[[str], Bundle]) -> EnsembleBundle:
    """Read the ensemble in `folder`; `find` turns each member's name into a verified bundle.

    Raises
    ------
    BundleError : no such file, a wrong or missing key, a member that is not there, or members that do not fit together.

    Example
    -------
    >>> load_ensemble("no/such/folder", find=None)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mr2ct.errors.BundleError: not an ensemble of models; got no no/such/folder/ensemble.json; ...
    """
    path = Path(folder) / ENSEMBLE_FILE
    if not path.is_file():
        raise BundleError("not an ensemble of models", got=f"no {path}", expected=f"{ENSEMBLE_FILE} in the folder")
    described = _validated(EnsembleDescription, _read_json(path), f"{path} does not describe an ensemble")
    members = tuple(find(name) for name in described.members)
    _require_alike(members, name=described.name)
    return EnsembleBundle(described.name, members, Path(folder))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read", got=error, expected="JSON", remedy="copy it again") from error
    if not isinstance(record, dict):
        raise BundleError(f"{path} is not a JSON object", got=type(record).__name__, expected="an object with keys")
    return record


def _validated(kind: type[_Checked], record: dict[str, Any], what: str) -> _Checked:
    """The record as `kind`; BundleError, which says `what` it is not, where a key is missing or of a wrong type."""
    try:
        return kind.model_validate(record)
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise BundleError(what, got=words, expected=", ".join(kind.model_fields), remedy="copy it again") from error


def _require_alike(members: Sequence[Bundle], *, name: str) -> None:
    names = [member.description.name for member in members]
    if len(set(names)) < len(names):
        raise BundleError(f"a member of {name} is listed twice", got=", ".join(names), expected="each model once")
    first = members[0].description
    for other in (member.description for member in members[1:]):
        differing = [key for key in (*_SHARED, "dimensions") if getattr(other, key) != getattr(first, key)]
        if differing:
            raise BundleError(
                f"the members of {name} do not fit together",
                got=f"{other.name} has another {' and another '.join(differing)} than {first.name}",
                expected="models that see the same prepared volume",
                remedy=f"take one of them out of {ENSEMBLE_FILE}",
            )
