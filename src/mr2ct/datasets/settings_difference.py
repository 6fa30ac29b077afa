"""What differs between two recorded settings, key by key: a step more in a pipeline changes dozens of values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_STATED = 3


def differing(got: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[str, str] | None:
    """The keys whose values differ, each with its value in `got` and in `expected`, in words; None where none does.

    Nested values are compared one by one, as the JSON values that they are recorded as. Three are stated and the others
    counted; names, as of a step, come first: another step has other arguments, too.

    Example
    -------
    >>> differing({"steps": [{"name": "n4", "shrink": 4}]}, {"steps": [{"name": "nyul"}]})
    ('steps.0.name = n4; steps.0.shrink = 4', 'steps.0.name = nyul; steps.0.shrink = None')
    """
    found, wanted = (_leaves(json.loads(json.dumps(dict(settings)))) for settings in (got, expected))
    keys = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
    keys.sort(key=lambda key: (not key.endswith(".name"), key))
    return (_stated(found, keys), _stated(wanted, keys)) if keys else None


def _stated(leaves: Mapping[str, Any], keys: Sequence[str]) -> str:
    stated = [f"{key} = {leaves.get(key)}" for key in keys[:_MOST_STATED]]
    return "; ".join(stated) + (f" and {len(keys) - _MOST_STATED} more" if len(keys) > _MOST_STATED else "")


def _leaves(settings: Any, path: str = "") -> dict[str, Any]:
    """Nested JSON values as one level, "pipeline.steps.1.name" -> value."""
    if isinstance(settings, Mapping) and settings:
        return {k: v for key, value in settings.items() for k, v in _leaves(value, f"{path}.{key}").items()}
    if isinstance(settings, list) and settings:
        return {k: v for key, value in enumerate(settings) for k, v in _leaves(value, f"{path}.{key}").items()}
    return {path.removeprefix("."): settings}
